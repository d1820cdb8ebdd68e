//! The two roads to the database.
//!
//! On SQLite all that waits is decided in order and written in groups (`group`). On PostgreSQL the pool works in parallel, and the
//! database says which of two came first. On both, a job may be decided and written by itself, on what is stored.

use super::group::Waiting;
use super::turn::{Draw, Job, Tentative, Trust};
use super::{Committed, Engine, SubmitError};
use crate::ids::CaseId;
use crate::measures;
use crate::store::batch::{Batch, NotWritten};
use crate::store::writer::Writer;
use crate::store::{StoreError, fault};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::atomic::Ordering;
use std::time::Instant;
use tokio::sync::{Mutex, mpsc, oneshot};
use tracing::{Instrument as _, Span};

/// How often a command is decided again when others were faster.
const TRIES: usize = 12;
/// Cases of one node that wait for each other by chance only.
const STRIPES: usize = 256;

/// Last numbers of series, before and after.
type Numbers = std::collections::BTreeMap<(String, i64), (i64, i64)>;

/// The way to the database.
pub(super) enum Road {
    /// One after the other, in groups.
    Group {
        /// Where jobs wait.
        asks: mpsc::UnboundedSender<Waiting>,
        /// Who writes.
        writer: Writer,
    },
    /// Everybody for himself, commands of one case in turn.
    Parallel(Vec<Mutex<()>>),
}

impl Road {
    pub fn parallel() -> Self {
        Self::Parallel((0..STRIPES).map(|_| Mutex::new(())).collect())
    }
}

fn stripe(case: Option<CaseId>) -> usize {
    let mut hasher = DefaultHasher::new();
    case.map(|id| id.to_string()).hash(&mut hasher);
    usize::try_from(hasher.finish() % STRIPES as u64).unwrap_or(0)
}

impl Engine {
    /// Takes a job to its end, even when the asker has gone.
    pub(super) async fn travel(&self, job: Job) -> Result<Committed, SubmitError> {
        if let Road::Group { asks, .. } = &self.0.road {
            let (tell, told) = oneshot::channel();
            let gone = || SubmitError::Broken("the writer has ended".to_owned());
            asks.send(Waiting { job, span: Span::current(), tell }).map_err(|_| gone())?;
            return told.await.map_err(|_| gone())?;
        }
        // A dropped request must not tear a transaction out of a pooled connection.
        let engine = self.clone();
        match tokio::spawn(async move { engine.in_turn(&job).await }.in_current_span()).await {
            Ok(result) => result,
            Err(error) => Err(SubmitError::Broken(error.to_string())),
        }
    }

    async fn in_turn(&self, job: &Job) -> Result<Committed, SubmitError> {
        let case = match job {
            Job::Command(request) => request.case,
            Job::Move { case, .. } => Some(*case),
        };
        // Openings meet nobody. Two commands of one case would only make each other decide twice.
        let _turn = match (&self.0.road, case) {
            (Road::Parallel(stripes), Some(_)) => Some(stripes[stripe(case)].lock().await),
            _ => None,
        };
        let trust = if job.is_alone() { Trust::Stored } else { Trust::Held };
        self.alone(job, trust).await
    }

    /// One job, until it is written or refused.
    pub(super) async fn alone(&self, job: &Job, first: Trust) -> Result<Committed, SubmitError> {
        let mut trust = first;
        let (mut fate_unknown, mut taken) = (None, None);
        for _ in 0..TRIES {
            let mut batch = Batch::default();
            let mut tentative = Tentative::default();
            let mut draw = match &self.0.road {
                Road::Group { .. } => Draw::Held,
                Road::Parallel(_) => Draw::Transaction(None),
            };
            let written = match self.take_turn(job, &mut batch, &mut tentative, &mut draw, trust).await {
                Ok(turn) if turn.unproven && batch.is_empty() => match self.still_stands(&batch).await {
                    Ok(true) => return turn.answer,
                    Ok(false) => Err(NotWritten::Stale),
                    Err(error) => Err(NotWritten::Failed(error)),
                },
                Ok(turn) if batch.is_empty() => return turn.answer,
                Ok(turn) => {
                    let case = turn.case;
                    let head = case.and_then(|id| Some((id, tentative.get(id)?.row.head.clone())));
                    let (numbers, wakes) = (batch.numbers.clone(), batch.wakes());
                    match self.write(batch, draw, 1).await {
                        Err(NotWritten::Unknown(error)) => {
                            fate_unknown = Some(error);
                            match self.was_written(head).await {
                                Some(true) => Ok(()),
                                Some(false) => Err(NotWritten::Stale),
                                None => break,
                            }
                        }
                        other => other,
                    }
                    .map(|()| {
                        self.done(tentative, numbers, 1, wakes);
                        turn.answer
                    })
                }
                Err(error) => Err(error),
            };
            match written {
                Ok(answer) => return answer,
                Err(why @ (NotWritten::Stale | NotWritten::Answered | NotWritten::Taken(_))) => {
                    if let NotWritten::Taken(error) = why {
                        // On SQLite nobody else writes cases: it will not go away.
                        if matches!(self.0.road, Road::Group { .. }) && trust == Trust::Stored {
                            return Err(error.into());
                        }
                        taken = Some(error);
                    }
                    self.0.held.forget_common();
                    if let Job::Command(request) = job
                        && let Some(id) = request.case
                    {
                        self.0.held.forget_case(id);
                    }
                    trust = Trust::Stored;
                }
                Err(NotWritten::Failed(error) | NotWritten::Unknown(error)) => return Err(error.into()),
            }
        }
        Err(fate_unknown.or(taken).unwrap_or_else(|| StoreError::Unreachable("others changed the same case again and again".to_owned())).into())
    }

    /// `commands`: how many it carries.
    pub(super) async fn write(&self, batch: Batch, draw: Draw, commands: usize) -> Result<(), NotWritten> {
        let begin = Instant::now();
        match (&self.0.road, draw) {
            (Road::Group { writer, .. }, _) => writer.write(batch).await?,
            (Road::Parallel(_), Draw::Transaction(transaction)) => self.0.store.write_postgres(batch, transaction).await?,
            (Road::Parallel(_), Draw::Held) => self.0.store.write_postgres(batch, None).await?,
        }
        self.0.commits.fetch_add(1, Ordering::Relaxed);
        measures::commit(begin.elapsed().as_secs_f64(), commands);
        fault::point("commit");
        Ok(())
    }

    /// After the commit: what is held changes, and whoever waits is waked. Then answers may go.
    pub(super) fn done(&self, tentative: Tentative, numbers: Numbers, commands: usize, wakes: bool) {
        for (id, loaded) in tentative.into_cases() {
            self.0.held.keep_case(id, loaded);
        }
        for ((series, year), (_, last)) in numbers {
            self.0.held.keep_number(series, year, last);
        }
        self.0.commands.fetch_add(u64::try_from(commands).unwrap_or(0), Ordering::Relaxed);
        if wakes {
            self.wake();
        }
    }

    /// Whether what a refusal rests on is still so.
    pub(super) async fn still_stands(&self, batch: &Batch) -> Result<bool, StoreError> {
        if self.0.store.account_changes().await? != batch.accounts {
            return Ok(false);
        }
        self.0.store.at_versions(&batch.versions).await
    }

    /// Whether a commit of unknown fate is there; none when the database does not answer.
    async fn was_written(&self, head: Option<(CaseId, String)>) -> Option<bool> {
        let (id, head) = head?;
        let row = crate::store::cases::row(self.0.store.db(), id).await.ok()?;
        Some(row.is_some_and(|row| row.head == head))
    }
}
