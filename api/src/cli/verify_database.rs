//! `heyi verify --database`: is everything in this database as it was written?

use super::verify::Verify;
use super::{Failure, Language, Outcome};
use crate::config::Config;
use crate::package::PublicKey;
use crate::proofs;
use heyi_engine::proof::{self, Ask, Fault, Finding, Report};
use heyi_engine::store::seal::SealKey;
use heyi_engine::store::{Store, StoreError};
use indicatif::{ProgressBar, ProgressStyle};
use std::fs::File;
use std::io::{BufReader, IsTerminal as _};
use std::path::{Path, PathBuf};

impl Verify {
    pub(super) async fn run_database(self) -> Outcome {
        let language = self.language.unwrap_or_else(Language::of_terminal);
        let config = self.place.read(None)?;
        let public = self.key.clone().unwrap_or_else(|| config.below("public-key.pem"));
        let key = PublicKey::load(&public).map_err(|error| Failure::usage(format!("{}: {error}", public.display())))?;
        let (store, master) = open(&config).await?;
        let (path, lines) = self.lines(&config)?;
        let bar = progress();
        let ask = Ask {
            master: &master,
            replay: self.replay,
            lines: lines.map(|file| Box::new(BufReader::new(file)) as _),
            accepts: &|fingerprint, message, signature| key.fingerprint() == fingerprint && key.accepts(message, signature),
            progress: &|done, total| {
                bar.set_length(total);
                bar.set_position(done);
            },
        };
        let report = proof::verify(&store, ask).await?;
        bar.finish_and_clear();
        if self.json {
            println!("{}", serde_json::to_string(&report)?);
        } else {
            tell(&report, language, &path);
        }
        if report.whole { Ok(()) } else { Err(Failure::negative("")) }
    }

    /// The file of checkpoints: the one that was named, which must be there, or the installation's own.
    fn lines(&self, config: &Config) -> Result<(PathBuf, Option<File>), Failure> {
        let own = proofs::file(config);
        let path = self.checkpoints.clone().unwrap_or_else(|| own.clone());
        match File::open(&path) {
            Ok(file) => Ok((path, Some(file))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && self.checkpoints.is_none() => Ok((path, None)),
            Err(error) => Err(Failure::usage(format!("{}: {error}", path.display()))),
        }
    }
}

/// Database and key of an installation that is there. Nothing is made.
async fn open(config: &Config) -> Result<(Store, SealKey), Failure> {
    let url = config.database();
    let missing = |path: &Path| Failure::usage(format!("there is no {}: name the data folder with --data DIR", path.display()));
    if let Some(path) = url.strip_prefix("sqlite:").map(|rest| Path::new(rest.split('?').next().unwrap_or(rest)))
        && !path.is_file()
    {
        return Err(missing(path));
    }
    let path = config.below("keys").join("master.key");
    if !path.is_file() {
        return Err(missing(&path));
    }
    let master = SealKey::of_installation(&path).map_err(|error| Failure::usage(error.to_string()))?;
    let store = Store::look(&url).await.map_err(|error| match error {
        StoreError::Older { .. } | StoreError::Newer { .. } => Failure::usage(error.to_string()),
        other => Failure::negative(other.to_string()),
    })?;
    Ok((store, master))
}

fn progress() -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(0);
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} {eta}");
    style.map_or(bar.clone(), |style| bar.with_style(style))
}

