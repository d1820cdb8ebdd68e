//! The one door: whoever wants a case to change, a person, a page, the clock, a scenario or an import, comes here.
//!
//! Load, bring up to date, decide, evolve, consequences, and one transaction that writes it all. Nobody is answered
//! before the commit, and the cache changes only after it.

use crate::calendar::Calendar;
use crate::case::act::looks_back;
use crate::case::advance::{clock_step, command_step, follow};
use crate::case::consequences::{Consequences, Notice};
use crate::case::decide::{Command, Decision};
use crate::case::event::Event;
use crate::case::migrate::{self, Plan};
use crate::case::options::{ActionOption, options};
use crate::case::refusal::{Code, Refusal, Refusals};
use crate::case::{Account, Case, Outside, Policy, Rules, sha256};
use crate::definition::Definition;
use crate::ids::{CaseId, uuid_v7};
use crate::library::Library;
use crate::scenario::FileToStore;
use crate::store::cases::{self, Commit, Loaded};
use crate::store::rows::{answer, case, file, opening};
use crate::store::seal::{SealKey, random};
use crate::store::views::Worklist;
use crate::store::{Store, StoreError, fault};
use chrono::{DateTime, FixedOffset, Utc};
use sea_orm::{ActiveValue::Set, DatabaseTransaction, EntityTrait};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use tokio::sync::Notify;
use tracing::Instrument as _;

/// Folded cases that are held in memory.
const CACHED_CASES: usize = 256;
/// Likely duplicates that are offered at most.
const SIMILAR_CASES: u64 = 5;
/// A clock step that does not settle in this many commits is a fault of the workflow.
const MAX_CLOCK_COMMITS: usize = 1_000;

/// Tells the time. Only the program's edge asks the operating system.
pub trait Clock: Send + Sync {
    /// Now.
    fn now(&self) -> DateTime<Utc>;
}

/// Says whether a character can be printed.
pub type Printable = Box<dyn Fn(char) -> bool + Send + Sync>;

/// The engine of an installation.
#[derive(Clone)]
pub struct Engine(Arc<Inner>);

struct Inner {
    store: Store,
    master: SealKey,
    library: Library,
    clock: Arc<dyn Clock>,
    printable: Printable,
    cache: Mutex<HashMap<CaseId, Arc<Loaded>>>,
    writer: tokio::sync::Mutex<()>,
    woken: Notify,
}

/// What somebody asks of the door.
#[derive(Clone, Debug)]
pub struct Request {
    /// The case; none to open one.
    pub case: Option<CaseId>,
    /// The workflow, when a case is opened.
    pub workflow: Option<String>,
    /// Who is at the keyboard.
    pub me: Account,
    /// The command; none to let the clock do what is due.
    pub command: Option<Command>,
    /// Idempotency key: the same key again gives the same answer.
    pub key: Option<String>,
    /// The version that the asker saw.
    pub expected: Option<u64>,
    /// A file that goes with the command.
    pub file: Option<FileToStore>,
}

/// What was written.
#[derive(Clone, Debug)]
pub struct Committed {
    /// The case, after it.
    pub loaded: Arc<Loaded>,
    /// The events of the clock and of the command.
    pub events: Vec<Event>,
    /// Letters that were put into the outbox.
    pub notices: Vec<Notice>,
    /// The answer was there already.
    pub repeated: bool,
}

/// Why nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// The rules say no.
    #[error("refused: {}", .0.iter().map(|r| format!("{:?} {}", r.code, r.what)).collect::<Vec<_>>().join("; "))]
    Refused(Refusals),
    /// No such case.
    #[error("there is no such case")]
    NoCase,
    /// No such workflow.
    #[error("there is no workflow `{0}`")]
    NoWorkflow(String),
    /// The case has moved on.
    #[error("the case is at version {current}")]
    Version {
        /// The version it is at.
        current: u64,
    },
    /// The key was used for something else.
    #[error("this idempotency key was used with another body")]
    KeyReused,
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A task was torn down.
    #[error("the work was broken off: {0}")]
    Broken(String),
}

