//! What follows from events: letters, documents, work items, deadlines. Pure, and frozen when they commit.
//!
//! Here: what is told to whom with which data, what is printed, who has to do what next, and the proof that nobody
//! waits in silence. Not here: how a letter looks or travels.

use super::event::{Answer, Event, Moved, Recall, Service, Told, What, Who};
use super::scope::Scope;
use super::{Account, Case, Proceeding, Rules, clock};
use crate::definition::file::{Localized, Per};
use crate::guard::{Scope as _, Slot};
use crate::ids::{AccountId, CaseId, LegalTime, ProceedingId};
use crate::value::Value;
use chrono::{DateTime, FixedOffset, NaiveDate};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json, json};

/// A letter to one recipient, with all that it needs to be written and sent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Notice {
    /// `{case}.{event}.{number}`: names the file and the Message-ID.
    pub id: String,
    /// The notice of the workflow.
    pub kind: String,
    /// Its code in the catalogue.
    pub code: String,
    /// The case's reference.
    pub reference: String,
    /// To whom.
    pub recipient: Recipient,
    /// What the template may show.
    pub data: Map<String, Json>,
    /// A calendar invitation.
    pub invitation: Option<Invitation>,
    /// Must be served.
    pub required: bool,
    /// When it was decided.
    pub at: DateTime<FixedOffset>,
    /// The number of the letter that this one corrects.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correction_of: Option<String>,
    /// The letter that is called back with it.
    #[serde(skip)]
    pub recalls: Option<RecalledLetter>,
}

/// A letter that is called back: where it has not left yet, it never will.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecalledLetter {
    /// Its id.
    pub id: String,
    /// The new letter is needed only by those whom the old one has reached.
    pub only_if_left: bool,
}

/// A command for another case, on its way from this one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Errand {
    /// `{case}.{event}`: its idempotency key there.
    pub id: String,
    /// The other case.
    pub to: CaseId,
    /// `kind.transition` there.
    pub action: String,
    /// Its input.
    pub input: Map<String, Json>,
    /// The proceeding that sent it and waits for the answer.
    pub proceeding: ProceedingId,
    /// What fires here when it was done there: `kind.transition`.
    pub done: String,
    /// What fires here when it was refused there: `kind.transition`.
    pub refused: String,
}

/// A recipient.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recipient {
    /// Who.
    pub who: Who,
    /// As what: side, seat or role.
    #[serde(rename = "as")]
    pub as_: String,
    /// Name.
    pub name: String,
    /// Mail address, if known; without one the letter is paper only.
    pub email: Option<String>,
    /// Language of the letter.
    pub language: String,
}

/// A calendar invitation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invitation {
    /// When.
    pub at: DateTime<FixedOffset>,
    /// Where.
    pub place: String,
    /// How long, in minutes.
    pub minutes: u32,
}

/// A document to be printed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Document {
    /// The form.
    pub form: String,
    /// The proceeding.
    pub proceeding: ProceedingId,
    /// The event that produced it.
    pub seq: u64,
    /// Frozen data.
    pub data: Map<String, Json>,
}

/// Something a person has to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkItem {
    /// Stable name within the case.
    pub key: String,
    /// The proceeding.
    pub proceeding: ProceedingId,
    /// The role or seat.
    #[serde(rename = "for")]
    pub for_: String,
    /// The holder of that seat.
    pub account: Option<AccountId>,
    /// What is to be done.
    pub title: Localized,
    /// Until when.
    pub due: Option<NaiveDate>,
}

/// All that follows from one commit.
#[derive(Clone, Debug, Default)]
pub struct Consequences {
    /// Letters.
    pub notices: Vec<Notice>,
    /// Documents.
    pub documents: Vec<Document>,
    /// Commands for other cases.
    pub errands: Vec<Errand>,
    /// All live deadlines of the case after it.
    pub deadlines: Vec<clock::Run>,
    /// All open work of the case after it.
    pub work: Vec<WorkItem>,
}

