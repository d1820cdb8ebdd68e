//! A mailbox (IMAP) to which mail servers answer: what is unread there is fetched into the folder that is read for
//! returned letters, and marked as read once it lies there. Nothing is deleted.
//!
//! Here: the conversation with the server. Not here: what a message means (`bounce`) and what follows (`bounces`). A
//! message that was fetched and not yet marked, because the power went, comes again, and changes nothing.

use super::REPORT_HEAD_MAX_BYTES;
use super::smtp::Security;
use super::url::{self, ConfigError};
use async_imap::types::Fetch;
use async_imap::{Client, Session};
use futures_util::TryStreamExt as _;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};

/// Messages that are fetched in one go; more wait for the next.
const BATCH: usize = 100;
/// How long connecting, encryption and log-in together may take.
const CONNECT_TIME: Duration = Duration::from_secs(20);
/// How long one answer of the server may take.
const ANSWER_TIME: Duration = Duration::from_secs(30);

/// The server and folder of the setting.
pub(super) struct Server {
    pub security: Security,
    pub host: String,
    pub port: u16,
    pub user: String,
    pub password: String,
    pub folder: String,
    pub tls: (Arc<ClientConfig>, ServerName<'static>),
}

/// Whom to trust: this authority, or the usual ones.
pub(super) fn tls(host: &str, authority: Option<&[u8]>) -> Option<(Arc<ClientConfig>, ServerName<'static>)> {
    let mut roots = RootCertStore::empty();
    match authority {
        Some(pem) => CertificateDer::pem_slice_iter(pem).try_for_each(|one| roots.add(one.ok()?).ok())?,
        None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
    }
    let config = ClientConfig::builder_with_provider(Arc::new(crypto::ring::default_provider()));
    let config = config.with_safe_default_protocol_versions().ok()?.with_root_certificates(roots).with_no_client_auth();
    Some((Arc::new(config), ServerName::try_from(host.to_owned()).ok()?))
}

/// Why nothing could be fetched. No text here repeats what a server said: it may name somebody.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MailboxError {
    /// Nobody answers.
    #[error("the mailbox's server cannot be reached")]
    Unreachable,
    /// No encryption, or not by whom it should be.
    #[error("the mailbox's server cannot be reached safely")]
    NotSafe,
    /// Wrong user or password.
    #[error("the mailbox's server refused the log-in")]
    LogIn,
    /// No such folder.
    #[error("the mailbox has no such folder, or it may not be opened")]
    NoFolder,
    /// The conversation ended before it was over.
    #[error("the mailbox's server broke the conversation off")]
    BrokenOff,
    /// The disk.
    #[error("what was fetched cannot be written: {0}")]
    Disk(io::ErrorKind),
}

/// A mailbox that returned letters are fetched from.
pub struct Mailbox(Server);

impl fmt::Display for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.0.security == Security::Tls { "imaps" } else { "imap+starttls" };
        write!(f, "{scheme}://{}:{}/{}", self.0.host, self.0.port, self.0.folder)
    }
}

// User and password stay out of every print.
impl fmt::Debug for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mailbox({self})")
    }
}

type Open = Session<TlsStream<TcpStream>>;

impl Mailbox {
    /// The mailbox that `url` names: `imaps://USER:PASSWORD@HOST/FOLDER` or `imap+starttls://…`, each with `?ca=FILE` for a
    /// private authority. User, password and folder are percent-encoded; the folder is `INBOX` when left out.
    ///
    /// # Errors
    /// When `url` or the certificate file cannot be used. The message never repeats `url`.
    pub fn from_url(url: &str) -> Result<Self, ConfigError> {
        url::parse_mailbox(url).map(Self)
    }

