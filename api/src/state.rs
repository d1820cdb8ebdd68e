//! The running application: engine, templates, post, keys. Everything is checked before anybody can ask.

use crate::config::Config;
use crate::cover::Cover;
use crate::documents;
use crate::mail::{Mailbox, Post, Sender};
use crate::package::{PrivateKey, PublicKey};
use crate::ready::Pulse;
use crate::shipped::Sources;
use crate::templates::{Committee, Localised, Templates, shapes};
use chrono::{DateTime, Utc};
use heyi_engine::case::Account;
use heyi_engine::ids::AccountId;
use heyi_engine::library::Library;
use heyi_engine::store::seal::{SealKey, random, sync_folder};
use heyi_engine::store::{Store, StoreError};
use heyi_engine::submit::{Clock, Engine};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

/// The key under which the database remembers that it is a training room.
pub const SANDBOX: &str = "sandbox";
/// The key under which the database remembers how far the training room's clock was moved, in milliseconds.
pub const CLOCK_OFFSET: &str = "sandbox_clock_offset_ms";

/// The application, cheap to clone.
#[derive(Clone)]
pub struct App(Arc<Parts>);

/// What the application is made of.
pub struct Parts {
    /// The engine.
    pub engine: Engine,
    /// Templates of letters.
    pub templates: Templates,
    /// Templates and fonts of documents.
    pub documents: documents::Templates,
    /// Where letters go.
    pub post: Post,
    /// Where answers of mail servers are fetched, if anywhere.
    pub mailbox: Option<Mailbox>,
    /// Signs packages.
    pub key: PrivateKey,
    /// The settings.
    pub config: Config,
    /// Workflow files.
    pub sources: Sources,
    /// The clock, which the training room may move.
    pub clock: Arc<MovableClock>,
    /// This is a training room.
    pub sandbox: bool,
    /// The workers' sign of life.
    pub pulse: Pulse,
    /// What is known of proceedings that wait for nobody.
    pub cover: Cover,
}

impl std::ops::Deref for App {
    type Target = Parts;
    fn deref(&self) -> &Parts {
        &self.0
    }
}

/// Why the application cannot start. Each line names a file, a setting or a place, and what would be right.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Workflows, calendars, policy.
    #[error("{}", .0.join("\n"))]
    Sources(Vec<String>),
    /// Templates.
    #[error("{}", .0.join("\n"))]
    Templates(Vec<String>),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file or folder of the installation.
    #[error("{what}: {problem}")]
    File {
        /// Which.
        what: String,
        /// What happened.
        problem: String,
    },
    /// A training room is opened as a real one, or the other way round.
    #[error("{0}")]
    Sandbox(String),
    /// The database is an old copy, or belongs to another key.
    #[error("{0}")]
    Elsewhere(String),
}

/// The operating system's clock, moved by an offset that only a training room changes.
#[derive(Debug, Default)]
pub struct MovableClock {
    offset_ms: AtomicI64,
    fixed_ms: AtomicI64,
}

impl MovableClock {
    /// Moves the clock, so that it says `now` now.
    pub fn set(&self, now: DateTime<Utc>) -> i64 {
        let offset = now.timestamp_millis() - Utc::now().timestamp_millis();
        self.offset_ms.store(offset, Ordering::SeqCst);
        self.fixed_ms.store(0, Ordering::SeqCst);
        offset
    }

    /// Moves the clock by an offset that was kept.
    pub fn set_offset(&self, offset_ms: i64) {
        self.offset_ms.store(offset_ms, Ordering::SeqCst);
    }

    /// Stops the clock at a moment: for plays, whose every step says when it is.
    pub fn stop_at(&self, now: DateTime<Utc>) {
        self.fixed_ms.store(now.timestamp_millis(), Ordering::SeqCst);
    }
}

impl Clock for MovableClock {
    fn now(&self) -> DateTime<Utc> {
        match self.fixed_ms.load(Ordering::SeqCst) {
            0 => DateTime::from_timestamp_millis(Utc::now().timestamp_millis() + self.offset_ms.load(Ordering::SeqCst)).unwrap_or_default(),
            fixed => DateTime::from_timestamp_millis(fixed).unwrap_or_default(),
        }
    }
}

/// The account that the clock and the workers act with; nobody can log in as it.
#[must_use]
pub fn engine_account() -> Account {
    Account {
        id: AccountId::new(uuid::Uuid::nil()),
        role: "engine".to_owned(),
        name: "Heyi".to_owned(),
        organisation: None,
        email: None,
        language: "en".to_owned(),
        stands_in: false,
    }
}

/// Whether a folder is to be opened as a training room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// A real installation. Refuses a training room.
    Real,
    /// A training room. Refuses a real installation.
    Sandbox,
    /// Whatever it is: for commands that only look.
    Either,
}