/// What follows from `events`, where `case` is the case after them.
#[must_use]
pub fn consequences(rules: Rules<'_>, case: &Case, events: &[Event], accounts: &[Account]) -> Consequences {
    let deadlines = clock::runs(rules, case);
    let mut out = Consequences { work: work(rules, case, &deadlines), deadlines, ..Consequences::default() };
    for event in events {
        let tells: Vec<Telling<'_>> = match &event.what {
            What::Moved(Moved { tells, proceeding, .. }) => Telling::all(tells, *proceeding, event.legal_at),
            What::DeadlineWarned { tells, run, .. } | What::DeadlineFired { tells, run, .. } => Telling::all(tells, run.proceeding, event.legal_at),
            What::Undone { recalls, .. } => recalls.iter().map(|r| Telling::recall(r, true)).collect(),
            What::Corrected { recalls, .. } => recalls.iter().map(|r| Telling::recall(r, false)).collect(),
            What::Sent { .. } => {
                out.errands.extend(errand(case, event));
                continue;
            }
            _ => continue,
        };
        for (index, telling) in (0u32..).zip(tells) {
            out.notices.extend(notice(rules, case, event, index, &telling, accounts));
        }
        if let What::Moved(Moved { forms, proceeding, .. }) = &event.what {
            out.documents.extend(forms.iter().map(|form| document(rules, case, event, form, *proceeding, accounts)));
        }
    }
    out
}

/// Somebody is told something: of which proceeding and which legal moment, and in place of which letter.
struct Telling<'e> {
    told: &'e Told,
    proceeding: ProceedingId,
    legal_at: LegalTime,
    recalls: Option<(u64, u32, bool)>,
}

impl<'e> Telling<'e> {
    fn all(tells: &'e [Told], proceeding: ProceedingId, legal_at: LegalTime) -> Vec<Self> {
        tells.iter().map(|told| Self { told, proceeding, legal_at, recalls: None }).collect()
    }

    fn recall(recall: &'e Recall, only_if_left: bool) -> Self {
        let Recall { told_in, index, proceeding, legal_at, tells } = recall;
        Self { told: tells, proceeding: *proceeding, legal_at: *legal_at, recalls: Some((*told_in, *index, only_if_left)) }
    }
}

fn errand(case: &Case, event: &Event) -> Option<Errand> {
    let What::Sent { proceeding, to, action, set, done, refused } = &event.what else { return None };
    let kind = &case.proceedings.get(proceeding)?.kind;
    let input = set.iter().filter_map(|s| Some((s.name.clone(), case.vault.get(&s.value)?.to_json()))).collect();
    Some(Errand {
        id: format!("{}.{}", case.id?, event.seq),
        to: *to,
        action: action.clone(),
        input,
        proceeding: *proceeding,
        done: format!("{kind}.{done}"),
        refused: format!("{kind}.{refused}"),
    })
}

/// What a name holds, as JSON for a template; a seat shows its holder's name.
fn shown(scope: &Scope<'_>, source: &str, accounts: &[Account]) -> Json {
    let path: Vec<&str> = source.split('.').collect();
    match (path.as_slice(), scope.get(&path)) {
        (["seats", _], Slot::Set(id)) => match id.as_ref() {
            Value::Text(id) => accounts.iter().find(|a| a.id.to_string() == *id).map_or(Json::Null, |a| json!(a.name)),
            _ => Json::Null,
        },
        (_, Slot::Set(value)) => value.to_json(),
        _ => Json::Null,
    }
}

fn notice(rules: Rules<'_>, case: &Case, event: &Event, index: u32, telling: &Telling<'_>, accounts: &[Account]) -> Option<Notice> {
    let told = telling.told;
    let def = rules.definition.file.notices.get(&told.notice)?;
    let scope = Scope::of(rules, case, telling.proceeding, telling.legal_at);
    let recipient = match told.who {
        Who::Person(id) => {
            let person = case.people.get(&id)?;
            Recipient {
                who: told.who,
                as_: told.as_.clone(),
                name: case.person_text(id, "name").unwrap_or_default().to_owned(),
                email: case.person_text(id, "email").map(str::to_owned),
                language: person.language.clone(),
            }
        }
        Who::Account(id) => {
            let account = accounts.iter().find(|a| a.id == id)?;
            Recipient {
                who: told.who,
                as_: told.as_.clone(),
                name: account.name.clone(),
                email: account.email.clone(),
                language: account.language.clone(),
            }
        }
        _ => return None,
    };
    let invitation = def.invitation.as_ref().and_then(|i| {
        let (Json::String(at), Json::String(place)) = (shown(&scope, &i.at, accounts), shown(&scope, &i.place, accounts)) else { return None };
        let at = DateTime::parse_from_rfc3339(&at).ok()?;
        Some(Invitation { at, place, minutes: i.minutes })
    });
    let id = case.id?;
    Some(Notice {
        id: format!("{id}.{}.{index}", event.seq),
        kind: told.notice.clone(),
        code: def.code.clone(),
        reference: id.reference(),
        recipient,
        data: def.data.iter().map(|(name, source)| (name.clone(), shown(&scope, source, accounts))).collect(),
        invitation,
        required: told.required,
        at: event.recorded_at,
        correction_of: telling.recalls.map(|(seq, index, _)| format!("{seq}.{index}")),
        recalls: telling.recalls.map(|(seq, index, only_if_left)| RecalledLetter { id: format!("{id}.{seq}.{index}"), only_if_left }),
    })
}