    /// Fetches what is unread into a folder, a file each, and marks it as read.
    ///
    /// # Returns
    /// How many messages.
    ///
    /// # Errors
    /// Why not all could be fetched. What was fetched stays.
    pub async fn fetch(&self, into: &Path) -> Result<usize, MailboxError> {
        let (mut session, era) = self.open().await?;
        let mut unread: Vec<u32> = answer(session.uid_search("UNSEEN")).await?.into_iter().collect();
        unread.sort_unstable();
        unread.truncate(BATCH);
        for uid in &unread {
            // A message that went away meanwhile has no head.
            if let Some(head) = head(&mut session, *uid).await? {
                keep(into, &format!("imap-{era}-{uid}.eml"), &head).map_err(|e| MailboxError::Disk(e.kind()))?;
            }
            let marked = session.uid_store(uid.to_string(), "+FLAGS.SILENT (\\Seen)");
            answer(async { marked.await?.try_collect::<Vec<Fetch>>().await }).await?;
        }
        // What was wanted is done; a server that takes no goodbye is no trouble of ours.
        let _ = answer(session.logout()).await;
        Ok(unread.len())
    }

    /// Looks whether the mailbox can be opened.
    ///
    /// # Errors
    /// Why not.
    pub async fn probe(&self) -> Result<(), MailboxError> {
        let (mut session, _) = self.open().await?;
        let _ = answer(session.logout()).await;
        Ok(())
    }

    /// Connects, logs in and opens the folder.
    ///
    /// # Returns
    /// The session, and the number of the folder's era: message numbers mean something within one era.
    async fn open(&self) -> Result<(Open, u32), MailboxError> {
        let mut session = timeout(CONNECT_TIME, self.connect()).await.unwrap_or(Err(MailboxError::Unreachable))?;
        let folder = match timeout(ANSWER_TIME, session.select(&self.0.folder)).await {
            Ok(selected) => selected.map_err(|_| MailboxError::NoFolder)?,
            Err(_) => return Err(MailboxError::BrokenOff),
        };
        Ok((session, folder.uid_validity.unwrap_or_default()))
    }

    async fn connect(&self) -> Result<Open, MailboxError> {
        let Server { security, host, port, user, password, .. } = &self.0;
        let stream = TcpStream::connect((host.as_str(), *port)).await.map_err(|_| MailboxError::Unreachable)?;
        let client = if *security == Security::Tls {
            let mut client = Client::new(self.encrypted(stream).await?);
            client.read_response().await.ok().flatten().ok_or(MailboxError::Unreachable)?;
            client
        } else {
            let mut plain = Client::new(stream);
            plain.read_response().await.ok().flatten().ok_or(MailboxError::Unreachable)?;
            plain.run_command_and_check_ok("STARTTLS", None).await.map_err(|_| MailboxError::NotSafe)?;
            Client::new(self.encrypted(plain.into_inner()).await?)
        };
        client.login(user, password).await.map_err(|_| MailboxError::LogIn)
    }

    async fn encrypted(&self, stream: TcpStream) -> Result<TlsStream<TcpStream>, MailboxError> {
        let (config, name) = self.0.tls.clone();
        TlsConnector::from(config).connect(name, stream).await.map_err(|_| MailboxError::NotSafe)
    }
}

/// An answer that comes in time and says yes.
async fn answer<T>(asked: impl Future<Output = async_imap::error::Result<T>>) -> Result<T, MailboxError> {
    timeout(ANSWER_TIME, asked).await.ok().and_then(Result::ok).ok_or(MailboxError::BrokenOff)
}

/// As much of a message as is read of it, without marking it.
async fn head(session: &mut Open, uid: u32) -> Result<Option<Vec<u8>>, MailboxError> {
    let query = format!("(UID BODY.PEEK[]<0.{REPORT_HEAD_MAX_BYTES}>)");
    let asked = session.uid_fetch(uid.to_string(), query);
    let found = answer(async { asked.await?.try_collect::<Vec<Fetch>>().await }).await?;
    // A server may tell of other messages in between.
    Ok(found.iter().find(|message| message.uid == Some(uid)).and_then(Fetch::body).map(<[u8]>::to_vec))
}

/// Puts a message into the folder, so that a power cut leaves it there whole or not at all.
fn keep(folder: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let beside = folder.join(format!(".{name}.{}.part", std::process::id()));
    let mut file = File::create(&beside)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(beside, folder.join(name))?;
    File::open(folder)?.sync_all()
}
