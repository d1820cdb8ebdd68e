//! Settings: `heyi.toml`, then the environment (`HEYI_…`), then flags. Unknown keys are refused; secrets are not shown.

use figment::Figment;
use figment::providers::{Env, Format as _, Serialized, Toml};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

/// All settings of an installation.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The data folder: database, keys, letters as files.
    pub data_dir: PathBuf,
    /// `sqlite:PATH` or `postgres://…`; SQLite in the data folder when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database_url: Option<String>,
    /// `smtp://host:25`, `smtp+starttls://user:password@host:587` or `smtps://…`; files in the data folder when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub smtp_url: Option<String>,
    /// Where the server listens.
    pub listen: SocketAddr,
    /// A folder whose workflows, scenarios and calendars replace or join the shipped ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workflows: Option<PathBuf>,
    /// A folder whose templates replace the shipped ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub templates: Option<PathBuf>,
    /// The address that letters come from.
    pub mail_from: String,
    /// Who is sent every signed checkpoint, to keep it where nobody of the installation can change it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checkpoint_mail: Option<CheckpointMail>,
    /// Where messages about undelivered letters are put, one file each; `bounces` in the data folder when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bounce_folder: Option<PathBuf>,
    /// A mailbox of its own to which mail servers answer: `imaps://user:password@host/INBOX` or `imap+starttls://…`. What is
    /// unread there is fetched into the folder above.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bounce_mailbox: Option<String>,
    /// Where spans of requests and commands are sent by OTLP over HTTP: `http://127.0.0.1:4318` for a collector beside the
    /// server. Nowhere when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub otlp_endpoint: Option<String>,
    /// A token that reads `/metrics` and nothing else; staff may read them with their own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metrics_token: Option<String>,
    /// With less room than this on the disk of the data folder the server says that it is not ready, in MiB.
    pub disk_floor_mib: u64,
    /// How the log is written.
    pub log_format: LogFormat,
    /// The committee.
    pub committee: CommitteeConfig,
    /// The committee's own parameters, by workflow.
    #[serde(default)]
    pub policy: BTreeMap<String, BTreeMap<String, String>>,
}

/// A keeper of checkpoints.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CheckpointMail {
    /// The mail address.
    pub to: String,
    /// The language of the mail: `zh-CN` or `en`.
    #[serde(default = "chinese")]
    pub language: String,
}

fn chinese() -> String {
    "zh-CN".to_owned()
}

/// How the log is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Readable lines on a terminal, JSON elsewhere.
    #[default]
    Auto,
    /// Readable lines.
    Text,
    /// A JSON object a line.
    Json,
}

/// The committee, as letters and documents name it.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CommitteeConfig {
    /// Name in each language.
    pub name: BTreeMap<String, String>,
    /// Telephone.
    pub phone: String,
    /// Address.
    pub address: String,
}

impl Default for Config {
    fn default() -> Self {
        let name = [("zh-CN", "县医疗纠纷人民调解委员会"), ("en", "County People's Mediation Committee for Medical Disputes")];
        Self {
            data_dir: PathBuf::from("heyi-data"),
            database_url: None,
            smtp_url: None,
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            workflows: None,
            templates: None,
            mail_from: "office@committee.example".to_owned(),
            checkpoint_mail: None,
            bounce_folder: None,
            bounce_mailbox: None,
            otlp_endpoint: None,
            metrics_token: None,
            disk_floor_mib: 256,
            log_format: LogFormat::Auto,
            committee: CommitteeConfig {
                name: name.iter().map(|(l, n)| ((*l).to_owned(), (*n).to_owned())).collect(),
                phone: "0000-0000000".to_owned(),
                address: "县城中心街1号".to_owned(),
            },
            policy: BTreeMap::new(),
        }
    }
}

impl std::fmt::Debug for Config {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.shown())
    }
}

/// What was wrong with the settings.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A key or value that cannot be used.
    #[error("settings: {0}")]
    Wrong(String),
}

/// Where a setting comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nobody set it.
    Default,
    /// A file.
    File(PathBuf),
    /// A variable of the environment.
    Environment(String),
    /// A flag.
    Flag(String),
}

/// The environment variables that are settings.
const VARIABLES: [&str; 14] = [
    "database_url",
    "smtp_url",
    "data_dir",
    "listen",
    "workflows",
    "templates",
    "mail_from",
    "bounce_folder",
    "bounce_mailbox",
    "otlp_endpoint",
    "metrics_token",
    "disk_floor_mib",
    "log_format",
    "config",
];