fn document(rules: Rules<'_>, case: &Case, event: &Event, form: &str, proceeding: ProceedingId, accounts: &[Account]) -> Document {
    let scope = Scope::of(rules, case, proceeding, event.legal_at);
    let fields = rules.definition.file.forms.get(form).map(|f| &f.data);
    let mut data: Map<String, Json> = fields.into_iter().flatten().map(|(name, source)| (name.clone(), shown(&scope, source, accounts))).collect();
    let field = |id, name: &str| case.person_text(id, name).map_or(Json::Null, |t| json!(t));
    let people = case.people.values().map(|p| {
        json!({"side": p.side, "party": p.party, "name": field(p.id, "name"), "identity": field(p.id, "identity"),
               "address": field(p.id, "address"), "acts_for": p.acts_for, "id": p.id})
    });
    data.insert("people".to_owned(), people.collect());
    let round = case.proceedings.get(&proceeding).and_then(|p| p.closed_round.as_ref());
    let signatures = round.iter().flat_map(|r| &r.answers).filter(|(_, (a, _))| *a == Answer::Given).map(|((as_, who), (_, at))| {
        let name = match who {
            Who::Person(id) => field(*id, "name"),
            Who::Account(id) => accounts.iter().find(|a| a.id == *id).map_or(Json::Null, |a| json!(a.name)),
            _ => Json::Null,
        };
        json!({"as": as_, "name": name, "on": at.date().to_string()})
    });
    data.insert("signatures".to_owned(), signatures.collect());
    Document { form: form.to_owned(), proceeding, seq: event.seq, data }
}

/// Everything that somebody has to do in a case now.
fn work(rules: Rules<'_>, case: &Case, runs: &[clock::Run]) -> Vec<WorkItem> {
    let mut out = Vec::new();
    let item = |key: String, p: &Proceeding, for_: &str, title: &Localized, due: Option<NaiveDate>| WorkItem {
        key,
        proceeding: p.id,
        for_: for_.to_owned(),
        account: case.holder(for_, Some(p.id)),
        title: title.clone(),
        due,
    };
    for p in case.proceedings.values() {
        let Some(kind) = rules.definition.kinds.get(&p.kind) else { continue };
        // A final state has no work of its own; a deadline that lives in it may.
        let state_work = kind.state(p.state()).and_then(|s| s.work.as_ref());
        if let Some(work) = state_work {
            let due = runs.iter().filter(|r| r.id.proceeding == p.id && !r.fired).filter_map(clock::Run::last_day).min();
            out.push(item(format!("{}:{}", p.id, p.state()), p, &work.for_, &work.title, due));
        }
        for run in runs.iter().filter(|r| r.id.proceeding == p.id) {
            let def = kind.deadlines.get(&run.id.deadline).and_then(|d| d.def.as_ref());
            let own = def.and_then(|d| d.work.as_ref());
            // One that was to tell somebody has done so, and leaves nothing to be done.
            let only_tells = def.is_some_and(|d| d.tells.is_some() && d.work.is_none() && d.fires.is_empty());
            // Several run beside each other where each recipient has a run of its own.
            let one = match def.and_then(|d| d.per) {
                Some(Per::Recipient) => format!("{}@{}", run.id.deadline, run.id.started_by),
                _ => run.id.deadline.clone(),
            };
            let moved = (1..=run.id.nth).rev().find_map(|nth| case.fired.get(&super::event::RunId { nth, ..run.id.clone() }));
            let Some(work) = own.or(state_work) else { continue };
            if moved == Some(&false) && only_tells {
                continue;
            }
            if moved == Some(&false) {
                // A deadline may bear the name of the state in which it lives, so its key says more than the name.
                out.push(item(format!("{}:{one}:due", p.id), p, &work.for_, &work.title, run.last_day()));
            } else if run.held && !run.fired {
                out.push(item(format!("{}:{one}:held", p.id), p, &work.for_, &held_title(), run.last_day()));
            } else if run.is_provisional() && run.acts_at.is_some_and(|at| case.proceedings.values().any(|q| q.last().recorded_at.to_utc() >= at)) {
                out.push(item(format!("{}:{one}:calendar", p.id), p, &work.for_, &calendar_title(), run.last_day()));
            }
        }
    }
    let server = rules.definition.file.actions.serve.by.first().map(String::as_str).unwrap_or_default();
    for ((seq, index), unserved) in case.unserved.iter().filter(|_| case.is_open()) {
        if let Some(p) = case.proceedings.get(&unserved.proceeding) {
            let name = rules.definition.file.notices.get(&unserved.notice).map(|n| &n.title);
            out.push(item(format!("serve:{seq}.{index}"), p, server, &serve_title(&unserved.notice, name, unserved.last), None));
        }
    }
    out
}

