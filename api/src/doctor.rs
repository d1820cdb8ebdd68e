//! Whether everything about an installation is in order, and what to do where it is not.
//!
//! It only looks: no table is made, no key written, no mail sent, and a running server is not disturbed. What is *wrong*
//! makes the answer negative; a *note* is worth knowing. How it is told stands in `cli/doctor.rs`.

use crate::cli::Language;
use crate::config::{Config, Origin};
use crate::ready::free_bytes;
use crate::shipped::Sources;
use crate::state::{CLOCK_OFFSET, SANDBOX, mailbox, post};
use chrono::{DateTime, Duration, SecondsFormat, Utc};
use heyi_engine::store::{Store, from_ms};
use serde::Serialize;
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Instant;

/// The key under which the database remembers its last backup, as RFC 3339.
const LAST_BACKUP: &str = "last_backup";
/// A backup older than this is worth a word.
const BACKUP_DAYS: i64 = 7;
/// A calendar that ends sooner than this is worth a word.
const CALENDAR_DAYS: i64 = 60;
/// How long the two clocks are compared.
const CLOCKS: std::time::Duration = std::time::Duration::from_millis(250);
/// How far they may part in that time, and how far ahead of us the newest record may be, in milliseconds.
const CLOCK_TOLERANCE_MS: i64 = 100;
/// A deadline that is due for longer than this waits for workers that do not work.
const DUE_MINUTES: i64 = 10;

/// How something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// In order.
    Fine,
    /// Worth knowing.
    Note,
    /// To be mended.
    Wrong,
}

/// What was found.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// What was looked at.
    pub what: &'static str,
    /// How it is, in a word.
    pub state: State,
    /// How it is.
    pub said: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
}

/// Everything that was looked at.
struct Looked {
    language: Language,
    findings: Vec<Finding>,
}

impl Looked {
    fn pick(&self, zh: String, en: String) -> String {
        if self.language == Language::Chinese { zh } else { en }
    }

    fn add(&mut self, what: &'static str, state: State, said: impl Into<String>, advice: Option<String>) {
        self.findings.push(Finding { what, state, said: said.into(), advice: advice.filter(|_| state != State::Fine) });
    }

    /// Fine, or this state with advice in both languages.
    fn judge(&mut self, what: &'static str, fine: bool, worse: State, said: String, zh: &str, en: &str) {
        let advice = self.language.pick(zh, en).to_owned();
        self.add(what, if fine { State::Fine } else { worse }, said, Some(advice));
    }
}

/// Everything that was found.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Nothing is wrong.
    pub ok: bool,
    /// What was looked at.
    pub findings: Vec<Finding>,
    /// Each setting in force, with where it comes from.
    pub settings: BTreeMap<String, Json>,
}

/// Looks at the installation of these settings.
pub async fn examine(config: &Config, origins: &BTreeMap<String, Origin>, language: Language) -> Report {
    let mut looked = Looked { language, findings: Vec::new() };
    clock(&mut looked).await;
    if let Some(store) = database(&mut looked, config).await {
        contents(&mut looked, &store).await;
    }
    keys(&mut looked, config);
    disk(&mut looked, config);
    mail(&mut looked, config).await;
    answers(&mut looked, config).await;
    texts(&mut looked, config);
    let ok = looked.findings.iter().all(|f| f.state != State::Wrong);
    Report { ok, findings: looked.findings, settings: settings(config, origins) }
}

/// Each setting in force, without secrets, and where it comes from.
fn settings(config: &Config, origins: &BTreeMap<String, Origin>) -> BTreeMap<String, Json> {
    let shown = serde_json::to_value(config.without_secrets()).unwrap_or_default();
    let from = |key: &str| match origins.get(key) {
        None | Some(Origin::Default) => "default".to_owned(),
        Some(Origin::File(path)) => path.display().to_string(),
        Some(Origin::Environment(name) | Origin::Flag(name)) => name.clone(),
    };
    let fields = shown.as_object().into_iter().flatten();
    fields.map(|(key, value)| (key.clone(), json!({"value": value, "from": from(key)}))).collect()
}

