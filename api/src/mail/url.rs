//! The settings that say where mails go and where answers of mail servers are fetched. Read here, so that no other place
//! ever holds a password as text. Errors name the part that is wrong and never repeat it: any part may be a mistyped password.

use std::path::{Path, PathBuf};

use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, CertificateStore, TlsParameters};

use super::MailError;
use super::mailbox;
use super::smtp::{Security, Server};

/// Why the setting cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Not one of the forms.
    #[error("the mail setting must begin with smtp://, smtp+starttls://, smtps:// or folder:")]
    Scheme,
    /// Not one of the forms of a mailbox.
    #[error("the mailbox setting must be imaps://USER:PASSWORD@HOST/FOLDER or imap+starttls://USER:PASSWORD@HOST/FOLDER")]
    Mailbox,
    /// A part that cannot be read.
    #[error("the {0} in the mail setting cannot be read; {1}")]
    Part(&'static str, &'static str),
    /// A password would cross the network in the clear.
    #[error("user and password need smtp+starttls:// or smtps://")]
    PasswordInTheClear,
    /// The file of the private authority.
    #[error("the ca file of the mail setting {0}")]
    Authority(String),
    /// The sender is not valid.
    #[error(transparent)]
    Sender(#[from] MailError),
}

/// What the setting names.
#[derive(Debug)]
pub(super) enum Target {
    Folder(PathBuf),
    Server(Server),
}

/// Reads the setting; a certificate file is read too.
pub(super) fn parse(url: &str) -> Result<Target, ConfigError> {
    if let Some(dir) = url.strip_prefix("folder:") {
        let dir = dir.strip_prefix("//").unwrap_or(dir);
        if dir.is_empty() {
            return Err(ConfigError::Part("folder", "write folder:DIR"));
        }
        return Ok(Target::Folder(PathBuf::from(dir)));
    }
    let (scheme, rest) = url.split_once("://").ok_or(ConfigError::Scheme)?;
    let (security, usual_port) = match scheme {
        "smtp" => (Security::None, 25),
        "smtp+starttls" => (Security::StartTls, 587),
        "smtps" => (Security::Tls, 465),
        _ => return Err(ConfigError::Scheme),
    };
    let Place { host, port, login, folder, authority } = place(rest, usual_port)?;
    if folder.is_some() {
        return Err(ConfigError::Part("part after the host", "nothing follows it but ?ca=FILE"));
    }
    let credentials = login.map(|(user, password)| Credentials::new(user, password));
    if credentials.is_some() && security == Security::None {
        return Err(ConfigError::PasswordInTheClear);
    }
    let tls = match (security, authority) {
        (Security::None, None) => None,
        (Security::None, Some(_)) => {
            return Err(ConfigError::Authority("needs smtp+starttls:// or smtps://".to_owned()));
        }
        (_, authority) => Some(tls(&host, authority)?),
    };
    Ok(Target::Server(Server { security, host, port, credentials, tls }))
}

/// Reads the setting of a mailbox; a certificate file is read too.
pub(super) fn parse_mailbox(url: &str) -> Result<mailbox::Server, ConfigError> {
    let (scheme, rest) = url.split_once("://").ok_or(ConfigError::Mailbox)?;
    let (security, usual_port) = match scheme {
        "imap+starttls" => (Security::StartTls, 143),
        "imaps" => (Security::Tls, 993),
        _ => return Err(ConfigError::Mailbox),
    };
    let Place { host, port, login, folder, authority } = place(rest, usual_port)?;
    let (user, password) = login.ok_or(ConfigError::Mailbox)?;
    let authority = authority.map(|path| pem(&path)).transpose()?;
    let tls = mailbox::tls(&host, authority.as_deref()).ok_or_else(|| ConfigError::Authority(UNUSABLE.to_owned()))?;
    Ok(mailbox::Server { security, host, port, user, password, folder: folder.unwrap_or_else(|| "INBOX".to_owned()), tls })
}

/// What follows `://`.
struct Place {
    host: String,
    port: u16,
    login: Option<(String, String)>,
    folder: Option<String>,
    authority: Option<PathBuf>,
}

