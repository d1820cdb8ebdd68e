//! Mails over SMTP, on a few connections of our own.
//!
//! lettre's own pool never sets TCP_NODELAY and writes a mail's last bytes apart, which costs 44 ms a mail
//! (dependencies M11). So the stream is ours, and the content goes out in one piece; the second alone is what helps
//! `smtps://`, where lettre takes no finished TLS stream and has to connect itself.
//!
//! A refusal counts as permanent only when it is about the mail or its recipient. Connecting, logging in and the
//! sender's address are the installation's own trouble: a wrong password must not give up on everybody.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use lettre::Address;
use lettre::transport::smtp::Error;
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{AsyncSmtpConnection, TlsParameters};
use lettre::transport::smtp::commands::{Data, Mail as MailFrom, Rcpt};
use lettre::transport::smtp::extension::ClientId;
use lettre::transport::smtp::response::Response;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

use super::{Delivered, Failure, Mail, Sender, message};

/// How many connections may be open at once; further mails wait for one.
const MAX_CONNECTIONS: usize = 4;
/// How many mails one connection carries before a new one is made.
const MAX_MAILS_PER_CONNECTION: u32 = 100;
/// How long a connection may lie idle. Servers close theirs after minutes; a stale one costs a second attempt.
const IDLE_TIME: Duration = Duration::from_secs(30);
/// How long connecting, STARTTLS and log-in together may take.
const CONNECT_TIME: Duration = Duration::from_secs(20);
/// How long one mail may take on an open connection.
const SEND_TIME: Duration = Duration::from_secs(60);
/// How long saying goodbye may take.
const QUIT_TIME: Duration = Duration::from_secs(2);
/// How much of a server's answer is kept as proof, in characters.
const MAX_PROOF_CHARACTERS: usize = 200;

/// How the way to the server is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Security {
    None,
    StartTls,
    Tls,
}

/// The server of the setting.
pub(super) struct Server {
    pub security: Security,
    pub host: String,
    pub port: u16,
    pub credentials: Option<Credentials>,
    pub tls: Option<TlsParameters>,
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.security {
            Security::None => "smtp",
            Security::StartTls => "smtp+starttls",
            Security::Tls => "smtps",
        };
        write!(f, "{scheme}://{}:{}", self.host, self.port)
    }
}

// User and password stay out of every print.
impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Server({self})")
    }
}

struct Connection {
    smtp: AsyncSmtpConnection,
    mails: u32,
    /// Since when it is idle. The clock of the machine, not of the case: it measures a socket, decides nothing.
    idle_since: Instant,
}

/// Sends mails to one server over a bounded pool of connections.
pub struct SmtpPost {
    server: Server,
    sender: Sender,
    idle: Mutex<Vec<Connection>>,
    places: Semaphore,
    connect_time: Duration,
    send_time: Duration,
}

impl fmt::Display for SmtpPost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.server.fmt(f)
    }
}

impl fmt::Debug for SmtpPost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SmtpPost({self})")
    }
}

/// Where in the conversation something went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Connect,
    StartTls,
    LogIn,
    From,
    Recipient,
    Content,
}

impl Stage {
    fn words(self) -> &'static str {
        match self {
            Stage::Connect => "the mail server cannot be reached",
            Stage::StartTls => "the mail server cannot be reached safely",
            Stage::LogIn => "the mail server refused the log-in",
            Stage::From => "the mail server refused the sender",
            Stage::Recipient => "the mail server refused the recipient",
            Stage::Content => "the mail server refused the message",
        }
    }
}

/// A failed attempt, and whether a fresh connection may well do better.
struct Attempt {
    failure: Failure,
    stale: bool,
}

impl SmtpPost {
    pub(super) fn new(server: Server, sender: Sender) -> SmtpPost {
        SmtpPost {
            server,
            sender,
            idle: Mutex::new(Vec::new()),
            places: Semaphore::new(MAX_CONNECTIONS),
            connect_time: CONNECT_TIME,
            send_time: SEND_TIME,
        }
    }

    /// Whether mails leave this machine unencrypted.
    pub(super) fn in_the_clear(&self) -> bool {
        let here = ["localhost", "127.0.0.1", "::1"].contains(&self.server.host.as_str());
        self.server.security == Security::None && !here
    }

