//! One request, decided: what it adds to a batch, and what it will be answered once that is written.

use super::held::Accounts;
use super::{CaseRules, Committed, Engine, Request, SubmitError};
use crate::case::act::looks_back;
use crate::case::advance::{clock_step, command_step, follow};
use crate::case::consequences::Notice;
use crate::case::decide::Decision;
use crate::case::event::Event;
use crate::case::migrate;
use crate::case::refusal::{Code, Refusal, Refusals};
use crate::case::{Account, Case, sha256};
use crate::ids::{CaseId, uuid_v7};
use crate::store::batch::{Batch, Inside, NotWritten};
use crate::store::cases::{self, Loaded, as_i64};
use crate::store::decided::Commit;
use crate::store::rows::{answer, case, event, opening};
use crate::store::seal::SealKey;
use crate::store::{StoreError, ms};
use sea_orm::{ColumnTrait as _, EntityTrait as _, QueryFilter as _, QueryOrder as _};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// A clock step that does not settle in this many commits is a fault of the workflow.
const MAX_CLOCK_COMMITS: usize = 1_000;

/// What is asked of the one door.
#[derive(Clone, Debug)]
pub(super) enum Job {
    /// A command, or the clock.
    Command(Box<Request>),
    /// To move a case to the version in force.
    Move { case: CaseId, me: Box<Account> },
}

impl Job {
    /// Whether it looks at more than cases that are held: it is then decided by itself, on what is stored.
    pub fn is_alone(&self) -> bool {
        match self {
            Self::Move { .. } => true,
            Self::Command(request) => request.file.is_some() || request.command.as_ref().is_some_and(|c| looks_back(&c.action)),
        }
    }
}

/// Last numbers of series, by series and year.
type Numbers<T> = BTreeMap<(String, i64), T>;

/// What a group that is being written will leave.
#[derive(Default)]
pub(super) struct Ahead {
    cases: HashMap<CaseId, Arc<Loaded>>,
    numbers: Numbers<i64>,
}

impl Ahead {
    pub fn of(tentative: &Tentative, numbers: &Numbers<(i64, i64)>) -> Self {
        Self { cases: tentative.cases.clone(), numbers: numbers.iter().map(|(place, (_, last))| (place.clone(), *last)).collect() }
    }
}

/// Cases in the making: as they will be when the batch is written, on top of what the group before it will leave.
#[derive(Default)]
pub(super) struct Tentative {
    cases: HashMap<CaseId, Arc<Loaded>>,
    ahead: Arc<Ahead>,
}

impl Tentative {
    pub fn on_top_of(ahead: Arc<Ahead>) -> Self {
        Self { cases: HashMap::new(), ahead }
    }

    /// The same, once the group before it was written.
    pub fn grounded(self) -> Self {
        Self { ahead: Arc::default(), ..self }
    }

    pub fn get(&self, id: CaseId) -> Option<&Arc<Loaded>> {
        self.cases.get(&id).or_else(|| self.ahead.cases.get(&id))
    }

    /// Whether this batch itself changes the case.
    fn changes(&self, id: CaseId) -> bool {
        self.cases.contains_key(&id)
    }

    fn insert(&mut self, id: CaseId, loaded: Arc<Loaded>) {
        self.cases.insert(id, loaded);
    }

    pub fn ids(&self) -> impl Iterator<Item = CaseId> {
        self.cases.keys().copied()
    }

    pub fn into_cases(self) -> impl Iterator<Item = (CaseId, Arc<Loaded>)> {
        self.cases.into_iter()
    }
}

/// Where numbers of series come from.
pub(super) enum Draw {
    /// Counted on in memory; the batch names the number before and after.
    Held,
    /// Drawn in a transaction that the batch is written in.
    Transaction(Option<Inside>),
}