fn place(rest: &str, usual_port: u16) -> Result<Place, ConfigError> {
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (login, place) = match rest.rsplit_once('@') {
        Some((login, place)) => (Some(login), place),
        None => (None, rest),
    };
    let (place, folder) = place.split_once('/').unwrap_or((place, ""));
    let (host, port) = host_and_port(place, usual_port)?;
    let wrong = ConfigError::Part("folder", "percent-encode what is neither letter nor digit");
    let printable = |name: &String| !name.chars().any(char::is_control);
    let folder = if folder.is_empty() { None } else { Some(decoded(folder).filter(printable).ok_or(wrong)?) };
    Ok(Place { host, port, login: login.map(login_of).transpose()?, folder, authority: authority(query)? })
}

fn host_and_port(place: &str, usual: u16) -> Result<(String, u16), ConfigError> {
    const HOST: ConfigError = ConfigError::Part("host", "write HOST:PORT");
    let (host, port) = match place.strip_prefix('[') {
        Some(rest) => {
            let (host, after) = rest.split_once(']').ok_or(HOST)?;
            (host, after.strip_prefix(':'))
        }
        None => match place.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (place, None),
        },
    };
    let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b':');
    if host.is_empty() || !host.bytes().all(good) {
        return Err(HOST);
    }
    let port = match port {
        None => usual,
        Some(port) => port
            .parse()
            .ok()
            .filter(|port| *port != 0)
            .ok_or(ConfigError::Part("port", "it is a number up to 65535; percent-encode / ? @ : in a password"))?,
    };
    Ok((host.to_owned(), port))
}

fn login_of(text: &str) -> Result<(String, String), ConfigError> {
    let wrong = ConfigError::Part("user and password", "write USER:PASSWORD, percent-encoded");
    let (user, password) = text.split_once(':').ok_or(wrong.clone())?;
    match (decoded(user), decoded(password)) {
        (Some(user), Some(password)) if !user.is_empty() => Ok((user, password)),
        _ => Err(wrong),
    }
}

fn authority(query: &str) -> Result<Option<PathBuf>, ConfigError> {
    let mut file = None;
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let path = pair.strip_prefix("ca=").and_then(decoded).filter(|path| !path.is_empty());
        match path {
            Some(path) if file.is_none() => file = Some(PathBuf::from(path)),
            _ => {
                return Err(ConfigError::Part("part after ?", "only ca=FILE is known; certificates are always verified"));
            }
        }
    }
    Ok(file)
}

fn tls(host: &str, authority: Option<PathBuf>) -> Result<TlsParameters, ConfigError> {
    let mut builder = TlsParameters::builder(host.to_owned());
    if let Some(path) = authority {
        let certificate = Certificate::from_pem(&pem(&path)?).map_err(|_| ConfigError::Authority(NO_CERTIFICATE.to_owned()))?;
        // Who names an authority means this one and no other.
        builder = builder.certificate_store(CertificateStore::None).add_root_certificate(certificate);
    }
    builder.build().map_err(|_| ConfigError::Authority(UNUSABLE.to_owned()))
}

const NO_CERTIFICATE: &str = "holds no certificate in PEM";
const UNUSABLE: &str = "holds a certificate that cannot be used";

/// The file of a private authority. One without any certificate would be taken, and then trust nobody.
fn pem(path: &Path) -> Result<Vec<u8>, ConfigError> {
    let pem = std::fs::read(path).map_err(|e| ConfigError::Authority(format!("cannot be read: {}", e.kind())))?;
    let holds_one = pem.windows(11).any(|w| w == b"CERTIFICATE");
    if holds_one { Ok(pem) } else { Err(ConfigError::Authority(NO_CERTIFICATE.to_owned())) }
}

/// Percent-decoding; nothing for a broken escape or what is no UTF-8.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        if *first == b'%' {
            let digits = std::str::from_utf8(after.get(..2)?).ok()?;
            let digits = Some(digits).filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()))?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &after[2..];
        } else {
            bytes.push(*first);
            rest = after;
        }
    }
    String::from_utf8(bytes).ok()
}