impl From<sea_orm::DbErr> for SubmitError {
    fn from(error: sea_orm::DbErr) -> Self {
        Self::Store(error.into())
    }
}

/// The texts of one case.
#[derive(Clone, Debug)]
pub struct CaseRules {
    /// Its workflow.
    pub definition: Arc<Definition>,
    /// Its policy.
    pub policy: Arc<Policy>,
    /// The calendar in force.
    pub calendar: Arc<Calendar>,
}

impl CaseRules {
    /// As the core wants them.
    #[must_use]
    pub fn rules(&self) -> Rules<'_> {
        Rules { definition: &self.definition, policy: &self.policy, calendar: &self.calendar }
    }
}

impl Engine {
    /// An engine over a database, with the installation's key and texts. The texts in force are pinned.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn new(store: Store, master: SealKey, library: Library, clock: Arc<dyn Clock>, printable: Printable) -> Result<Self, StoreError> {
        for installed in library.workflows() {
            let d = &installed.definition;
            store.pin("workflow", &d.file.workflow, &d.digest, &d.canonical).await?;
            store.pin("policy", &d.file.workflow, &installed.policy.digest(), &installed.policy.canonical()).await?;
            if let Some(calendar) = library.calendar(&d.file.calendar) {
                store.pin("calendar", calendar.name(), calendar.digest(), &calendar.canonical()).await?;
            }
        }
        let inner = Inner {
            store,
            master,
            library,
            clock,
            printable,
            cache: Mutex::new(HashMap::new()),
            writer: tokio::sync::Mutex::new(()),
            woken: Notify::new(),
        };
        Ok(Self(Arc::new(inner)))
    }

    /// The database, for reading.
    #[must_use]
    pub fn store(&self) -> &Store {
        &self.0.store
    }

    /// The installation's key.
    #[must_use]
    pub fn master(&self) -> &SealKey {
        &self.0.master
    }

    /// The texts in force.
    #[must_use]
    pub fn library(&self) -> &Library {
        &self.0.library
    }

    /// Now.
    #[must_use]
    pub fn now(&self) -> DateTime<Utc> {
        self.0.clock.now()
    }

    /// Resolves when a commit has put something into the outbox.
    pub async fn woken(&self) {
        self.0.woken.notified().await;
    }

    /// Takes a command, or lets the clock do what is due. Runs to its end even when the asker has gone.
    ///
    /// # Errors
    /// Why nothing was written.
    pub async fn submit(&self, request: Request) -> Result<Committed, SubmitError> {
        let engine = self.clone();
        // A dropped request must not tear a transaction out of a pooled connection.
        match tokio::spawn(async move { engine.run(request).await }.in_current_span()).await {
            Ok(result) => result,
            Err(error) => Err(SubmitError::Broken(error.to_string())),
        }
    }

    /// A case as it stands, and its texts.
    ///
    /// # Errors
    /// When there is none, or the database fails.
    pub async fn read(&self, id: CaseId) -> Result<(Arc<Loaded>, CaseRules), SubmitError> {
        let row = cases::row(self.0.store.db(), id, false).await?.ok_or(SubmitError::NoCase)?;
        let loaded = self.folded(self.0.store.db(), id, row).await?;
        let rules = self.rules_of(&loaded.row).await?;
        Ok((loaded, rules))
    }

    /// Everything that somebody could do in a case.
    ///
    /// # Errors
    /// When there is no such case, or the database fails.
    pub async fn options(&self, id: CaseId, me: &Account, language: &str) -> Result<(u64, Vec<ActionOption>), SubmitError> {
        let (loaded, rules) = self.read(id).await?;
        let accounts = self.0.store.accounts().await?;
        let outside = self.outside(&rules.definition, me, &accounts, [0; 32], &[]);
        Ok((loaded.case.version, options(rules.rules(), &loaded.case, &outside, language)))
    }

    /// Cases that share every personal text fact with this one: likely the same dispute, opened twice. Offered to a
    /// person, never a reason to refuse.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn similar(&self, id: CaseId, only_for: Option<&Account>) -> Result<Vec<case::Model>, SubmitError> {
        use crate::definition::file::Class;
        use crate::value::Value;
        let (loaded, rules) = self.read(id).await?;
        let personal =
            rules.definition.file.facts.iter().filter(|(_, f)| f.class == Class::Personal).filter_map(|(name, _)| loaded.case.facts.get(name));
        let texts: Vec<&str> = personal
            .filter_map(|value| if let Some(Value::Text(text)) = loaded.case.vault.get(value) { Some(text.as_str()) } else { None })
            .collect();
        if texts.is_empty() {
            return Ok(Vec::new());
        }
        let ask = Worklist { words: Some(texts.join(" ")), limit: SIMILAR_CASES + 1, ..Worklist::default() };
        let mut rows = self.0.store.worklist(&self.0.master, &ask, only_for).await?;
        rows.retain(|row| row.id != loaded.row.id && row.workflow == loaded.row.workflow);
        Ok(rows)
    }

    /// What moving the running cases of a workflow to the version in force would do to each.
    ///
    /// # Errors
    /// When there is no such workflow, or the database fails.
    pub async fn migration(&self, workflow: &str, me: &Account) -> Result<Vec<(CaseId, Plan)>, SubmitError> {
        let installed = self.0.library.workflow(workflow).ok_or_else(|| SubmitError::NoWorkflow(workflow.to_owned()))?.clone();
        let accounts = self.0.store.accounts().await?;
        let mut out = Vec::new();
        for row in self.0.store.under_other_versions(workflow, &installed.definition.digest).await? {
            let Ok(id) = row.id.parse::<CaseId>() else { continue };
            let (loaded, from) = self.read(id).await?;
            let to = self.newer(&installed.definition, &from)?;
            let outside = self.outside(&to.definition, me, &accounts, [0; 32], &[]);
            out.push((id, migrate::plan(from.rules(), to.rules(), &loaded.case, &outside)));
        }
        Ok(out)
    }

    /// Moves one case to the version in force, after its clock was brought up to date under the old one.
    ///
    /// # Errors
    /// Why it may not move, or that the database fails.
    pub async fn migrate(&self, id: CaseId, me: &Account) -> Result<(), SubmitError> {
        let tick = Request { case: Some(id), workflow: None, me: me.clone(), command: None, key: None, expected: None, file: None };
        self.submit(tick.clone()).await?;
        let engine = self.clone();
        let me = me.clone();
        let moved = tokio::spawn(async move { engine.move_case(id, &me, &tick).await });
        moved.await.map_err(|error| SubmitError::Broken(error.to_string()))?
    }

    async fn move_case(&self, id: CaseId, me: &Account, request: &Request) -> Result<(), SubmitError> {
        let _one_writer = self.0.writer.lock().await;
        let accounts = self.0.store.accounts().await?;
        let tx = self.0.store.begin().await?;
        let moved = self.move_in(&tx, id, me, &accounts, request).await;
        match moved {
            Ok(loaded) => {
                tx.commit().await?;
                self.remember(id, loaded);
                Ok(())
            }
            Err(error) => {
                tx.rollback().await?;
                Err(error)
            }
        }
    }

    async fn move_in(
        &self,
        tx: &DatabaseTransaction,
        id: CaseId,
        me: &Account,
        accounts: &[Account],
        request: &Request,
    ) -> Result<Arc<Loaded>, SubmitError> {
        let row = cases::row(tx, id, true).await?.ok_or(SubmitError::NoCase)?;
        let loaded = self.folded(tx, id, row).await?;
        let from = self.rules_of(&loaded.row).await?;
        let installed = self.0.library.workflow(&loaded.row.workflow).ok_or_else(|| SubmitError::NoWorkflow(loaded.row.workflow.clone()))?;
        let to = self.newer(&installed.definition, &from)?;
        cases::pin(tx, "policy", &to.definition.file.workflow, &to.policy.digest(), &to.policy.canonical()).await?;
        let outside = self.outside(&to.definition, me, accounts, random(), &[]);
        let plan = migrate::plan(from.rules(), to.rules(), &loaded.case, &outside);
        if !plan.stranded.is_empty() {
            let stranded = plan.stranded.iter().map(|why| Refusal::new(Code::WouldPark, why.clone())).collect();
            return Err(SubmitError::Refused(stranded));
        }
        let (decision, _) =
            migrate::decide(to.rules(), &loaded.case, &outside, &plan.states, from.definition.digest.clone()).map_err(SubmitError::Refused)?;
        let key = loaded.key.clone().ok_or(StoreError::Sealed)?;
        match self.write(tx, request, &to, Some(&loaded.row), key, decision, &outside, id, None).await? {
            Turn::Write(written) => Ok(written.loaded),
            _ => Err(SubmitError::Broken("the move was not written".to_owned())),
        }
    }

    /// The texts of a case under the version in force.
    fn newer(&self, definition: &Arc<Definition>, from: &CaseRules) -> Result<CaseRules, SubmitError> {
        let calendar = self.0.library.calendar(&definition.file.calendar).ok_or(SubmitError::NoCase)?;
        let policy = Arc::new(migrate::policy(&from.policy, definition));
        self.0.library.keep_policy(policy.clone());
        Ok(CaseRules { definition: definition.clone(), policy, calendar })
    }

    fn outside<'a>(&'a self, definition: &Definition, me: &'a Account, accounts: &'a [Account], seed: [u8; 32], log: &'a [Event]) -> Outside<'a> {
        let now = self.now().with_timezone(&definition.zone).fixed_offset();
        Outside { now, seed, me, accounts, printable: &*self.0.printable, log }
    }

    fn cached(&self, id: CaseId, version: i64) -> Option<Arc<Loaded>> {
        let cache = self.0.cache.lock().ok()?;
        cache.get(&id).filter(|l| l.row.version == version).cloned()
    }

    fn remember(&self, id: CaseId, loaded: Arc<Loaded>) {
        if let Ok(mut cache) = self.0.cache.lock() {
            if cache.len() >= CACHED_CASES && !cache.contains_key(&id) {
                let victim = cache.keys().next().copied();
                victim.map(|victim| cache.remove(&victim));
            }
            cache.insert(id, loaded);
        }
    }

    async fn folded<C: sea_orm::ConnectionTrait>(&self, db: &C, id: CaseId, row: case::Model) -> Result<Arc<Loaded>, SubmitError> {
        if let Some(loaded) = self.cached(id, row.version) {
            return Ok(loaded);
        }
        let loaded = Arc::new(cases::load(db, &self.0.master, row).await?);
        self.remember(id, loaded.clone());
        Ok(loaded)
    }

    async fn rules_of(&self, row: &case::Model) -> Result<CaseRules, SubmitError> {
        let library = &self.0.library;
        let pinned = |kind, digest: &str, problem: String| StoreError::Pinned { kind, digest: digest.to_owned(), problem };
        let definition = match library.definition(&row.definition) {
            Some(definition) => definition,
            None => {
                let source = self.0.store.pinned("workflow", &row.definition).await?;
                let definition = crate::definition::load_pinned(&source.body).map_err(|e| pinned("workflow", &row.definition, e.to_string()))?;
                let definition = Arc::new(definition);
                library.keep_definition(definition.clone());
                definition
            }
        };
        let policy = match library.policy(&row.policy) {
            Some(policy) => policy,
            None => {
                let source = self.0.store.pinned("policy", &row.policy).await?;
                let values: BTreeMap<String, String> =
                    serde_json::from_str(&source.body).map_err(|e| pinned("policy", &row.policy, e.to_string()))?;
                let policy = Policy::of(&definition, &values).map_err(|e| pinned("policy", &row.policy, e.join("; ")))?;
                let policy = Arc::new(policy);
                library.keep_policy(policy.clone());
                policy
            }
        };
        let calendar = match library.calendar(&definition.file.calendar) {
            Some(calendar) => calendar,
            None => self.calendar_pinned(&row.calendar).await?,
        };
        Ok(CaseRules { definition, policy, calendar })
    }

    async fn calendar_pinned(&self, digest: &str) -> Result<Arc<Calendar>, SubmitError> {
        if let Some(calendar) = self.0.library.calendar_by_digest(digest) {
            return Ok(calendar);
        }
        let source = self.0.store.pinned("calendar", digest).await?;
        let calendar = Calendar::parse(&source.body).map_err(|_| StoreError::Pinned {
            kind: "calendar",
            digest: digest.to_owned(),
            problem: "cannot be read".to_owned(),
        })?;
        let calendar = Arc::new(calendar);
        self.0.library.keep_calendar(calendar.clone());
        Ok(calendar)
    }

    async fn run(&self, request: Request) -> Result<Committed, SubmitError> {
        let _one_writer = self.0.writer.lock().await;
        let accounts = self.0.store.accounts().await?;
        let opened = match self.opened_before(&request).await? {
            Some(id) => Some(id),
            None => request.case,
        };
        let mut events = Vec::new();
        let mut notices = Vec::new();
        for _ in 0..MAX_CLOCK_COMMITS {
            let tx = self.0.store.begin().await?;
            let first = events.first().map(|e: &Event| e.seq);
            let turn = self.turn(&tx, &request, opened, &accounts, first).await;
            match turn {
                Ok(Turn::Write(written)) => {
                    let Written { decision, consequences, loaded, last } = *written;
                    tx.commit().await?;
                    fault::point("commit");
                    let id = loaded.case.id.ok_or(SubmitError::NoCase)?;
                    self.remember(id, loaded.clone());
                    if !consequences.notices.is_empty() || !consequences.errands.is_empty() {
                        self.0.woken.notify_waiters();
                        self.0.woken.notify_one();
                    }
                    events.extend(decision.events);
                    notices.extend(consequences.notices);
                    if last {
                        return Ok(Committed { loaded, events, notices, repeated: false });
                    }
                }
                Ok(Turn::Nothing(loaded)) => {
                    tx.rollback().await?;
                    return Ok(Committed { loaded, events, notices, repeated: false });
                }
                Ok(Turn::Repeated(loaded, events)) => {
                    tx.rollback().await?;
                    return Ok(Committed { loaded, events, notices: Vec::new(), repeated: true });
                }
                Err(error) => {
                    tx.rollback().await?;
                    return Err(error);
                }
            }
        }
        Err(SubmitError::Broken("the clock did not come to rest".to_owned()))
    }

    /// The case that an earlier opening with the same key had opened.
    async fn opened_before(&self, request: &Request) -> Result<Option<CaseId>, SubmitError> {
        let (None, Some(key)) = (request.case, &request.key) else { return Ok(None) };
        let row = opening::Entity::find_by_id((request.me.id.to_string(), key.clone())).one(self.0.store.db()).await?;
        Ok(row.and_then(|r| r.case_id.parse().ok()))
    }

    /// One commit: of the clock if anything is due, else of the command. `first` is the first event of this request so far.
    async fn turn(
        &self,
        tx: &DatabaseTransaction,
        request: &Request,
        id: Option<CaseId>,
        accounts: &[Account],
        first: Option<u64>,
    ) -> Result<Turn, SubmitError> {
        let Some(id) = id else { return self.open(tx, request, accounts).await };
        let row = cases::row(tx, id, true).await?.ok_or(SubmitError::NoCase)?;
        let loaded = self.folded(tx, id, row).await?;
        let rules = self.rules_of(&loaded.row).await?;
        if let Some(repeated) = self.answered(tx, request, &loaded).await? {
            return Ok(repeated);
        }
        // Only the commands that look back need the log.
        let log = match &request.command {
            Some(command) if looks_back(&command.action) => cases::log(tx, &loaded.row.id).await?,
            _ => Vec::new(),
        };
        let outside = self.outside(&rules.definition, &request.me, accounts, random(), &log);
        let previous = match &loaded.case.under {
            Some(under) if under.calendar != rules.calendar.digest() => Some(self.calendar_pinned(&under.calendar).await?),
            _ => None,
        };
        let clock = clock_step(rules.rules(), &loaded.case, &outside, previous.as_deref()).map_err(SubmitError::Refused)?;
        let (decision, last) = match (clock, &request.command) {
            (Some(decision), _) => (decision, false),
            (None, None) => return Ok(Turn::Nothing(loaded)),
            (None, Some(command)) => {
                if let Some(expected) = request.expected.filter(|v| *v != loaded.case.version) {
                    tracing::debug!(expected, current = loaded.case.version, "the asker saw an older version");
                    return Err(SubmitError::Version { current: loaded.case.version });
                }
                (command_step(rules.rules(), &loaded.case, &outside, command).map_err(SubmitError::Refused)?, true)
            }
        };
        let key = loaded.key.clone().ok_or(StoreError::Sealed)?;
        self.write(tx, request, &rules, Some(&loaded.row), key, decision, &outside, id, last.then_some(first)).await
    }

    async fn open(&self, tx: &DatabaseTransaction, request: &Request, accounts: &[Account]) -> Result<Turn, SubmitError> {
        let Some(command) = &request.command else { return Err(SubmitError::NoCase) };
        let name = request.workflow.clone().unwrap_or_default();
        let installed = self.0.library.workflow(&name).ok_or(SubmitError::NoWorkflow(name))?;
        let calendar = self.0.library.calendar(&installed.definition.file.calendar).ok_or(SubmitError::NoCase)?;
        let rules = CaseRules { definition: installed.definition.clone(), policy: installed.policy.clone(), calendar };
        let outside = self.outside(&rules.definition, &request.me, accounts, random(), &[]);
        let id = CaseId::new(uuid_v7(u64::try_from(outside.now.timestamp_millis()).unwrap_or(0), &random()));
        let case = Case { id: Some(id), ..Case::default() };
        let decision = command_step(rules.rules(), &case, &outside, command).map_err(SubmitError::Refused)?;
        if let Some(key) = &request.key {
            let row = opening::ActiveModel { account: Set(request.me.id.to_string()), key: Set(key.clone()), case_id: Set(id.to_string()) };
            opening::Entity::insert(row).exec_without_returning(tx).await?;
        }
        self.write(tx, request, &rules, None, SealKey::generate(), decision, &outside, id, Some(None)).await
    }

    /// Draws numbers and writes a commit. `answers`: the last commit of a request, with its first event if the clock made one.
    #[expect(clippy::too_many_arguments, reason = "the one place where everything that a commit needs meets")]
    async fn write(
        &self,
        tx: &DatabaseTransaction,
        request: &Request,
        rules: &CaseRules,
        before: Option<&case::Model>,
        key: SealKey,
        mut decision: Decision,
        outside: &Outside<'_>,
        id: CaseId,
        answers: Option<Option<u64>>,
    ) -> Result<Turn, SubmitError> {
        for (index, series, year) in decision.slots() {
            let seq = cases::draw(tx, &series, year).await?;
            let form = rules.definition.file.numbers.get(&series).map(|n| n.form.clone()).unwrap_or_default();
            decision.number(index, seq, &form);
        }
        let consequences = follow(rules.rules(), &decision, outside).map_err(SubmitError::Refused)?;
        let now: DateTime<FixedOffset> = outside.now;
        let commit =
            Commit { rules: rules.rules(), id, before, key: &key, master: &self.0.master, decision: &decision, consequences: &consequences, now };
        let row = cases::write(tx, &commit).await?;
        if let Some(first) = answers {
            self.write_answer(tx, request, id, &decision, first).await?;
            self.write_file(tx, request, id, &key).await?;
        }
        let loaded = Arc::new(Loaded { case: decision.case.clone(), row, key: Some(key) });
        Ok(Turn::Write(Box::new(Written { decision, consequences, loaded, last: answers.is_some() })))
    }

    async fn write_answer(
        &self,
        tx: &DatabaseTransaction,
        request: &Request,
        id: CaseId,
        decision: &Decision,
        first: Option<u64>,
    ) -> Result<(), SubmitError> {
        let own = decision.events.first().map(|e| e.seq);
        // What the clock did in the same request belongs to the answer.
        let (Some(key), Some(first), Some(last)) = (&request.key, first.or(own), decision.events.last()) else { return Ok(()) };
        let row = answer::ActiveModel {
            case_id: Set(id.to_string()),
            account: Set(request.me.id.to_string()),
            key: Set(key.clone()),
            body_hash: Set(body_hash(request)),
            first_seq: Set(i64::try_from(first).unwrap_or(0)),
            last_seq: Set(i64::try_from(last.seq).unwrap_or(0)),
        };
        answer::Entity::insert(row).exec_without_returning(tx).await?;
        Ok(())
    }

    async fn write_file(&self, tx: &DatabaseTransaction, request: &Request, id: CaseId, key: &SealKey) -> Result<(), SubmitError> {
        let Some(new) = &request.file else { return Ok(()) };
        let name = format!("{id}/{}", new.id);
        let row = file::ActiveModel {
            case_id: Set(id.to_string()),
            id: Set(new.id.to_string()),
            sha256: Set(sha256(&new.bytes)),
            media_type: Set(new.media_type.clone()),
            size: Set(i64::try_from(new.bytes.len()).unwrap_or(i64::MAX)),
            sealed_name: Set(key.seal(new.name.as_bytes(), &format!("{name}/name"))),
            sealed: Set(key.seal(&new.bytes, &name)),
        };
        file::Entity::insert(row).exec_without_returning(tx).await?;
        Ok(())
    }

    /// The answer that was given to the same key before.
    async fn answered(&self, tx: &DatabaseTransaction, request: &Request, loaded: &Arc<Loaded>) -> Result<Option<Turn>, SubmitError> {
        let Some(key) = &request.key else { return Ok(None) };
        let id = (loaded.row.id.clone(), request.me.id.to_string(), key.clone());
        let Some(row) = answer::Entity::find_by_id(id).one(tx).await? else { return Ok(None) };
        if row.body_hash != body_hash(request) {
            return Err(SubmitError::KeyReused);
        }
        use sea_orm::{ColumnTrait as _, QueryFilter as _, QueryOrder as _};
        let rows = crate::store::rows::event::Entity::find()
            .filter(crate::store::rows::event::Column::CaseId.eq(&loaded.row.id))
            .filter(crate::store::rows::event::Column::Seq.between(row.first_seq, row.last_seq))
            .order_by_asc(crate::store::rows::event::Column::Seq)
            .all(tx)
            .await?;
        let events = rows.iter().map(cases::read_event).collect::<Result<Vec<_>, _>>()?;
        Ok(Some(Turn::Repeated(loaded.clone(), events)))
    }
}

/// One commit, written and not yet committed.
struct Written {
    decision: Decision,
    consequences: Consequences,
    loaded: Arc<Loaded>,
    last: bool,
}

enum Turn {
    Write(Box<Written>),
    Nothing(Arc<Loaded>),
    Repeated(Arc<Loaded>, Vec<Event>),
}

fn body_hash(request: &Request) -> String {
    let body = serde_json::json!({"workflow": request.workflow, "command": request.command});
    sha256(crate::value::canonical_json(&body).unwrap_or_else(|_| body.to_string()).as_bytes())
}