/// What flags say; each overrides file and environment.
#[derive(Clone, Debug, Default)]
pub struct Flags {
    /// `--config FILE`
    pub config: Option<PathBuf>,
    /// `--data DIR`
    pub data: Option<PathBuf>,
    /// `--listen ADDRESS:PORT`
    pub listen: Option<SocketAddr>,
}

impl Config {
    /// Reads the settings.
    ///
    /// # Errors
    /// Which key is wrong, where it was set, and what would be right.
    pub fn read(flags: &Flags) -> Result<Self, ConfigError> {
        let mut config: Self = Self::figment(flags)?.extract().map_err(|error| ConfigError::Wrong(error.to_string()))?;
        if let Some(data) = &flags.data {
            config.data_dir.clone_from(data);
        }
        if let Some(listen) = flags.listen {
            config.listen = listen;
        }
        Ok(config)
    }

    /// Where each setting that stands at the top of the settings comes from: `--data`, a file, the environment, or nowhere.
    ///
    /// # Errors
    /// When there is no such file.
    pub fn origins(flags: &Flags) -> Result<BTreeMap<String, Origin>, ConfigError> {
        let figment = Self::figment(flags)?;
        let table: BTreeMap<String, serde_json::Value> = figment.extract().map_err(|error| ConfigError::Wrong(error.to_string()))?;
        let mut out = BTreeMap::new();
        for key in table.into_keys() {
            let from = figment.find_metadata(&key);
            let origin = match from.and_then(|m| m.source.as_ref()).and_then(|source| source.file_path()) {
                Some(path) => Origin::File(path.to_owned()),
                None if from.is_some_and(|m| m.name.contains("environment")) => Origin::Environment(format!("HEYI_{}", key.to_uppercase())),
                None => Origin::Default,
            };
            out.insert(key, origin);
        }
        let flag = |given: bool, name: &str| given.then(|| Origin::Flag(name.to_owned()));
        let flags = [("data_dir", flag(flags.data.is_some(), "--data")), ("listen", flag(flags.listen.is_some(), "--listen"))];
        out.extend(flags.into_iter().filter_map(|(key, origin)| Some((key.to_owned(), origin?))));
        Ok(out)
    }

    fn figment(flags: &Flags) -> Result<Figment, ConfigError> {
        let file = flags.config.clone().or_else(|| std::env::var_os("HEYI_CONFIG").map(PathBuf::from));
        let mut figment = Figment::from(Serialized::defaults(Self::default()));
        match &file {
            Some(path) if !path.is_file() => return Err(ConfigError::Wrong(format!("there is no file {}", path.display()))),
            Some(path) => figment = figment.merge(Toml::file_exact(path)),
            None => {
                // The file beside the data comes before the one in the current folder.
                let beside = flags.data.as_ref().map(|d| d.join("heyi.toml"));
                let found = beside.into_iter().chain([PathBuf::from("heyi.toml")]).find(|p| p.is_file());
                if let Some(path) = found {
                    figment = figment.merge(Toml::file_exact(path));
                }
            }
        }
        Ok(figment.merge(Env::prefixed("HEYI_").only(&VARIABLES).filter(|key| key != "config")))
    }

    /// The database.
    #[must_use]
    pub fn database(&self) -> String {
        self.database_url.clone().unwrap_or_else(|| format!("sqlite:{}", self.data_dir.join("heyi.db").display()))
    }

    /// A folder below the data folder.
    #[must_use]
    pub fn below(&self, name: &str) -> PathBuf {
        self.data_dir.join(name)
    }

    /// Where messages about undelivered letters are put.
    #[must_use]
    pub fn bounces(&self) -> PathBuf {
        self.bounce_folder.clone().unwrap_or_else(|| self.below("bounces"))
    }

    /// The least room that the disk of the data folder should have, in bytes.
    #[must_use]
    pub fn disk_floor_bytes(&self) -> u64 {
        self.disk_floor_mib.saturating_mul(1 << 20)
    }

    /// The settings without their secrets.
    #[must_use]
    pub fn without_secrets(&self) -> Self {
        let mut copy = self.clone();
        for url in [&mut copy.database_url, &mut copy.smtp_url, &mut copy.bounce_mailbox, &mut copy.otlp_endpoint].into_iter().flatten() {
            *url = without_password(url);
        }
        copy.metrics_token = copy.metrics_token.map(|_| "***".to_owned());
        copy
    }