/// What is told to people. Ids out of a database that may have been tampered with are shown escaped.
fn tell(report: &Report, language: Language, path: &Path) {
    for finding in &report.findings {
        println!("{}", sentence(finding, language));
    }
    if report.more > 0 {
        println!("{}", language.pick("……", "…"));
    }
    let Report { cases, events, values, files, checkpoints, since, .. } = report;
    let counted = match language {
        Language::Chinese => format!("已核对案件 {cases} 件、事件 {events} 条、数据 {values} 项、文件 {files} 份。"),
        Language::English => format!("Looked at everything: cases {cases}, events {events}, values {values}, files {files}."),
    };
    println!("{counted}");
    let at = report.last_checkpoint.as_deref().unwrap_or_default();
    let witnessed = match (report.lines, language) {
        (Some(lines), Language::Chinese) => {
            format!("已对照 {} 中的签名检查点 {lines} 个，最近一个为 {at}；此后有变动的案件 {since} 件，仅以各自的哈希链为凭。", path.display())
        }
        (Some(lines), Language::English) => format!(
            "Held against the signed checkpoints in {} ({lines}, the last of {at}). Cases changed since, which rest on their chain alone: {since}.",
            path.display()
        ),
        (None, Language::Chinese) => format!(
            "没有检查点文件可供对照，只用了数据库内的 {checkpoints} 个检查点：连同检查点一起被截短或重写的数据库无法查出。请用 --checkpoints 指定另存的文件。"
        ),
        (None, Language::English) => format!(
            "There was no file of checkpoints to hold it against, only what the database itself holds ({checkpoints}): a database that was cut back together \
             with them would not be found. Name a file that was kept elsewhere with --checkpoints FILE."
        ),
    };
    println!("{witnessed}");
    let found = report.findings.len() as u64 + report.more;
    let verdict = match (report.whole, report.replayed, language) {
        (true, true, Language::Chinese) => "完好：全部内容与写入时一致，重放每件案件的历史所得与库中所存相同。".to_owned(),
        (true, false, Language::Chinese) => "完好：全部内容与写入时一致。".to_owned(),
        (true, true, Language::English) => "Whole: everything is as it was written, and every history, replayed, leads to what is stored.".to_owned(),
        (true, false, Language::English) => "Whole: everything is as it was written.".to_owned(),
        (false, _, Language::Chinese) => format!("不完好：发现 {found} 处与写入时不一致。"),
        (false, _, Language::English) => format!("NOT whole. Places that are not as they were written: {found}."),
    };
    println!("{verdict}");
}

fn sentence(finding: &Finding, language: Language) -> String {
    let Finding { fault, case, event, table, at } = finding;
    let mut place = Vec::new();
    let shown = |text: &str| text.escape_debug().to_string();
    if let Some(case) = case {
        place.push(format!("{} {}", language.pick("案件", "case"), shown(case)));
    }
    if let Some(event) = event {
        place.push(match language {
            Language::Chinese => format!("事件 {event}"),
            Language::English => format!("event {event}"),
        });
    }
    place.push(match at {
        Some(at) => format!("{table} {}", shown(at)),
        None => (*table).to_owned(),
    });
    format!("{}{}{}", place.join(language.pick("，", ", ")), language.pick("：", ": "), words(*fault, language))
}

fn words(fault: Fault, language: Language) -> &'static str {
    let (zh, en) = match fault {
        Fault::Unreadable => ("无法读出", "it cannot be read"),
        Fault::Hash => ("哈希与内容不符", "its hash does not follow from what it says"),
        Fault::Gap => ("此处应有的事件缺失，或编号不符", "the event that should be here is missing or out of place"),
        Fault::Head => ("与最后一条事件不符", "it is not that of the last event"),
        Fault::Missing => ("缺失", "it is missing"),
        Fault::Unexplained => ("没有任何事件产生过它", "no event led to it"),
        Fault::Sealed => ("无法用本案密钥打开：被改动，或属于别处", "it does not open with the case's key: it was changed, or belongs elsewhere"),
        Fault::Differs => ("与事件所载不一致", "it is not what its event says"),
        Fault::NoCase => ("所属案件不存在", "its case is not there"),
        Fault::Series => ("案件上的编号有缺漏、重复或多余", "the numbers that cases bear have a gap, one twice, or one too many"),
        Fault::Pinned => ("固定文本缺失或与其摘要不符", "a pinned text is missing or is not that of its digest"),
        Fault::Replay => ("与重放历史所得不一致", "it is not what the history leads to"),
        Fault::Log => ("日志条目缺失或错位", "a leaf of the log is missing or out of place"),
        Fault::Cut => ("检查点确认过此事件，现已不存在", "a checkpoint covers this event, and it is no longer there"),
        Fault::Rewritten => (
            "检查点确认过此事件，现在是另一内容（此事件或之前的事件被重写）",
            "a checkpoint covers this event, and it or one before it was written anew",
        ),
        Fault::LogShort => ("日志比检查点所载的短", "the log holds less than this checkpoint covers"),
        Fault::Root => ("日志与检查点不符", "the log is not the one that this checkpoint covers"),
        Fault::Checkpoint => ("检查点无法读出，或与前后不衔接", "this checkpoint cannot be read or does not follow from the one before"),
        Fault::Signature => ("不是以所给公钥对应的密钥签名", "it was not signed by the key that was given"),
    };
    language.pick(zh, en)
}