/// What a job came to.
pub(super) struct Turn {
    /// What is answered when the batch is written.
    pub answer: Result<Committed, SubmitError>,
    /// The case, if one is concerned.
    pub case: Option<CaseId>,
    /// The answer rests on what was held in memory, and nothing in the batch proves that it still stands.
    pub unproven: bool,
    /// It came to nothing here: it must be decided again on what is stored.
    pub again: bool,
}

impl Turn {
    fn of(answer: Result<Committed, SubmitError>, case: Option<CaseId>, unproven: bool) -> Self {
        Self { answer, case, unproven, again: false }
    }

    pub fn again() -> Self {
        Self { again: true, ..Self::of(Err(SubmitError::Broken("it was not decided".to_owned())), None, false) }
    }
}

/// How well what is held in memory is believed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Trust {
    /// It is; the database will say if not.
    Held,
    /// It is read anew, and earlier answers are looked up first.
    Stored,
}

/// Who asks, with what, on which grounds.
struct Ground<'a> {
    request: &'a Request,
    accounts: &'a Accounts,
    trust: Trust,
}

impl Engine {
    /// Decides a job and adds to the batch what it comes to.
    ///
    /// # Errors
    /// When the job must be decided again on what is stored ([`NotWritten::Stale`]), or the database fails.
    pub(super) async fn take_turn(
        &self,
        job: &Job,
        batch: &mut Batch,
        tentative: &mut Tentative,
        draw: &mut Draw,
        trust: Trust,
    ) -> Result<Turn, NotWritten> {
        let accounts = self.0.held.accounts(&self.0.store).await.map_err(failed)?;
        batch.accounts = accounts.changes;
        match job {
            Job::Command(request) => {
                let ground = Ground { request, accounts: &accounts, trust };
                self.command_turn(&ground, batch, tentative, draw).await
            }
            Job::Move { case, me } => self.move_turn(*case, me, &accounts, batch, tentative, draw).await,
        }
    }

    async fn command_turn(&self, ground: &Ground<'_>, batch: &mut Batch, tentative: &mut Tentative, draw: &mut Draw) -> Result<Turn, NotWritten> {
        let request = ground.request;
        let mut id = request.case;
        if ground.trust == Trust::Stored && id.is_none() {
            id = self.opened_before(request).await.map_err(failed)?;
        }
        let Some(id) = id else { return self.open_turn(ground, batch, tentative, draw).await };
        let used = request.key.as_ref().map(|key| (id, request.me.id, key.clone()));
        if ground.trust == Trust::Held && used.as_ref().is_some_and(|key| self.0.held.knows_key(key)) {
            return Err(NotWritten::Answered);
        }
        let mut loaded = match self.stand(id, tentative, ground.trust).await {
            Ok(loaded) => loaded,
            Err(error) => return Ok(Turn::of(Err(error), None, false)),
        };
        if ground.trust == Trust::Stored
            && let Some(committed) = self.answered(request, &loaded).await.map_err(failed)?
        {
            return Ok(Turn::of(committed, Some(id), false));
        }
        // What is due would happen before the command: whether that was answered already, as after a restart, is asked first.
        if ground.trust == Trust::Held && request.key.is_some() && loaded.row.acts_at.is_some_and(|at| at <= ms(self.now())) {
            return Err(NotWritten::Answered);
        }
        if !tentative.changes(id) {
            batch.versions.insert(id.to_string(), loaded.row.version);
        }
        let rules = self.rules_of(&loaded.row).await.map_err(failed)?;
        let mut events: Vec<Event> = Vec::new();
        let mut notices: Vec<Notice> = Vec::new();
        let mut answer = None;
        for _ in 0..MAX_CLOCK_COMMITS {
            let step = self.step(ground, &rules, &loaded).await;
            let (decision, last) = match step {
                Ok(Some(step)) => step,
                Ok(None) => {
                    answer = Some(Ok(()));
                    break;
                }
                Err(error) => {
                    answer = Some(Err(error));
                    break;
                }
            };
            let first = events.first().map(|e| e.seq);
            let key = loaded.key.clone().ok_or(NotWritten::Failed(StoreError::Sealed))?;
            let added = self.add(ground, &rules, Some(&loaded), id, &key, decision, batch, tentative, draw).await?;
            let added = match added {
                Ok(added) => added,
                Err(error) => {
                    answer = Some(Err(error));
                    break;
                }
            };
            if last {
                self.add_answer(batch, request, id, first, &added.events);
                self.add_file(batch, request, id, &key);
            }
            events.extend(added.events);
            notices.extend(added.notices);
            loaded = added.loaded;
            tentative.insert(id, loaded.clone());
            if last {
                answer = Some(Ok(()));
                break;
            }
        }
        let answer = answer.unwrap_or_else(|| Err(SubmitError::Broken("the clock did not come to rest".to_owned())));
        // A refusal must not hide that the same key was answered before, when the case stood elsewhere.
        if answer.is_err() && request.key.is_some() && ground.trust == Trust::Held {
            return Err(NotWritten::Answered);
        }
        let unproven = answer.is_err() || events.is_empty();
        let answer = answer.map(|()| Committed { loaded, events, notices, repeated: false });
        Ok(Turn::of(answer, Some(id), unproven && ground.trust == Trust::Held))
    }