    /// Sends `mail`.
    ///
    /// # Errors
    /// Permanent when the server refused recipient or message for good (5xx) or the mail cannot be built; temporary
    /// otherwise: 4xx, no connection, no log-in, no answer in time.
    pub async fn deliver(&self, mail: &Mail) -> Result<Delivered, Failure> {
        let message = message(mail, &self.sender).map_err(|e| Failure::Permanent(e.to_string()))?;
        // Headers and bodies are encoded, so this is ASCII.
        let content = String::from_utf8(message.formatted()).map_err(|_| Failure::Permanent("the message is not encoded".to_owned()))?;
        let envelope = message.envelope();
        let (Some(from), [to]) = (envelope.from(), envelope.to()) else {
            return Err(Failure::Permanent("the message has no single sender and recipient".to_owned()));
        };
        // Never closed, so this only waits.
        let _place = self.places.acquire().await.map_err(|_| Failure::Temporary("the post is closed".to_owned()))?;
        if let Some(connection) = self.take_idle() {
            match self.send(connection, from, to, &content).await {
                Err(attempt) if attempt.stale => {}
                other => return other.map_err(|attempt| attempt.failure),
            }
        }
        let connection = self.connect().await?;
        self.send(connection, from, to, &content).await.map_err(|attempt| attempt.failure)
    }

    /// Connects as for a mail (greeting, EHLO, encryption, log-in), and says goodbye.
    pub(super) async fn probe(&self) -> Result<(), Failure> {
        let mut connection = self.connect().await?;
        let _ = timeout(QUIT_TIME, connection.smtp.quit()).await;
        Ok(())
    }

    /// Says goodbye on all idle connections; for the end of the program.
    pub async fn close(&self) {
        let connections = std::mem::take(&mut *self.lock());
        for mut connection in connections {
            // The server may be gone already.
            let _ = timeout(QUIT_TIME, connection.smtp.quit()).await;
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_idle(&self) -> Option<Connection> {
        let mut idle = self.lock();
        idle.retain(|connection| connection.idle_since.elapsed() < IDLE_TIME);
        idle.pop()
    }

    async fn connect(&self) -> Result<Connection, Failure> {
        match timeout(self.connect_time, self.open()).await {
            Ok(Ok(smtp)) => Ok(Connection { smtp, mails: 0, idle_since: Instant::now() }),
            Ok(Err(failure)) => Err(failure),
            Err(_) => Err(Failure::Temporary(format!("{}: no answer in time", Stage::Connect.words()))),
        }
    }

    async fn open(&self) -> Result<AsyncSmtpConnection, Failure> {
        let Server { security, host, port, credentials, tls } = &self.server;
        let place = (host.as_str(), *port);
        let hello = ClientId::Domain(self.sender.domain.clone());
        let failed = |stage| move |error: Error| failure(stage, &error);
        let mut smtp = if *security == Security::Tls {
            AsyncSmtpConnection::connect_tokio1(place, None, &hello, tls.clone(), None).await.map_err(failed(Stage::Connect))?
        } else {
            let unreachable = |e: std::io::Error| Failure::Temporary(format!("{}: {}", Stage::Connect.words(), e.kind()));
            let stream = TcpStream::connect(place).await.map_err(unreachable)?;
            stream.set_nodelay(true).map_err(unreachable)?;
            AsyncSmtpConnection::connect_with_transport(Box::new(stream), &hello).await.map_err(failed(Stage::Connect))?
        };
        if let (Security::StartTls, Some(tls)) = (security, tls) {
            smtp.starttls(tls.clone(), &hello).await.map_err(failed(Stage::StartTls))?;
        }
        if let Some(credentials) = credentials {
            let mechanisms = [Mechanism::Plain, Mechanism::Login];
            smtp.auth(&mechanisms, credentials).await.map_err(failed(Stage::LogIn))?;
        }
        Ok(smtp)
    }

    async fn send(&self, mut connection: Connection, from: &Address, to: &Address, content: &str) -> Result<Delivered, Attempt> {
        let reused = connection.mails > 0;
        let answer = match timeout(self.send_time, talk(&mut connection.smtp, from, to, content)).await {
            Ok(answer) => answer,
            Err(_) => {
                // Dropped, not returned: nobody knows where the conversation stands.
                let failure = Failure::Temporary("the mail server gave no answer in time".to_owned());
                return Err(Attempt { failure, stale: false });
            }
        };
        match answer {
            Ok(response) => {
                connection.mails += 1;
                if connection.mails < MAX_MAILS_PER_CONNECTION {
                    connection.idle_since = Instant::now();
                    self.lock().push(connection);
                } else {
                    let _ = timeout(QUIT_TIME, connection.smtp.quit()).await;
                }
                Ok(Delivered { proof: proof(&response) })
            }
            Err((stage, error)) => {
                let closing = error.status().is_none_or(|code| u16::from(code) == 421);
                let _ = timeout(QUIT_TIME, connection.smtp.abort()).await;
                Err(Attempt { failure: failure(stage, &error), stale: reused && stage == Stage::From && closing })
            }
        }
    }
}

/// One mail on an open connection. Our own sequence, as lettre's does not tell which command was refused.
async fn talk(smtp: &mut AsyncSmtpConnection, from: &Address, to: &Address, content: &str) -> Result<Response, (Stage, Error)> {
    let at = |stage| move |error| (stage, error);
    smtp.command(MailFrom::new(Some(from.clone()), vec![])).await.map_err(at(Stage::From))?;
    smtp.command(Rcpt::new(to.clone(), vec![])).await.map_err(at(Stage::Recipient))?;
    smtp.command(Data).await.map_err(at(Stage::Content))?;
    smtp.command(Content(content)).await.map_err(at(Stage::Content))
}

/// The content with its end, written at once. Dots at line starts are doubled (RFC 5321, 4.5.2).
struct Content<'a>(&'a str);

impl fmt::Display for Content<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in self.0.split_inclusive("\r\n") {
            let dot = if line.starts_with('.') { "." } else { "" };
            write!(f, "{dot}{line}")?;
        }
        let end = if self.0.ends_with("\r\n") { "" } else { "\r\n" };
        write!(f, "{end}.\r\n")
    }
}