/// The machine's clock, held against one that nobody can set.
async fn clock(looked: &mut Looked) {
    let (wall, steady) = (Utc::now(), Instant::now());
    tokio::time::sleep(CLOCKS).await;
    let apart = drift_ms(Utc::now() - wall, steady.elapsed());
    let said = looked.pick(
        format!("{}；与单调时钟相差 {apart} 毫秒", wall.to_rfc3339_opts(SecondsFormat::Secs, true)),
        format!("{}; {apart} ms off the steady clock", wall.to_rfc3339_opts(SecondsFormat::Secs, true)),
    );
    let fine = apart.abs() <= CLOCK_TOLERANCE_MS;
    looked.judge(
        "clock",
        fine,
        State::Wrong,
        said,
        "有程序在调整系统时间：请检查时间同步服务",
        "something moves the clock: look at the time service",
    );
}

/// How far the wall's clock and the steady one part, in milliseconds.
fn drift_ms(wall: Duration, steady: std::time::Duration) -> i64 {
    wall.num_milliseconds() - i64::try_from(steady.as_millis()).unwrap_or(i64::MAX)
}

async fn database(looked: &mut Looked, config: &Config) -> Option<Store> {
    let shown = config.without_secrets().database();
    let store = match Store::as_found(&config.database()).await {
        Ok(store) => store,
        Err(error) => {
            let said = format!("{shown}: {error}");
            let advice = looked.language.pick(
                "请检查 database_url 与数据库服务；新目录请先运行 heyi serve",
                "look at database_url and at the database server; a new folder first needs a heyi serve",
            );
            looked.add("database", State::Wrong, said, Some(advice.to_owned()));
            return None;
        }
    };
    match store.durability().await {
        Ok(all) => {
            let said = all.iter().map(|s| format!("{} = {}", s.name, s.found)).collect::<Vec<_>>().join(", ");
            let weak = all.iter().find(|s| !s.is_fine()).map(|s| (s.name, s.wanted));
            let (name, wanted) = weak.unwrap_or_default();
            let advice = looked.pick(
                format!("请将 {name} 设为 {wanted}，否则断电会丢失已确认的内容"),
                format!("set {name} to {wanted}; else a power cut loses what was acknowledged"),
            );
            looked.add("database", if weak.is_none() { State::Fine } else { State::Wrong }, format!("{shown}; {said}"), Some(advice));
        }
        Err(error) => looked.add("database", State::Wrong, format!("{shown}: {error}"), None),
    }
    match store.schema().await {
        Ok(schema) => {
            let newest = schema.applied.last().cloned().unwrap_or_default();
            let newer = schema.applied.iter().any(|m| !schema.known.contains(m));
            let (zh, en) = if newer {
                ("数据库由更新的版本写过：请使用该版本或更新的版本", "a newer version wrote this database: use that one or a newer")
            } else {
                ("下次启动 heyi serve 时会更新表结构；请先备份", "the next heyi serve brings the tables up to date; back up first")
            };
            looked.judge("schema", schema.is_current(), if newer { State::Wrong } else { State::Note }, newest, zh, en);
            // What is counted would be looked for in tables that are not there.
            schema.is_current().then_some(store)
        }
        Err(_) => {
            looked.judge(
                "schema",
                false,
                State::Wrong,
                String::new(),
                "数据库中没有表：请先运行 heyi serve",
                "there are no tables: run heyi serve once",
            );
            None
        }
    }
}