    /// What comes next in a case: the clock, else the command. With whether it is the command.
    async fn step(&self, ground: &Ground<'_>, rules: &CaseRules, loaded: &Loaded) -> Result<Option<(Decision, bool)>, SubmitError> {
        let request = ground.request;
        // Only the commands that look back need the log; they are decided alone, when nothing else is in the making.
        let log = match &request.command {
            Some(command) if looks_back(&command.action) => cases::log(self.0.store.db(), &loaded.row.id).await?,
            _ => Vec::new(),
        };
        let outside = self.outside(&rules.definition, &request.me, &ground.accounts.all, self.0.clock.chance(), &log);
        let previous = match &loaded.case.under {
            Some(under) if under.calendar != rules.calendar.digest() => Some(self.calendar_pinned(&under.calendar).await?),
            _ => None,
        };
        let clock = match self.clock_is_held() {
            true => None,
            false => standing(|| clock_step(rules.rules(), &loaded.case, &outside, previous.as_deref()))?,
        };
        match (clock, &request.command) {
            (Some(decision), _) => Ok(Some((decision, false))),
            (None, None) => Ok(None),
            (None, Some(command)) => {
                if let Some(expected) = request.expected.filter(|v| *v != loaded.case.version) {
                    tracing::debug!(target: "heyi_engine::submit", expected, current = loaded.case.version, "the asker saw an older version");
                    return Err(SubmitError::Version { current: loaded.case.version });
                }
                let decision = standing(|| command_step(rules.rules(), &loaded.case, &outside, command))?;
                Ok(Some((decision, true)))
            }
        }
    }

    async fn open_turn(&self, ground: &Ground<'_>, batch: &mut Batch, tentative: &mut Tentative, draw: &mut Draw) -> Result<Turn, NotWritten> {
        let request = ground.request;
        let refused = |error| Ok(Turn::of(Err(error), None, ground.trust == Trust::Held));
        let Some(command) = &request.command else { return refused(SubmitError::NoCase) };
        let name = request.workflow.clone().unwrap_or_default();
        let Some(installed) = self.0.library.workflow(&name) else { return refused(SubmitError::NoWorkflow(name)) };
        let Some(calendar) = self.0.library.calendar(&installed.definition.file.calendar) else { return refused(SubmitError::NoCase) };
        let rules = CaseRules { definition: installed.definition.clone(), policy: installed.policy.clone(), calendar };
        let decided = {
            let outside = self.outside(&rules.definition, &request.me, &ground.accounts.all, self.0.clock.chance(), &[]);
            let [chance, _] = halves(self.0.clock.chance());
            let id = CaseId::new(uuid_v7(u64::try_from(outside.now.timestamp_millis()).unwrap_or(0), &chance));
            let case = Case { id: Some(id), ..Case::default() };
            standing(|| command_step(rules.rules(), &case, &outside, command)).map(|decision| (id, decision))
        };
        let (id, decision) = match decided {
            Ok(decided) => decided,
            Err(_) if request.key.is_some() && ground.trust == Trust::Held => return Err(NotWritten::Answered),
            Err(error) => return refused(error),
        };
        let key = SealKey::generate();
        let added = match self.add(ground, &rules, None, id, &key, decision, batch, tentative, draw).await? {
            Ok(added) => added,
            Err(error) => return refused(error),
        };
        if let Some(key) = &request.key {
            batch.openings.push([request.me.id.to_string().into(), key.into(), id.to_string().into()]);
        }
        self.add_answer(batch, request, id, None, &added.events);
        tentative.insert(id, added.loaded.clone());
        let committed = Committed { loaded: added.loaded, events: added.events, notices: added.notices, repeated: false };
        Ok(Turn::of(Ok(committed), Some(id), false))
    }

