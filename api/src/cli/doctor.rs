//! `heyi doctor`: tells whether everything about an installation is in order. What is looked at stands in `doctor.rs`.

use super::{Failure, Language, Outcome, Place};
use crate::config::Config;
use crate::doctor::{Report, State, examine};
use clap::Args;
use std::fmt::Write as _;

/// Look at an installation.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  heyi doctor --data /srv/heyi\n  heyi doctor --data /srv/heyi --json\n\nExit status: 0 in order, 1 something is wrong, 2 wrong use. Nothing is changed and no mail is sent."
)]
pub struct Doctor {
    /// The language of what is told; the terminal's when left out.
    #[arg(long)]
    language: Option<Language>,
    /// JSON alone on standard output.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    place: Place,
}

impl Doctor {
    /// Runs it.
    pub(super) async fn run(self) -> Outcome {
        let config = self.place.read(None)?;
        let origins = Config::origins(&self.place.flags(None)).map_err(|error| Failure::usage(error.to_string()))?;
        if !config.data_dir.is_dir() {
            return Err(Failure::usage(format!("{}: there is no such folder; name the data folder with --data DIR", config.data_dir.display())));
        }
        let language = self.language.unwrap_or_else(Language::of_terminal);
        let report = examine(&config, &origins, language).await;
        if self.json {
            println!("{}", serde_json::to_string(&report)?);
        } else {
            print!("{}", told(&report, language));
        }
        if report.ok { Ok(()) } else { Err(Failure::negative("")) }
    }
}

fn told(report: &Report, language: Language) -> String {
    let mut out = String::new();
    for finding in &report.findings {
        let state = match finding.state {
            State::Fine => language.pick("正常", "fine "),
            State::Note => language.pick("注意", "note "),
            State::Wrong => language.pick("有误", "WRONG"),
        };
        let _ = writeln!(out, "{state}  {}: {}", title(language, finding.what), finding.said);
        if let Some(advice) = &finding.advice {
            let _ = writeln!(out, "       → {advice}");
        }
    }
    let _ = writeln!(out, "\n{}", language.pick("设置（值、来源）：", "Settings, with where each comes from:"));
    for (key, setting) in &report.settings {
        let from = setting["from"].as_str().unwrap_or_default();
        let from = if from == "default" { language.pick("默认", "default") } else { from };
        let _ = writeln!(out, "  {key} = {}  [{from}]", setting["value"]);
    }
    let wrong = report.findings.iter().filter(|f| f.state == State::Wrong).count();
    let _ = match (language, wrong) {
        (Language::Chinese, 0) => writeln!(out, "\n一切正常。"),
        (Language::Chinese, n) => writeln!(out, "\n有 {n} 处有误。"),
        (Language::English, 0) => writeln!(out, "\nEverything is in order."),
        (Language::English, n) => writeln!(out, "\n{n} thing(s) are wrong."),
    };
    out
}

fn title(language: Language, what: &'static str) -> &'static str {
    match what {
        "clock" => language.pick("时钟", "clock"),
        "database" => language.pick("数据库", "database"),
        "schema" => language.pick("表结构", "tables"),
        "cases" => language.pick("案件", "cases"),
        "deadlines" => language.pick("期限", "deadlines"),
        "letters" => language.pick("函件", "letters"),
        "backup" => language.pick("上次备份", "last backup"),
        "checkpoint" => language.pick("上次签署的检查点", "last signed checkpoint"),
        "keys" => language.pick("密钥", "keys"),
        "disk" => language.pick("磁盘", "disk"),
        "mail" => language.pick("邮件", "mail"),
        "mailbox" => language.pick("退信邮箱", "mailbox for returned letters"),
        "workflows" => language.pick("流程", "workflows"),
        "calendar" => language.pick("放假安排", "calendar"),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_is_looked_at_has_a_name_in_both_languages() {
        let (inside, around) = (
            ["database", "schema", "cases", "deadlines", "letters", "backup", "checkpoint"],
            ["clock", "keys", "disk", "mail", "mailbox", "workflows", "calendar"],
        );
        for what in inside.into_iter().chain(around) {
            assert_ne!(title(Language::Chinese, what), what, "{what}");
        }
    }
}