/// What the database holds and remembers.
async fn contents(looked: &mut Looked, store: &Store) {
    let sandbox = store.meta(SANDBOX).await.ok().flatten().as_deref() == Some("true");
    let offset: i64 = if sandbox { store.meta(CLOCK_OFFSET).await.ok().flatten().and_then(|o| o.parse().ok()).unwrap_or(0) } else { 0 };
    let now = Utc::now() + Duration::milliseconds(offset);
    let figures = match store.figures(now.timestamp_millis()).await {
        Ok(figures) => figures,
        Err(error) => return looked.add("cases", State::Wrong, error.to_string(), None),
    };
    if let Some(newest) = figures.last_written.map(from_ms) {
        let fine = newest - now <= Duration::milliseconds(CLOCK_TOLERANCE_MS);
        let said = looked.pick(
            format!("最近一次登记 {}", newest.to_rfc3339_opts(SecondsFormat::Secs, true)),
            format!("last entry {}", newest.to_rfc3339_opts(SecondsFormat::Secs, true)),
        );
        let (zh, en) = (
            "时钟落后于最近一次登记：请校正系统时间，否则期限会算错",
            "the clock is behind the last entry: set it right, or deadlines will be wrong",
        );
        looked.judge("clock", fine, State::Wrong, said, zh, en);
    }
    let said = looked.pick(
        format!("{} 件在办；{} 件无人可催", figures.open_cases, figures.uncovered_cases),
        format!("{} open; {} wait for nobody", figures.open_cases, figures.uncovered_cases),
    );
    let (zh, en) = ("有案件既无待办也无期限：请报告此故障", "a case has neither work nor a clock: report this fault");
    looked.judge("cases", figures.uncovered_cases == 0, State::Wrong, said, zh, en);
    let late = figures.oldest_due.map(from_ms).is_some_and(|due| now - due > Duration::minutes(DUE_MINUTES));
    let said = looked.pick(format!("{} 项到期未处理", figures.due), format!("{} due and not acted upon", figures.due));
    looked.judge(
        "deadlines",
        !late,
        State::Wrong,
        said,
        "后台任务没有运行：请启动 heyi serve 并查看日志",
        "nobody acts on them: start heyi serve, and read its log",
    );
    letters(looked, &figures.letters);
    if let Ok(Some(doubt)) = crate::clockwatch::doubted(store).await {
        let why = doubt.told(looked.language);
        let said = looked
            .pick(format!("服务器不采信本机时钟，期限不会到期处理（{why}）"), format!("the server does not believe it, nothing falls due: {why}"));
        looked.judge("clock", false, State::Wrong, said, "校准时钟后执行 heyi clock trust", "set it right, then say heyi clock trust");
    }
    backup(looked, store, now, figures.open_cases > 0 && !sandbox).await;
    checkpoint(looked, store).await;
}

fn letters(looked: &mut Looked, by_state: &[(String, u64)]) {
    let said = by_state.iter().map(|(state, n)| format!("{state} {n}")).collect::<Vec<_>>().join(", ");
    let said = if said.is_empty() { looked.language.pick("无", "none").to_owned() } else { said };
    let troubled = by_state.iter().any(|(state, n)| matches!(state.as_str(), "failed" | "bounced") && *n > 0);
    let (zh, en) = ("有函件未能送达：请在各案的函件列表中查看原因", "some letters did not arrive: each case's list of letters says why");
    looked.judge("letters", !troubled, State::Note, said, zh, en);
}

async fn backup(looked: &mut Looked, store: &Store, now: DateTime<Utc>, matters: bool) {
    let last = store.meta(LAST_BACKUP).await.ok().flatten();
    let at = last.as_deref().and_then(|text| DateTime::parse_from_rfc3339(text).ok());
    let fresh = at.is_some_and(|at| now - at.to_utc() <= Duration::days(BACKUP_DAYS));
    let said = last.unwrap_or_else(|| looked.language.pick("从未备份", "never").to_owned());
    looked.judge("backup", fresh || !matters, State::Note, said, "请备份，并把备份与 keys/ 分开保存", "make a backup, and keep it apart from keys/");
}

/// The last signed checkpoint, where the database has them.
async fn checkpoint(looked: &mut Looked, store: &Store) {
    if let Ok(Some((size, line))) = store.last_checkpoint().await {
        let at = line.split(|c: char| c.is_whitespace() || c == '"').find(|word| DateTime::parse_from_rfc3339(word).is_ok());
        let said = at.map_or_else(|| size.to_string(), |at| format!("{size}, {at}"));
        looked.add("checkpoint", State::Fine, said, None);
    }
}