    async fn move_turn(
        &self,
        id: CaseId,
        me: &Account,
        accounts: &Accounts,
        batch: &mut Batch,
        tentative: &mut Tentative,
        draw: &mut Draw,
    ) -> Result<Turn, NotWritten> {
        let refused = |error| Ok(Turn::of(Err(error), Some(id), false));
        let loaded = match self.stand(id, tentative, Trust::Stored).await {
            Ok(loaded) => loaded,
            Err(error) => return refused(error),
        };
        batch.versions.insert(id.to_string(), loaded.row.version);
        let from = self.rules_of(&loaded.row).await.map_err(failed)?;
        let Some(installed) = self.0.library.workflow(&loaded.row.workflow) else {
            return refused(SubmitError::NoWorkflow(loaded.row.workflow.clone()));
        };
        let to = self.newer(&installed.definition, &from).map_err(failed)?;
        let policy = to.policy.canonical();
        cases::pin(self.0.store.db(), "policy", &to.definition.file.workflow, to.policy.digest(), &policy).await.map_err(NotWritten::Failed)?;
        let decided = {
            let outside = self.outside(&to.definition, me, &accounts.all, self.0.clock.chance(), &[]);
            let plan = migrate::plan(from.rules(), to.rules(), &loaded.case, &outside);
            if plan.stranded.is_empty() {
                let digest = from.definition.digest.clone();
                migrate::decide(to.rules(), &loaded.case, &outside, &plan.states, digest).map(|(decision, _)| decision)
            } else {
                Err(plan.stranded.iter().map(|why| Refusal::new(Code::WouldPark, why.clone())).collect::<Refusals>())
            }
        };
        let decision = match decided {
            Ok(decision) => decision,
            Err(refusals) => return refused(SubmitError::Refused(refusals)),
        };
        let key = loaded.key.clone().ok_or(NotWritten::Failed(StoreError::Sealed))?;
        let request = Request { case: Some(id), workflow: None, me: me.clone(), command: None, key: None, expected: None, file: None };
        let ground = Ground { request: &request, accounts, trust: Trust::Stored };
        match self.add(&ground, &to, Some(&loaded), id, &key, decision, batch, tentative, draw).await? {
            Ok(added) => {
                tentative.insert(id, added.loaded.clone());
                let committed = Committed { loaded: added.loaded, events: added.events, notices: added.notices, repeated: false };
                Ok(Turn::of(Ok(committed), Some(id), false))
            }
            Err(error) => refused(error),
        }
    }

    /// The case as this batch will leave it, or as it is held or stored.
    async fn stand(&self, id: CaseId, tentative: &Tentative, trust: Trust) -> Result<Arc<Loaded>, SubmitError> {
        if let Some(loaded) = tentative.get(id) {
            return Ok(loaded.clone());
        }
        if trust == Trust::Held
            && let Some(loaded) = self.0.held.case(id)
        {
            return Ok(loaded);
        }
        let row = cases::row(self.0.store.db(), id).await?.ok_or(SubmitError::NoCase)?;
        self.folded(id, row).await
    }