fn title(zh: String, en: String) -> Localized {
    [("zh-CN".to_owned(), zh), ("en".to_owned(), en)].into_iter().collect()
}

fn held_title() -> Localized {
    title("期限在录入时已届满，请核对".to_owned(), "This deadline had passed when it was written down: look at it".to_owned())
}

fn calendar_title() -> Localized {
    title(
        "期限跨入尚未公布放假安排的年份，请导入日历".to_owned(),
        "This deadline rests on a year whose holidays are not published: load the calendar".to_owned(),
    )
}

/// What is to be done about a letter that must be served: serve it, wait for its receipt, or find another way.
fn serve_title(notice: &str, name: Option<&Localized>, last: Option<Service>) -> Localized {
    let called = |language: &str| name.and_then(|n| n.get(language)).map_or(notice, String::as_str).to_owned();
    let (zh, en) = match last {
        None => ("送达", "Serve"),
        Some(Service::Posted) => ("已寄出，等待送达回证", "Posted, await the proof of service"),
        Some(Service::Returned) => ("被退回，请另行送达", "It came back: serve it in another way"),
        Some(Service::Unreachable) => ("无法联系，请另行送达", "Nobody was found: serve it in another way"),
        Some(Service::Bounced) => ("电子邮件被退回，请以其他方式送达", "The e-mail bounced: serve it in another way"),
        Some(_) => ("送达", "Serve"),
    };
    title(format!("{zh}：{}", called("zh-CN")), format!("{en}: {}", called("en")))
}

/// The proceedings that wait with nobody and nothing to wake them. Always empty, or the commit is refused.
#[must_use]
pub fn parked(rules: Rules<'_>, case: &Case, consequences: &Consequences) -> Vec<ProceedingId> {
    let open: Vec<&Proceeding> = case.proceedings.values().filter(|p| p.is_open()).collect();
    let covered_itself = |p: &Proceeding| {
        let own_work = consequences.work.iter().any(|w| w.proceeding == p.id && !w.key.starts_with("serve:"));
        let clock = consequences
            .deadlines
            .iter()
            .any(|r| r.id.proceeding == p.id && !r.fired && !r.is_paused() && !r.is_provisional() && r.acts_at.is_some());
        own_work || clock
    };
    let covered = open.iter().filter(|p| covered_itself(p)).map(|p| p.id).collect();
    uncovered(rules, case, covered)
}

/// The open proceedings that neither are among `covered` nor wait on one that is, near or far.
#[must_use]
pub fn uncovered(rules: Rules<'_>, case: &Case, mut covered: Vec<ProceedingId>) -> Vec<ProceedingId> {
    let open: Vec<&Proceeding> = case.proceedings.values().filter(|p| p.is_open()).collect();
    loop {
        let more: Vec<ProceedingId> = open
            .iter()
            .filter(|p| !covered.contains(&p.id))
            .filter(|p| {
                let waits = rules.definition.kinds.get(&p.kind).and_then(|k| k.state(p.state())).map(|s| s.waits_on.as_slice()).unwrap_or_default();
                open.iter().any(|q| waits.contains(&q.kind) && covered.contains(&q.id))
            })
            .map(|p| p.id)
            .collect();
        if more.is_empty() {
            break;
        }
        covered.extend(more);
    }
    open.iter().filter(|p| !covered.contains(&p.id)).map(|p| p.id).collect()
}

/// The legal moment at which the case last moved, for summaries.
#[must_use]
pub fn last_moved(case: &Case) -> Option<LegalTime> {
    case.proceedings.values().map(|p| p.last().legal_at).reduce(LegalTime::or_later)
}
