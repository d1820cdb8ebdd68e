//! SQLite's road: one task decides all that comes, in order, while the group before is being written in one transaction.
//!
//! What is decided rests on what the group before will leave. Should that group not be written, all that was decided on
//! top of it is decided again, one by one, on what is stored; so is a group that the database refuses. Nobody is answered
//! before the commit that the answer rests on.

use super::turn::{Ahead, Draw, Job, Tentative, Trust, Turn};
use super::{Committed, Engine, Inner, SubmitError};
use crate::store::batch::{Batch, NotWritten};
use std::sync::{Arc, Weak};
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::task::JoinHandle;
use tracing::{Instrument as _, Span};

/// At most so many commands share a transaction.
const GROUP_MAX: usize = 128;
/// A group that would write more bytes than this goes without waiting for more.
const GROUP_BYTES: usize = 8 << 20;

/// A job and whom to tell.
pub(super) struct Waiting {
    pub job: Job,
    /// The asker's span, so that what is logged on the way bears the request's number.
    pub span: Span,
    pub tell: oneshot::Sender<Result<Committed, SubmitError>>,
}

/// Jobs that were decided and will be written together.
#[derive(Default)]
struct Group {
    batch: Batch,
    tentative: Tentative,
    turns: Vec<(Waiting, Turn)>,
}

impl Group {
    fn on_top_of(ahead: Arc<Ahead>) -> Self {
        Self { tentative: Tentative::on_top_of(ahead), ..Self::default() }
    }

    /// Whether another job may join. A letter that is called back is called back before anything else is decided.
    fn has_room(&self) -> bool {
        self.turns.len() < GROUP_MAX && self.batch.size() < GROUP_BYTES && self.batch.recalls.is_empty()
    }
}

/// What became of a group. If it fell over on the way, nobody in it is answered.
#[derive(Default)]
struct Landing {
    /// It was written, so that what was decided on top of it stands.
    written: bool,
    /// Who may be answered.
    answers: Vec<(Waiting, Turn)>,
    /// What must be decided again, by itself, on what is stored.
    again: Vec<Waiting>,
}

/// A group that is being written, in a task of its own: it begins at once and ends whether or not anybody waits here.
type Flight = JoinHandle<Landing>;

/// The receiver outlives a round that falls over.
type Waitings = Arc<Mutex<mpsc::UnboundedReceiver<Waiting>>>;

impl Engine {
    /// Takes all that waits, until nobody can ask any more.
    pub(super) async fn rounds(engine: Weak<Inner>, waiting: mpsc::UnboundedReceiver<Waiting>) {
        let waiting: Waitings = Arc::new(Mutex::new(waiting));
        // Should a round fall over all the same, those who waited in it hear so, and the next goes on.
        while let Err(error) = tokio::spawn(Self::round(engine.clone(), waiting.clone())).await {
            tracing::error!(%error, "a group of commands was broken off");
        }
    }

    async fn round(engine: Weak<Inner>, waiting: Waitings) {
        let mut waiting = waiting.lock().await;
        let mut group = Group::default();
        let mut flight: Option<Flight> = None;
        loop {
            let one = match &mut flight {
                None => waiting.recv().await,
                Some(flying) => tokio::select! {
                    biased;
                    landing = flying => {
                        let Some(inner) = engine.upgrade() else { return };
                        (flight, group) = Engine(inner).landed(landing.unwrap_or_default(), group).await;
                        continue;
                    }
                    one = waiting.recv(), if group.has_room() => one,
                },
            };
            let (Some(one), Some(inner)) = (one, engine.upgrade()) else { break };
            let engine = Engine(inner);
            if one.job.is_alone() {
                engine.finish(flight.take(), std::mem::take(&mut group)).await;
                engine.by_itself(one).await;
            } else {
                engine.join(one, &mut group).await;
                if flight.is_none() {
                    (flight, group) = engine.take_off(group);
                }
            }
        }
        // The last who could ask has gone: what was decided is still written.
        if let Some(inner) = engine.upgrade() {
            Engine(inner).finish(flight, group).await;
        }
    }

    /// Begins to write a group. What is decided meanwhile is decided on top of it.
    fn take_off(&self, group: Group) -> (Option<Flight>, Group) {
        if group.turns.is_empty() {
            return (None, group);
        }
        let ahead = Arc::new(Ahead::of(&group.tentative, &group.batch.numbers));
        let engine = self.clone();
        (Some(tokio::spawn(async move { engine.write_out(group).await })), Group::on_top_of(ahead))
    }

    /// After a group was written, or not: the next takes off before anybody is answered, so that the disk does not wait.
    async fn landed(&self, landing: Landing, group: Group) -> (Option<Flight>, Group) {
        let Landing { written, answers, mut again } = landing;
        let mut next = Group { tentative: group.tentative.grounded(), ..group };
        if !written {
            again.extend(std::mem::take(&mut next).turns.into_iter().map(|(one, _)| one));
        }
        let (flight, next) = if again.is_empty() { self.take_off(next) } else { (None, next) };
        for (one, turn) in answers {
            let _ = one.tell.send(turn.answer);
        }
        for one in again {
            self.by_itself(one).await;
        }
        if flight.is_none() { self.take_off(next) } else { (flight, next) }
    }

    /// Waits for what is being written, and writes what was decided since.
    async fn finish(&self, mut flight: Option<Flight>, mut group: Group) {
        if flight.is_none() {
            (flight, group) = self.take_off(group);
        }
        while let Some(flying) = flight {
            (flight, group) = self.landed(flying.await.unwrap_or_default(), group).await;
        }
    }

    /// Decides a job as part of a group.
    async fn join(&self, one: Waiting, group: &mut Group) {
        let turn = self
            .take_turn(&one.job, &mut group.batch, &mut group.tentative, &mut Draw::Held, Trust::Held)
            .instrument(one.span.clone())
            .await
            // Decided again on what is stored, after what came before it.
            .unwrap_or_else(|_| Turn::again());
        group.turns.push((one, turn));
    }

    async fn by_itself(&self, one: Waiting) {
        let answer = self.alone(&one.job, Trust::Stored).instrument(one.span.clone()).await;
        let _ = one.tell.send(answer);
    }

    /// Writes a group. Nobody has been answered yet.
    async fn write_out(&self, group: Group) -> Landing {
        let Group { batch, tentative, turns } = group;
        let (again, turns): (Vec<_>, Vec<_>) = turns.into_iter().partition(|(_, turn)| turn.again);
        let mut again: Vec<Waiting> = again.into_iter().map(|(one, _)| one).collect();
        let (numbers, wakes, commands) = (batch.numbers.clone(), batch.wakes(), turns.len());
        let written = if batch.is_empty() {
            let proven = !turns.iter().any(|(_, turn)| turn.unproven);
            if proven || matches!(self.still_stands(&batch).await, Ok(true)) { Ok(()) } else { Err(NotWritten::Stale) }
        } else {
            self.write(batch, Draw::Held, commands).await
        };
        if written.is_ok() {
            self.done(tentative, numbers, commands, wakes);
            return Landing { written: true, answers: turns, again };
        }
        self.0.held.forget_common();
        tentative.ids().for_each(|id| self.0.held.forget_case(id));
        again.splice(0..0, turns.into_iter().map(|(one, _)| one));
        Landing { written: false, answers: Vec::new(), again }
    }
}
