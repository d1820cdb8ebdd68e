//! The one door: whoever wants a case to change, a person, a page, the clock, a scenario or an import, comes here.
//!
//! Load, bring up to date, decide, evolve, consequences, and one transaction that writes it all. Nobody is answered
//! before the commit, and what is held in memory changes only after it. `turn` decides one request, `road` takes it to the
//! database, `group` does so for many at once, `held` is what is kept between.

mod group;
mod held;
mod road;
mod turn;

use crate::calendar::Calendar;
use crate::case::consequences::Notice;
use crate::case::decide::Command;
use crate::case::event::Event;
use crate::case::migrate::{self, Plan};
use crate::case::options::{ActionOption, options};
use crate::case::refusal::Refusals;
use crate::case::{Account, Outside, Policy, Rules};
use crate::definition::Definition;
use crate::ids::CaseId;
use crate::library::Library;
use crate::scenario::FileToStore;
use crate::store::cases::{self, Loaded};
use crate::store::rows::case;
use crate::store::seal::{SealKey, random};
use crate::store::views::Worklist;
use crate::store::writer::Writer;
use crate::store::{Store, StoreError};
use chrono::{DateTime, Utc};
use held::Held;
use road::Road;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use tokio::sync::{Notify, mpsc};
use turn::Job;

/// Likely duplicates that are offered at most.
const SIMILAR_CASES: u64 = 5;

/// Tells the time and draws chance. Only the program's edge asks the operating system.
pub trait Clock: Send + Sync {
    /// Now.
    fn now(&self) -> DateTime<Utc>;

    /// Random bytes, from which salts and ids are derived. A test that wants the same events twice says them itself.
    fn chance(&self) -> [u8; 32] {
        random()
    }
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
    held: Held,
    road: Road,
    woken: Notify,
    commits: AtomicU64,
    commands: AtomicU64,
    /// The clock is not believed: nothing falls due by it.
    clock_held: AtomicBool,
}

/// What an engine has done since it began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Transactions that were written.
    pub commits: u64,
    /// Commands, and turns of the clock, that were answered after one.
    pub commands: u64,
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
            store.pin("policy", &d.file.workflow, installed.policy.digest(), &installed.policy.canonical()).await?;
            if let Some(calendar) = library.calendar(&d.file.calendar) {
                store.pin("calendar", calendar.name(), calendar.digest(), &calendar.canonical()).await?;
            }
        }
        let (road, waiting) = if store.is_postgres() {
            (Road::parallel(), None)
        } else {
            let (asks, waiting) = mpsc::unbounded_channel();
            (Road::Group { asks, writer: Writer::start(&store)? }, Some(waiting))
        };
        let inner = Arc::new(Inner {
            store,
            master,
            library,
            clock,
            printable,
            held: Held::default(),
            road,
            woken: Notify::new(),
            commits: AtomicU64::new(0),
            commands: AtomicU64::new(0),
            clock_held: AtomicBool::new(false),
        });
        if let Some(waiting) = waiting {
            tokio::spawn(Self::rounds(Arc::downgrade(&inner), waiting));
        }
        Ok(Self(inner))
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

    /// Says whether the clock is believed. While it is not, commands are taken as ever and nothing falls due: a legal deadline
    /// that fires has effects that no later correction of the clock takes back.
    pub fn hold_clock(&self, held: bool) {
        self.0.clock_held.store(held, Ordering::Relaxed);
    }

    /// Whether the clock is not believed.
    #[must_use]
    pub fn clock_is_held(&self) -> bool {
        self.0.clock_held.load(Ordering::Relaxed)
    }

    /// What this engine has done since it began.
    #[must_use]
    pub fn figures(&self) -> Figures {
        Figures { commits: self.0.commits.load(Ordering::Relaxed), commands: self.0.commands.load(Ordering::Relaxed) }
    }

    /// On SQLite: lets cases take no more than so many pages of the database, to rehearse a full disk.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn limit_pages(&self, most: u32) -> Result<(), SubmitError> {
        let Road::Group { writer, .. } = &self.0.road else { return Ok(()) };
        writer.limit_pages(most).await.map_err(|why| SubmitError::Broken(format!("{why:?}")))
    }

    /// Wakes whoever waits for the outbox.
    pub fn wake(&self) {
        self.0.woken.notify_waiters();
        self.0.woken.notify_one();
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
        let used = request.key.as_ref().zip(request.case).map(|(key, case)| (case, request.me.id, key.clone()));
        let answer = self.travel(Job::Command(Box::new(request))).await;
        if answer.is_ok() {
            used.into_iter().for_each(|key| self.0.held.keep_key(key));
        }
        answer
    }

    /// A case as it stands, and its texts.
    ///
    /// # Errors
    /// When there is none, or the database fails.
    pub async fn read(&self, id: CaseId) -> Result<(Arc<Loaded>, CaseRules), SubmitError> {
        let row = cases::row(self.0.store.db(), id).await?.ok_or(SubmitError::NoCase)?;
        let loaded = self.folded(id, row).await?;
        let rules = self.rules_of(&loaded.row).await?;
        Ok((loaded, rules))
    }

    /// Everything that somebody could do in a case.
    ///
    /// # Errors
    /// When there is no such case, or the database fails.
    pub async fn options(&self, id: CaseId, me: &Account, language: &str) -> Result<(u64, Vec<ActionOption>), SubmitError> {
        let (loaded, rules) = self.read(id).await?;
        Ok((loaded.case.version, self.options_of(&loaded, &rules, me, language).await?))
    }

    /// Everything that somebody could do in a case that was just read or written.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn options_of(&self, loaded: &Loaded, rules: &CaseRules, me: &Account, language: &str) -> Result<Vec<ActionOption>, SubmitError> {
        let accounts = self.0.held.accounts_lately(&self.0.store).await?;
        let outside = self.outside(&rules.definition, me, &accounts.all, [0; 32], &[]);
        Ok(options(rules.rules(), &loaded.case, &outside, language))
    }

    /// A case as this process knows it, for a command: should it have moved on elsewhere, the command finds out. What is not
    /// held is read.
    ///
    /// # Errors
    /// When there is none, or the database fails.
    pub async fn glance(&self, id: CaseId) -> Result<(Arc<Loaded>, CaseRules), SubmitError> {
        match self.0.held.case(id) {
            Some(loaded) => Ok((loaded.clone(), self.rules_of(&loaded.row).await?)),
            None => self.read(id).await,
        }
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
        self.submit(tick).await?;
        self.travel(Job::Move { case: id, me: Box::new(me.clone()) }).await.map(drop)
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
}