impl App {
    /// Opens an installation, making folder, database and keys on the first start.
    ///
    /// # Errors
    /// Everything that is wrong with files, settings and database.
    pub async fn open(config: Config, mode: Mode) -> Result<Self, StartError> {
        let file = |what: &str| {
            let what = what.to_owned();
            move |problem: std::io::Error| StartError::File { what, problem: problem.to_string() }
        };
        let sources = Sources::read(config.workflows.as_deref()).map_err(StartError::Sources)?;
        let library = sources.library(&config.policy).map_err(StartError::Sources)?;
        let templates = letter_templates(&library, &config)?;
        let documents = match &config.templates {
            Some(folder) => {
                let own = documents::Templates::with_folder(folder).map_err(|e| StartError::Templates(vec![e.to_string()]))?;
                own.check().map_err(|e| StartError::Templates(vec![e.to_string()]))?;
                own
            }
            None => documents::Templates::embedded(),
        };
        std::fs::create_dir_all(&config.data_dir).map_err(file(&config.data_dir.display().to_string()))?;
        let (post, mailbox) = (post(&config)?, mailbox(&config)?);
        let store = Store::connect(&config.database()).await?;
        crate::backup::guard(&store, &config).await?;
        let key = signing_key(&config)?;
        let master = SealKey::of_installation(&config.below("keys").join("master.key"))?;
        let sandbox = sandbox(&store, mode, &config).await?;
        let clock = Arc::new(MovableClock::default());
        if let Some(offset) = store.meta(CLOCK_OFFSET).await?.and_then(|o| o.parse().ok()).filter(|_| sandbox) {
            clock.set_offset(offset);
        }
        let fonts = documents.clone();
        let engine = Engine::new(store, master, library, clock.clone(), Box::new(move |c| fonts.covers(c))).await?;
        Ok(Self(Arc::new(Parts {
            engine,
            templates,
            documents,
            post,
            mailbox,
            key,
            config,
            sources,
            clock,
            sandbox,
            pulse: Pulse::default(),
            cover: Cover::default(),
        })))
    }

    /// The committee as letters name it.
    #[must_use]
    pub fn committee(&self) -> Committee {
        let name = |language: &str| self.config.committee.name.get(language).cloned().unwrap_or_default();
        Committee {
            name: Localised { zh_cn: name("zh-CN"), en: name("en") },
            phone: self.config.committee.phone.clone(),
            address: self.config.committee.address.clone(),
        }
    }
}

/// Reads and checks every template against what the workflows say their notices carry.
fn letter_templates(library: &Library, config: &Config) -> Result<Templates, StartError> {
    let shapes = shapes::of(library).map_err(StartError::Templates)?;
    Templates::load(&shapes, &["zh-CN", "en"], config.template_folder())
        .map_err(|m| StartError::Templates(m.iter().map(ToString::to_string).collect()))
}

/// The key that signs packages: made on the first start; its public half lies beside the data for everyone.
fn signing_key(config: &Config) -> Result<PrivateKey, StartError> {
    let path = config.below("keys").join("signing.pem");
    let failed = |error: &dyn std::fmt::Display| StartError::File { what: "the signing key".to_owned(), problem: error.to_string() };
    if !path.exists() {
        // Written beside and linked into place, so that a crash leaves no half key and a race only one.
        let beside = path.with_extension("new");
        std::fs::create_dir_all(config.below("keys")).map_err(|e| failed(&e))?;
        let _ = std::fs::remove_file(&beside);
        PrivateKey::from_seed(random()).save(&beside).map_err(|e| failed(&e))?;
        let linked = std::fs::hard_link(&beside, &path);
        std::fs::remove_file(&beside).map_err(|e| failed(&e))?;
        if let Err(error) = linked
            && !path.exists()
        {
            return Err(failed(&error));
        }
        // Packages that are signed with it may leave at once: it must still be there after a power cut.
        sync_folder(&config.below("keys")).map_err(|e| failed(&e))?;
    }
    let key = PrivateKey::load(&path).map_err(|e| failed(&e))?;
    let public = config.below("public-key.pem");
    let known = PublicKey::load(&public).is_ok_and(|k| k.fingerprint() == key.public().fingerprint());
    if !known {
        lasting(&public, key.public().to_pem().as_bytes()).map_err(|e| failed(&e))?;
    }
    Ok(key)
}

/// Writes a file that is there whole, or as it was before, whatever happens to the power.
fn lasting(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    use std::io::Write as _;
    let beside = path.with_extension("new");
    let mut file = std::fs::File::create(&beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    std::fs::rename(&beside, path)?;
    path.parent().map_or(Ok(()), sync_folder)
}

/// Where letters go, by the settings.
///
/// # Errors
/// When the setting, or the address that letters come from, cannot be used.
pub fn post(config: &Config) -> Result<Post, StartError> {
    let domain = config.mail_from.rsplit('@').next().unwrap_or("localhost").to_owned();
    let name = config.committee.name.get("zh-CN").cloned().unwrap_or_default();
    let sender = Sender { name, address: config.mail_from.clone(), domain };
    let url = config.smtp_url.clone().unwrap_or_else(|| format!("folder:{}", config.data_dir.display()));
    Post::from_url(&url, sender).map_err(|error| StartError::File { what: "setting smtp_url or mail_from".to_owned(), problem: error.to_string() })
}

/// The mailbox of the settings, if they name one.
///
/// # Errors
/// When the setting cannot be used.
pub fn mailbox(config: &Config) -> Result<Option<Mailbox>, StartError> {
    let failed = |error: crate::mail::ConfigError| StartError::File { what: "setting bounce_mailbox".to_owned(), problem: error.to_string() };
    config.bounce_mailbox.as_deref().map(Mailbox::from_url).transpose().map_err(failed)
}

async fn sandbox(store: &Store, mode: Mode, config: &Config) -> Result<bool, StartError> {
    let known = store.meta(SANDBOX).await?;
    let dir = config.data_dir.display();
    match (mode, known.as_deref()) {
        (Mode::Real, Some("true")) => {
            Err(StartError::Sandbox(format!("{dir} is a training room: open it with `heyi serve --sandbox --data {dir}`, or choose another folder")))
        }
        (Mode::Sandbox, Some("false")) => {
            Err(StartError::Sandbox(format!("{dir} is a real installation and cannot become a training room: choose another folder")))
        }
        (Mode::Real, None) => store.set_meta(SANDBOX, "false").await.map(|()| false).map_err(Into::into),
        (Mode::Sandbox, None) => store.set_meta(SANDBOX, "true").await.map(|()| true).map_err(Into::into),
        (_, known) => Ok(known == Some("true")),
    }
}