    /// Draws numbers, asks what follows, and adds it all to the batch; or says why it may not be.
    #[expect(clippy::too_many_arguments, reason = "the one place where everything that a commit needs meets")]
    async fn add(
        &self,
        ground: &Ground<'_>,
        rules: &CaseRules,
        before: Option<&Loaded>,
        id: CaseId,
        key: &SealKey,
        mut decision: Decision,
        batch: &mut Batch,
        tentative: &Tentative,
        draw: &mut Draw,
    ) -> Result<Result<Added, SubmitError>, NotWritten> {
        let mut drawn: HashMap<(String, i64), (i64, i64)> = HashMap::new();
        let mut taken = Vec::new();
        for (index, series, year) in decision.slots() {
            let place = (series.clone(), i64::from(year));
            let next = match draw {
                Draw::Held => {
                    let known = drawn.get(&place).or_else(|| batch.numbers.get(&place)).copied();
                    let (before, last) = match known {
                        Some(known) => known,
                        None => {
                            let last = match tentative.ahead.numbers.get(&place) {
                                Some(last) => *last,
                                None => self.0.held.number(&self.0.store, &series, place.1).await.map_err(failed)?,
                            };
                            (last, last)
                        }
                    };
                    drawn.insert(place, (before, last + 1));
                    last + 1
                }
                Draw::Transaction(transaction) => {
                    let next = self.0.store.draw(transaction, &series, place.1).await.map_err(NotWritten::Failed)?;
                    taken.push(place);
                    next
                }
            };
            let form = rules.definition.file.numbers.get(&series).map(|n| n.form.clone()).unwrap_or_default();
            decision.number(index, u32::try_from(next).unwrap_or(u32::MAX), &form);
        }
        let outside = self.outside(&rules.definition, &ground.request.me, &ground.accounts.all, [0; 32], &[]);
        let consequences = match standing(|| follow(rules.rules(), &decision, &outside)) {
            Ok(consequences) => consequences,
            Err(error) => {
                // A step that is refused uses no number; what the clock drew before it in the same transaction stays.
                if let Draw::Transaction(transaction) = draw {
                    for (series, year) in &taken {
                        self.0.store.put_back(transaction, series, *year).await.map_err(NotWritten::Failed)?;
                    }
                }
                return Ok(Err(error));
            }
        };
        if let Draw::Transaction(transaction) = draw {
            let recalls: Vec<&str> = consequences.notices.iter().filter_map(|n| n.recalls.as_ref()).map(|r| r.id.as_str()).collect();
            self.0.store.hold_letters(transaction, &id.to_string(), &recalls).await.map_err(NotWritten::Failed)?;
        }
        let events = decision.events.clone();
        // The rows bear the time that the events bear.
        let now = events.last().map_or(outside.now, |e| e.recorded_at);
        let commit = Commit { rules: rules.rules(), id, key, master: &self.0.master, decision, consequences: &consequences, now };
        let loaded = Arc::new(batch.add(commit, before).map_err(NotWritten::Failed)?);
        batch.numbers.extend(drawn);
        Ok(Ok(Added { events, notices: consequences.notices, loaded }))
    }

    fn add_answer(&self, batch: &mut Batch, request: &Request, id: CaseId, first: Option<u64>, own: &[Event]) {
        // What the clock did in the same request belongs to the answer.
        let first = first.or(own.first().map(|e| e.seq));
        let (Some(key), Some(first), Some(last)) = (&request.key, first, own.last()) else { return };
        batch.answers.push([
            id.to_string().into(),
            request.me.id.to_string().into(),
            key.into(),
            body_hash(request).into(),
            as_i64(first).into(),
            as_i64(last.seq).into(),
        ]);
    }