fn keys(looked: &mut Looked, config: &Config) {
    for name in ["master.key", "signing.pem"] {
        let path = config.below("keys").join(name);
        let (state, said, zh, en) = match mode_of(&path) {
            None => (
                State::Wrong,
                String::new(),
                "没有这个密钥文件：请从备份恢复，没有它数据无法读取",
                "this key is missing: restore it from a backup; nothing can be read without it",
            ),
            Some(mode) if mode & 0o077 != 0 => {
                (State::Wrong, format!("{mode:04o} "), "其他用户可以读取此文件：chmod 600", "others can read this file: chmod 600")
            }
            Some(mode) => (State::Fine, format!("{mode:04o} "), "", ""),
        };
        let advice = looked.language.pick(zh, en).to_owned();
        looked.add("keys", state, format!("{said}{}", path.display()), Some(advice));
    }
}

fn mode_of(path: &Path) -> Option<u32> {
    std::fs::metadata(path).ok().filter(std::fs::Metadata::is_file).map(|m| m.permissions().mode() & 0o7777)
}

fn disk(looked: &mut Looked, config: &Config) {
    let free = free_bytes(&config.data_dir).unwrap_or(0);
    let said = looked.pick(format!("剩余 {} MiB", free >> 20), format!("{} MiB free", free >> 20));
    let (zh, en) = ("磁盘将满：请腾出空间（下限由 disk_floor_mib 设定）", "make room on the disk (disk_floor_mib is the least)");
    looked.judge("disk", free >= config.disk_floor_bytes(), State::Wrong, said, zh, en);
}

async fn mail(looked: &mut Looked, config: &Config) {
    let post = match post(config) {
        Ok(post) => post,
        Err(error) => return looked.add("mail", State::Wrong, error.to_string(), None),
    };
    match post.probe().await {
        Err(failure) => {
            let (zh, en) = ("请检查 smtp_url 与邮件服务器", "look at smtp_url and at the mail server");
            looked.judge("mail", false, State::Wrong, format!("{post}: {failure}"), zh, en);
        }
        Ok(()) => {
            let (zh, en) = ("邮件未经加密服务器发出：正式使用请设置 smtp_url", "no mail server with encryption is set: for service, set smtp_url");
            looked.judge("mail", post.weakness().is_none(), State::Note, post.to_string(), zh, en);
        }
    }
}

/// The mailbox to which mail servers answer, where one is set.
async fn answers(looked: &mut Looked, config: &Config) {
    let (zh, en) = ("请检查 bounce_mailbox 与邮箱服务器", "look at bounce_mailbox and at the mailbox's server");
    match mailbox(config) {
        Err(error) => looked.add("mailbox", State::Wrong, error.to_string(), None),
        Ok(None) => {}
        Ok(Some(mailbox)) => match mailbox.probe().await {
            Err(error) => looked.judge("mailbox", false, State::Wrong, format!("{mailbox}: {error}"), zh, en),
            Ok(()) => looked.add("mailbox", State::Fine, mailbox.to_string(), None),
        },
    }
}

/// Workflows and calendars: whether they can be read, and until when each calendar's holidays are known.
fn texts(looked: &mut Looked, config: &Config) {
    let library = Sources::read(config.workflows.as_deref()).and_then(|sources| sources.library(&config.policy));
    let library = match library {
        Ok(library) => library,
        Err(mistakes) => {
            let (zh, en) = ("请运行 heyi workflow check", "run heyi workflow check");
            return looked.judge("workflows", false, State::Wrong, mistakes.join("; "), zh, en);
        }
    };
    let mut names: Vec<&str> = library.workflows().map(|w| w.definition.file.calendar.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    for calendar in names.into_iter().filter_map(|name| library.calendar(name)) {
        let last = calendar.last_published();
        let left = (last - Utc::now().date_naive()).num_days();
        let said = looked.pick(format!("{}：至 {last}", calendar.name()), format!("{}: until {last}", calendar.name()));
        let (zh, en) =
            ("下一年的放假安排公布后请载入，否则跨年期限只能暂定", "load the next year when it is published; deadlines beyond are provisional");
        looked.judge("calendar", left > CALENDAR_DAYS, if left < 0 { State::Wrong } else { State::Note }, said, zh, en);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_was_moved_parts_from_the_steady_one() {
        let steady = std::time::Duration::from_millis(250);
        assert_eq!(drift_ms(Duration::milliseconds(251), steady), 1);
        assert_eq!(drift_ms(Duration::milliseconds(-750), steady), -1_000);
    }
}
