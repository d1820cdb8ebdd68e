//! Events told as a person would tell them: who did what, which deadline started or stopped, which letter left for whom.

use super::Language;
use crate::words::{Words, labels::Labels};
use chrono::Datelike as _;
use heyi_engine::calendar::{Length, Unit};
use heyi_engine::case::clock::Run;
use heyi_engine::case::consequences::Notice;
use heyi_engine::case::event::{Acted, Answer, Event, Moved, What, Who};
use heyi_engine::case::refusal::Refusal;
use heyi_engine::case::{Account, Case};
use heyi_engine::definition::Definition;
use heyi_engine::definition::file::{AssentForm, Localized};
use heyi_engine::ids::{LegalTime, ProceedingId};
use indexmap::IndexMap;

/// Tells what happened in one case.
pub struct Teller<'a> {
    /// The workflow.
    pub definition: &'a Definition,
    /// Everyone with an account.
    pub accounts: &'a [Account],
    /// The language.
    pub language: Language,
    /// The program's own words.
    pub words: &'a Words,
}

impl Teller<'_> {
    fn text<'t>(&self, text: &'t Localized, fallback: &'t str) -> &'t str {
        text.get(self.language.tag()).or_else(|| text.values().next()).map_or(fallback, String::as_str)
    }

    fn standing(&self, name: &str) -> String {
        let file = &self.definition.file;
        let own = name.strip_prefix("this.").and_then(|seat| self.definition.kinds.values().find_map(|k| k.def.seats.get(seat)));
        let title = file
            .roles
            .get(name)
            .map(|r| &r.title)
            .or_else(|| file.sides.get(name).map(|s| &s.title))
            .or_else(|| file.seats.get(name).map(|s| &s.title))
            .or_else(|| own.map(|s| &s.title));
        title.map_or(name, |t| self.text(t, name)).to_owned()
    }

    fn account(&self, id: heyi_engine::ids::AccountId) -> String {
        self.accounts.iter().find(|a| a.id == id).map_or_else(String::new, |a| a.name.clone())
    }

    fn who(&self, case: &Case, who: Who, as_: &str) -> String {
        let name = match who {
            Who::Person(id) => case.person_text(id, "name").unwrap_or_default().to_owned(),
            Who::Account(id) => self.account(id),
            _ => String::new(),
        };
        format!("{} {name}", self.standing(as_)).trim().to_owned()
    }

    fn actor(&self, case: &Case, acted: &Acted) -> String {
        match acted.who {
            Who::Clock | Who::Rule => String::new(),
            who => self.who(case, who, &acted.as_),
        }
    }

    /// A day or an instant, with its weekday.
    #[must_use]
    pub fn day(&self, at: LegalTime) -> String {
        let date = at.date();
        let weekday = match self.language {
            Language::Chinese => ["周一", "周二", "周三", "周四", "周五", "周六", "周日"][date.weekday().num_days_from_monday() as usize].to_owned(),
            Language::English => date.format("%a").to_string(),
        };
        match at {
            LegalTime::On(_) => format!("{date} {weekday}"),
            LegalTime::At(at) => format!("{date} {weekday} {}", at.format("%H:%M")),
        }
    }

    /// The stage that people see.
    #[must_use]
    pub fn stage(&self, case: &Case) -> String {
        let stage = case.stage(self.definition).unwrap_or("closed");
        self.definition.file.stages.get(stage).map_or(stage, |t| self.text(t, stage)).to_owned()
    }

    /// One line for an event; none for what speaks for itself in another line.
    #[must_use]
    pub fn event(&self, case: &Case, event: &Event) -> Option<String> {
        let actor = self.actor(case, &event.acted);
        let pick = |zh: &str, en: &str| self.language.pick(zh, en).to_owned();
        let said = match &event.what {
            What::CaseOpened { .. } | What::DeadlineWarned { .. } | What::DeadlineFired { moved: true, .. } => return None,
            What::Moved(moved) => self.moved(moved),
            What::Recorded { set } => {
                let label = |name: &str| {
                    self.definition.file.facts.get(name).and_then(|f| f.label.as_ref()).map_or(name.to_owned(), |l| self.text(l, name).to_owned())
                };
                let labels: Vec<String> = set.iter().map(|s| label(&s.name)).collect();
                format!("{}{}", pick("登记：", "writes down: "), labels.join(self.language.pick("、", ", ")))
            }
            What::PersonRecorded { person, side, .. } => {
                format!("{}{} {}", pick("登记当事人：", "records "), self.standing(side), case.person_text(*person, "name").unwrap_or_default())
            }
            What::FileAttached { paper, .. } => {
                let title = paper.as_ref().and_then(|p| self.definition.file.papers.get(p)).map(|p| self.text(&p.title, "").to_owned());
                format!("{}{}", pick("提交材料：", "hands in: "), title.or_else(|| paper.clone()).unwrap_or_else(|| pick("证据", "evidence")))
            }
            What::Seated { seat, account, .. } => {
                let seat = if self.definition.file.seats.contains_key(seat) { self.standing(seat) } else { self.standing(&format!("this.{seat}")) };
                return Some(format!("{seat}{}{}", pick("：", ": "), self.account(*account)));
            }
            What::Vacated { seat, .. } => return Some(format!("{}{}", self.standing(seat), pick("席位空出", " is vacant"))),
            What::Consented { purpose, given, .. } => {
                let purpose = self.definition.file.consents.get(purpose).map_or(purpose.clone(), |c| self.text(&c.title, purpose).to_owned());
                format!("{}{purpose}", if *given { pick("同意：", "consents: ") } else { pick("撤回同意：", "withdraws the consent: ") })
            }
            What::Assented { answer, proceeding, .. } => match answer {
                Answer::Given if self.asks_signatures(case, *proceeding) => pick("签署", "signs"),
                Answer::Given => pick("同意", "agrees"),
                Answer::Refused => pick("不同意", "refuses"),
                Answer::Withdrawn => pick("撤回答复", "takes the answer back"),
            },
            What::RoundLapsed { .. } => pick("征求意见期限届满，无人答复", "the time to answer ran out"),
            What::ServiceRecorded { .. } => pick("登记送达", "records service (送达)"),
            What::DeadlineFired { run, .. } => {
                format!("{}{}", self.deadline(&run.deadline), pick("届满，转为待办", " is over: somebody has to look"))
            }
            What::Sent { to, .. } => return Some(format!("{}{}", pick("转送另案：", "a message goes to case "), to.reference())),
            What::Undone { event, .. } => format!("{} #{event}", pick("撤销步骤", "takes back step")),
            What::Corrected { event, .. } => format!("{} #{event}", pick("更正步骤", "corrects step")),
            What::Migrated { .. } => pick("转入新版流程", "moves the case to the newer procedure"),
            What::CalendarChanged { .. } => pick("按新公布的放假安排重新计算期限", "deadlines are counted anew by the new calendar"),
        };
        let staff = |by: &Account| self.definition.file.roles.get(&by.role).is_some_and(|r| r.keys_in);
        let keyed = event.acted.entered_by.and_then(|by| self.accounts.iter().find(|a| a.id == by)).filter(|by| staff(by)).map(|by| by.name.clone());
        let keyed = keyed.map_or_else(String::new, |by| format!("{}{by}{}", pick("（", " (entered by "), pick("代录）", ")")));
        let gap = if actor.is_empty() { "" } else { self.language.pick("：", " ") };
        Some(format!("{actor}{gap}{said}{keyed}"))
    }

    /// Whether the last round of a proceeding asked for signatures.
    fn asks_signatures(&self, case: &Case, proceeding: ProceedingId) -> bool {
        let Some(p) = case.proceedings.get(&proceeding) else { return false };
        let Some(kind) = self.definition.kinds.get(&p.kind) else { return false };
        let asked = p.timeline.iter().rev().find_map(|m| kind.def.states.get(&m.state)?.assents.as_ref());
        asked.is_some_and(|a| a.as_ == AssentForm::Signature)
    }

    fn moved(&self, moved: &Moved) -> String {
        let Some(kind) = self.definition.kinds.get(&moved.kind) else { return moved.kind.clone() };
        let state = kind.def.states.get(&moved.to).map_or(moved.to.clone(), |s| self.text(&s.title, &moved.to).to_owned());
        let kind_title = self.text(&kind.def.title, &moved.kind);
        let step = match kind.def.transitions.get(&moved.transition) {
            Some(t) => self.text(&t.title, &moved.transition).to_owned(),
            None => self.language.pick("随主程序结束", "ends with its parent").to_owned(),
        };
        let number = moved.number.as_ref().map_or_else(String::new, |n| format!(" {}", n.text));
        match self.language {
            Language::Chinese => format!("{step}{number} ▸ {kind_title}：{state}"),
            Language::English => format!("{step}{number} ▸ {kind_title}: {state}"),
        }
    }

    fn deadline(&self, name: &str) -> String {
        let def = self.definition.kinds.values().find_map(|k| k.def.deadlines.get(name));
        match def {
            Some(def) => self.text(&def.title, name).to_owned(),
            None => self.language.pick("征求意见期限", "time to answer").to_owned(),
        }
    }

    /// How long a deadline is, as the engine explains it.
    fn length(&self, said: &str) -> String {
        let (every, one) = said.strip_prefix("every ").map_or(("", said), |one| ("每", one));
        match (self.language, one.parse::<Length>()) {
            (Language::English, _) => said.to_owned(),
            (Language::Chinese, Err(_)) => "按约定的日期".to_owned(),
            (Language::Chinese, Ok(length)) => {
                let unit = match length.unit {
                    Unit::Hours => "小时",
                    Unit::CalendarDays => "个自然日",
                    Unit::WorkingDays => "个工作日",
                    Unit::Months => "个月",
                    Unit::Years => "年",
                };
                format!("{every}{}{unit}", length.n)
            }
        }
    }

    /// What changed between two sets of live deadlines.
    #[must_use]
    pub fn deadlines(&self, before: &[Run], after: &[Run]) -> Vec<String> {
        let pick = |zh: &str, en: &str| self.language.pick(zh, en).to_owned();
        let mut out = Vec::new();
        for run in after {
            let name = self.deadline(&run.id.deadline);
            let until = run.last_day().map_or_else(String::new, |d| self.day(LegalTime::On(d)));
            let old = before.iter().find(|b| b.id == run.id);
            match old {
                None if run.is_paused() => {}
                None => out.push(format!(
                    "{name}{}{until}{}{}{}",
                    pick("开始，至 ", " runs until "),
                    pick("（", " ("),
                    self.length(&run.length),
                    pick("）", ")")
                )),
                Some(old) if !old.is_paused() && run.is_paused() => out.push(format!("{name}{}", pick("暂停", " is paused"))),
                Some(old) if old.is_paused() && !run.is_paused() => out.push(format!("{name}{}{until}", pick("恢复，至 ", " goes on, until "))),
                Some(old) if old.last_day() != run.last_day() => out.push(format!("{name}{}{until}", pick("改为 ", " now ends on "))),
                Some(_) => {}
            }
        }
        for old in before.iter().filter(|b| !b.fired && !after.iter().any(|r| r.id == b.id)) {
            out.push(format!("{}{}", self.deadline(&old.id.deadline), pick("停止", " stops")));
        }
        out
    }

    /// Letters by kind, with those they went to.
    #[must_use]
    pub fn notices(&self, notices: &[Notice]) -> Vec<String> {
        let mut by_kind: IndexMap<&str, Vec<&str>> = IndexMap::new();
        for notice in notices {
            by_kind.entry(&notice.kind).or_default().push(&notice.recipient.name);
        }
        by_kind
            .iter()
            .map(|(kind, names)| {
                let title = self.definition.file.notices.get(*kind).map_or(*kind, |n| self.text(&n.title, kind));
                format!("{title} → {}", names.join(self.language.pick("、", ", ")))
            })
            .collect()
    }

    /// Why a step was refused, in the words of the API.
    #[must_use]
    pub fn refusals(&self, action: &str, refusals: &[Refusal]) -> Vec<String> {
        let labels = Labels { definition: self.definition, words: self.words, language: self.language.tag() };
        let law = |r: &Refusal| r.law.as_ref().map_or_else(String::new, |l| format!(" [{l}]"));
        refusals.iter().map(|r| format!("{}{}{}", self.language.pick("不予办理：", "refused: "), labels.refusal(action, r), law(r))).collect()
    }
}