    /// The settings as TOML, without secrets.
    #[must_use]
    pub fn shown(&self) -> String {
        let copy = self.without_secrets();
        Figment::from(Serialized::defaults(copy)).extract::<toml_value::Table>().map(|t| t.to_string()).unwrap_or_default()
    }

    /// Reads a file of the override folder, if there is one.
    #[must_use]
    pub fn template_folder(&self) -> Option<&Path> {
        self.templates.as_deref()
    }
}

/// `scheme://user:***@host`, and no password among the parameters either.
pub(crate) fn without_password(url: &str) -> String {
    let from = url.rfind('@').unwrap_or(0);
    let (place, parameters) = match url[from..].find('?') {
        Some(at) => (&url[..from + at], Some(&url[from + at + 1..])),
        None => (url, None),
    };
    let shown = match (place.find("://"), place.rfind('@')) {
        (Some(scheme), Some(at)) if at > scheme => {
            let user = place[scheme + 3..at].split(':').next().unwrap_or_default();
            format!("{}{user}:***{}", &place[..scheme + 3], &place[at..])
        }
        _ => place.to_owned(),
    };
    let hide = |parameter: &str| match parameter.split_once('=') {
        Some((name, _)) if name.to_ascii_lowercase().contains("password") => format!("{name}=***"),
        _ => parameter.to_owned(),
    };
    parameters.map_or(shown.clone(), |parameters| format!("{shown}?{}", parameters.split('&').map(hide).collect::<Vec<_>>().join("&")))
}

/// Showing settings needs no more than lines of `key = value`.
mod toml_value {
    use serde::Deserialize;
    use serde_json::Value;
    use std::fmt;

    /// A table of settings.
    #[derive(Deserialize)]
    #[serde(transparent)]
    pub struct Table(serde_json::Map<String, Value>);

    impl fmt::Display for Table {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            section(f, "", &self.0)
        }
    }

    fn section(f: &mut fmt::Formatter<'_>, name: &str, map: &serde_json::Map<String, Value>) -> fmt::Result {
        for (key, value) in map.iter().filter(|(_, v)| !v.is_object()) {
            writeln!(f, "{key} = {value}")?;
        }
        for (key, value) in map {
            if let Value::Object(inner) = value {
                let name = if name.is_empty() { key.clone() } else { format!("{name}.{key}") };
                writeln!(f, "\n[{name}]")?;
                section(f, &name, inner)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_not_shown() {
        let config = Config { smtp_url: Some("smtp+starttls://me:secret@host:587".to_owned()), ..Config::default() };
        assert!(!format!("{config:?}").contains("secret"));
        assert!(config.shown().contains("me:***@host"));
        let url = "postgres://me:secret@host/heyi?sslmode=require&password=secret";
        assert_eq!(without_password(url), "postgres://me:***@host/heyi?sslmode=require&password=***");
        // A password may hold the very characters that part a URL, when somebody forgot to encode them.
        assert!(!without_password("smtp://me:sec?ret@host").contains("ret"));
        let config = Config { metrics_token: Some("secret".to_owned()), ..Config::default() };
        assert!(!format!("{config:?}").contains("secret"));
    }

    #[test]
    fn each_setting_says_where_it_comes_from() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("heyi.toml");
        std::fs::write(&file, "mail_from = \"a@b.example\"\n[committee.name]\nen = \"X\"\n").unwrap();
        let flags = Flags { data: Some(folder.path().to_owned()), ..Flags::default() };
        let origins = Config::origins(&flags).unwrap();
        assert_eq!(origins["mail_from"], Origin::File(file));
        assert_eq!((&origins["data_dir"], &origins["disk_floor_mib"]), (&Origin::Flag("--data".to_owned()), &Origin::Default));
        assert!(Config::read(&flags).is_ok());
    }

    #[test]
    fn an_unknown_key_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("heyi.toml"), "listn = \"127.0.0.1:1\"\n").unwrap();
        let flags = Flags { data: Some(folder.path().to_owned()), ..Flags::default() };
        let error = Config::read(&flags).unwrap_err().to_string();
        assert!(error.contains("listn"), "{error}");
    }
}