    fn add_file(&self, batch: &mut Batch, request: &Request, id: CaseId, key: &SealKey) {
        let Some(new) = &request.file else { return };
        let name = format!("{id}/{}", new.id);
        batch.files.push([
            id.to_string().into(),
            new.id.to_string().into(),
            sha256(&new.bytes).into(),
            (&new.media_type).into(),
            i64::try_from(new.bytes.len()).unwrap_or(i64::MAX).into(),
            key.seal(new.name.as_bytes(), &format!("{name}/name")).into(),
            key.seal(&new.bytes, &name).into(),
        ]);
    }

    /// The case that an earlier opening with the same key had opened.
    async fn opened_before(&self, request: &Request) -> Result<Option<CaseId>, SubmitError> {
        let (None, Some(key)) = (request.case, &request.key) else { return Ok(None) };
        let row = opening::Entity::find_by_id((request.me.id.to_string(), key.clone())).one(self.0.store.db()).await?;
        Ok(row.and_then(|r| r.case_id.parse().ok()))
    }

    /// What the same key was answered before.
    async fn answered(&self, request: &Request, loaded: &Arc<Loaded>) -> Result<Option<Result<Committed, SubmitError>>, SubmitError> {
        let Some(key) = &request.key else { return Ok(None) };
        let id = (loaded.row.id.clone(), request.me.id.to_string(), key.clone());
        let Some(row) = answer::Entity::find_by_id(id).one(self.0.store.db()).await? else { return Ok(None) };
        if row.body_hash != body_hash(request) {
            return Ok(Some(Err(SubmitError::KeyReused)));
        }
        let rows = event::Entity::find()
            .filter(event::Column::CaseId.eq(&loaded.row.id))
            .filter(event::Column::Seq.between(row.first_seq, row.last_seq))
            .order_by_asc(event::Column::Seq)
            .all(self.0.store.db())
            .await?;
        let events = rows.iter().map(cases::read_event).collect::<Result<Vec<_>, _>>()?;
        Ok(Some(Ok(Committed { loaded: loaded.clone(), events, notices: Vec::new(), repeated: true })))
    }

    /// Folds a case, unless it is held at this version.
    pub(super) async fn folded(&self, id: CaseId, row: case::Model) -> Result<Arc<Loaded>, SubmitError> {
        if let Some(loaded) = self.0.held.case(id).filter(|l| l.row.version == row.version) {
            return Ok(loaded);
        }
        let loaded = Arc::new(cases::load(self.0.store.db(), &self.0.master, row).await?);
        self.0.held.keep_case(id, loaded.clone());
        Ok(loaded)
    }
}

/// One decision, in the batch.
struct Added {
    events: Vec<Event>,
    notices: Vec<Notice>,
    loaded: Arc<Loaded>,
}

/// Asks the pure core. A fault there is one command's own: whoever shares its group must not fall with it.
fn standing<T>(ask: impl FnOnce() -> Result<T, Refusals>) -> Result<T, SubmitError> {
    match std::panic::catch_unwind(std::panic::AssertUnwindSafe(ask)) {
        Ok(answer) => answer.map_err(SubmitError::Refused),
        Err(_) => Err(SubmitError::Broken("the rules fell over on this command".to_owned())),
    }
}

fn halves(bytes: [u8; 32]) -> [[u8; 16]; 2] {
    let mut out = [[0; 16]; 2];
    out.as_flattened_mut().copy_from_slice(&bytes);
    out
}

fn failed(error: SubmitError) -> NotWritten {
    match error {
        SubmitError::Store(error) => NotWritten::Failed(error),
        other => NotWritten::Failed(StoreError::Unreachable(other.to_string())),
    }
}

fn body_hash(request: &Request) -> String {
    let body = serde_json::json!({"workflow": request.workflow, "command": request.command});
    sha256(crate::value::canonical_json(&body).unwrap_or_else(|_| body.to_string()).as_bytes())
}