/// The reason in our words with the server's codes. Its own words stay out: servers repeat the address in them.
fn failure(stage: Stage, error: &Error) -> Failure {
    let Some(code) = error.status() else {
        let why = if error.is_client() {
            "it does not offer what is needed"
        } else if is_untrusted(error) {
            "its certificate is not trusted"
        } else {
            "the connection broke"
        };
        let what = match stage {
            Stage::From | Stage::Recipient | Stage::Content => Stage::Connect,
            before => before,
        };
        return Failure::Temporary(format!("{}: {why}", what.words()));
    };
    let enhanced = std::error::Error::source(error).map(ToString::to_string).and_then(|words| enhanced_code(&words));
    let codes = [Some(code.to_string()), enhanced].into_iter().flatten().collect::<Vec<_>>().join(" ");
    let reason = format!("{}: {codes}", stage.words());
    if error.is_permanent() && matches!(stage, Stage::Recipient | Stage::Content) { Failure::Permanent(reason) } else { Failure::Temporary(reason) }
}

/// TLS reports a certificate that it does not accept as invalid data.
fn is_untrusted(error: &Error) -> bool {
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        if let Some(io) = cause.downcast_ref::<std::io::Error>() {
            return io.kind() == std::io::ErrorKind::InvalidData;
        }
        source = cause.source();
    }
    false
}

/// `5.1.1` at the head of an answer (RFC 3463).
fn enhanced_code(words: &str) -> Option<String> {
    let first = words.split_whitespace().next()?;
    let pieces: Vec<&str> = first.split('.').collect();
    let digits = |p: &&str| (1..=3).contains(&p.len()) && p.bytes().all(|b| b.is_ascii_digit());
    (pieces.len() == 3 && pieces.iter().all(digits)).then(|| first.to_owned())
}

/// The server's answer on one line; a word with an address in it is left out.
fn proof(response: &Response) -> String {
    let answer = response.message().collect::<Vec<_>>().join(" ");
    let words = answer.split_whitespace().map(|w| if w.contains('@') { "…" } else { w });
    let line = [response.code().to_string().as_str()].into_iter().chain(words).collect::<Vec<_>>().join(" ");
    line.chars().filter(|c| !c.is_control()).take(MAX_PROOF_CHARACTERS).collect()
}

#[cfg(test)]
impl SmtpPost {
    /// The same post with little patience, so that tests of silent servers end.
    pub(super) fn impatient(mut self) -> SmtpPost {
        self.connect_time = Duration::from_millis(300);
        self.send_time = Duration::from_millis(300);
        self
    }
}
