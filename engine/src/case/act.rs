//! The engine's own actions, which no workflow declares: writing down facts and people, consents, seats, service,
//! files, and answering a round of assents. They take the same road as every transition.

use super::amend;
use super::decide::{Command, Target};
use super::draft::{Draft, Fire};
use super::event::{Acted, Answer, Service, What, Who};
use super::permit::{self, Ask};
use super::refusal::{Code, Refusal, Refusals};
use crate::definition::file::ByDef;
use crate::definition::model::Kind;
use crate::ids::{AccountId, FileId, LegalTime, PersonId, ProceedingId, uuid_v7};
use crate::value::{Field, Type, Value};
use indexmap::IndexMap;
use std::collections::BTreeMap;

/// The engine's own actions on a case.
pub const CASE_ACTIONS: [&str; 9] = ["open", "record", "person", "consent", "seat", "serve", "file", "correct", "undo"];

/// How a notice may have fared, by the words of `case.serve`.
const OUTCOMES: [(&str, Service); 7] = [
    ("posted", Service::Posted),
    ("served", Service::Served),
    ("refused", Service::Refused),
    ("returned", Service::Returned),
    ("unreachable", Service::Unreachable),
    ("bounced", Service::Bounced),
    ("given_up", Service::GivenUp),
];

/// A record type out of name, type and whether it may be left out.
fn record<const N: usize>(fields: [(&str, Type, bool); N]) -> Type {
    Type::Record(fields.into_iter().map(|(name, ty, optional)| (name.to_owned(), Field { ty, optional })).collect())
}

/// The input type of one of the engine's own actions.
#[must_use]
pub fn input_type(definition: &crate::definition::Definition, action: &str) -> Option<Type> {
    let file = &definition.file;
    let words = |keys: &mut dyn Iterator<Item = &String>| Type::Enum(keys.cloned().collect());
    Some(match action {
        "open" | "record" => {
            Type::Record(definition.facts.iter().map(|(n, t)| (n.clone(), Field { ty: t.clone(), optional: true })).collect::<IndexMap<_, _>>())
        }
        "person" => record([
            ("side", words(&mut file.sides.keys()), false),
            ("name", Type::Text, false),
            ("party", Type::Bool, true),
            ("unit", Type::Bool, true),
            ("email", Type::Text, true),
            ("phone", Type::Text, true),
            ("address", Type::Text, true),
            ("identity", Type::Text, true),
            ("language", words(&mut file.title.keys()), true),
            ("acts_for", Type::List(Box::new(Type::Person)), true),
            ("until", Type::Date, true),
            ("account", Type::Staff, true),
            ("person", Type::Person, true),
        ]),
        "consent" => record([("person", Type::Person, true), ("purpose", words(&mut file.consents.keys()), false), ("given", Type::Bool, false)]),
        "seat" => record([("seat", words(&mut file.seats.keys()), false), ("account", Type::Staff, true)]),
        "serve" => record([
            ("notice", Type::Text, false),
            ("outcome", Type::Enum(OUTCOMES.map(|(word, _)| word.to_owned()).to_vec()), false),
            ("channel", Type::Enum(["by_hand", "post", "e_service", "notice_board", "e_mail"].map(str::to_owned).to_vec()), false),
        ]),
        "correct" => record([("event", Type::Int, false), ("on", Type::Date, true), ("at", Type::Instant, true), ("reason", Type::Text, false)]),
        "undo" => record([("event", Type::Int, false), ("reason", Type::Text, false)]),
        "file" => record([
            ("file", Type::File, false),
            ("paper", words(&mut file.papers.keys()), true),
            ("sha256", Type::Text, false),
            ("size", Type::Int, false),
            ("media_type", Type::Text, false),
            ("name", Type::Text, true),
        ]),
        "assent" => record([("answer", Type::Enum(["give", "refuse", "withdraw"].map(str::to_owned).to_vec()), false)]),
        _ => return None,
    })
}

/// Who may take one of the engine's own actions.
#[must_use]
pub fn by<'d>(definition: &'d crate::definition::Definition, action: &str) -> Option<&'d [String]> {
    let actions = &definition.file.actions;
    let declared: &ByDef = match action {
        "record" => &actions.record,
        "person" => &actions.person,
        "consent" => &actions.consent,
        "seat" => &actions.seat,
        "serve" => &actions.serve,
        "file" => &actions.file,
        "correct" => actions.correct.as_ref()?,
        "undo" => return actions.undo.as_ref().map(|u| u.by.as_slice()),
        _ => return None,
    };
    Some(&declared.by)
}

/// Actions that look back, and may be taken on an ended case too.
#[must_use]
pub fn looks_back(action: &str) -> bool {
    matches!(action, "case.correct" | "case.undo")
}

/// Takes one of the engine's own actions.
pub(super) fn case_action(draft: &mut Draft<'_>, command: &Command, action: &str, legal_at: LegalTime) -> Result<(), Refusals> {
    let definition = draft.rules.definition;
    let Some(ty) = input_type(definition, action).filter(|_| action != "assent") else {
        let mut refusal = Refusal::new(Code::UnknownAction, command.action.clone());
        if let Some(near) = crate::definition::nearest(action, CASE_ACTIONS) {
            refusal = refusal.detail("did_you_mean", format!("case.{near}"));
        }
        return Err(vec![refusal]);
    };
    if action == "open" {
        return open(draft, command, &ty, legal_at);
    }
    let Some(by) = by(definition, action) else { return Err(vec![Refusal::new(Code::UnknownAction, command.action.clone())]) };
    // New values are read as what the event had set, once the event is known.
    let mut given = command.input.clone();
    if let (true, Some(fields)) = (action == "correct", given.as_object_mut()) {
        fields.remove("values");
    }
    let Value::Record(input) = draft.input(&given, &ty, &IndexMap::new())? else { return Ok(()) };
    // A consent is the person's own: the input may name whose it is as well as `for`.
    let for_ = command.for_.or_else(|| if action == "consent" { person_of(&input, "person") } else { None });
    let ask = Ask { by, this: None, for_, evidence: &command.evidence, on: legal_at, offering: matches!(action, "file") };
    // What a mail server reports, the engine writes down itself; nobody keys it in.
    let reported = action == "serve" && text(&input, "outcome") == "bounced" && draft.outside.me.is_engine();
    let acted = if reported { Acted::engine(Who::Rule) } else { permit::act(draft.rules, &draft.case, draft.outside, &ask).map_err(|r| vec![*r])?.0 };
    match action {
        "record" => {
            let set = draft.keep(input.into_iter().collect())?;
            if set.is_empty() {
                return Err(vec![Refusal::new(Code::Input, "empty").field("input")]);
            }
            draft.push(What::Recorded { set }, acted, legal_at, None);
        }
        "person" => person(draft, input, acted, legal_at)?,
        "consent" => {
            let Who::Person(person) = acted.who else { return Err(vec![Refusal::new(Code::Party, "consent").field("input.person")]) };
            let given = input.get("given") == Some(&Value::Bool(true));
            draft.push(What::Consented { person, purpose: text(&input, "purpose"), given }, acted, legal_at, None);
        }
        "seat" => seat(draft, &input, acted, legal_at)?,
        "serve" => serve(draft, &input, acted, legal_at)?,
        "correct" => amend::correct(draft, command, input, acted, legal_at)?,
        "undo" => amend::undo(draft, input, acted, legal_at)?,
        _ => file(draft, command, input, acted, legal_at)?,
    }
    Ok(())
}

fn text(input: &BTreeMap<String, Value>, field: &str) -> String {
    if let Some(Value::Text(text)) = input.get(field) { text.clone() } else { String::new() }
}

fn person_of(input: &BTreeMap<String, Value>, field: &str) -> Option<PersonId> {
    text(input, field).parse().ok()
}

fn number(input: &BTreeMap<String, Value>, field: &str) -> u64 {
    if let Some(Value::Int(n)) = input.get(field) { u64::try_from(*n).unwrap_or(0) } else { 0 }
}

fn open(draft: &mut Draft<'_>, command: &Command, ty: &Type, legal_at: LegalTime) -> Result<(), Refusals> {
    let definition = draft.rules.definition;
    let kind = &definition.kinds[definition.root.as_str()];
    let Some(transition) = kind.opening() else { return Err(vec![Refusal::new(Code::UnknownAction, "case.open")]) };
    if draft.case.version != 0 {
        return Err(vec![Refusal::new(Code::Limit, definition.root.clone())]);
    }
    let ask = Ask { by: &transition.def.by, this: None, for_: command.for_, evidence: &[], on: legal_at, offering: false };
    let (acted, side) = permit::act(draft.rules, &draft.case, draft.outside, &ask).map_err(|r| vec![r.law(transition.def.law.as_deref())])?;
    let Value::Record(facts) = draft.input(&command.input, ty, &IndexMap::new())? else { return Ok(()) };
    draft.push(What::CaseOpened { workflow: definition.file.workflow.clone() }, acted.clone(), legal_at, None);
    if !facts.is_empty() {
        let set = draft.keep(facts.into_iter().collect())?;
        draft.push(What::Recorded { set }, acted.clone(), legal_at, None);
    }
    let input = Value::Record(BTreeMap::new());
    draft.fire(Fire { kind, transition, target: Target::New(None), input, acted, side, legal_at, cause: None })?;
    Ok(())
}

/// The longest name of a person, in characters.
const NAME_MAX_CHARS: usize = 120;

fn person(draft: &mut Draft<'_>, mut input: BTreeMap<String, Value>, acted: Acted, legal_at: LegalTime) -> Result<(), Refusals> {
    let name = text(&input, "name");
    if name.trim().is_empty() || name.chars().count() > NAME_MAX_CHARS || name.contains(['\n', '\t']) {
        return Err(vec![
            Refusal::new(Code::Input, "name").field("input.name").detail("expected", format!("one line of 1 to {NAME_MAX_CHARS} characters")),
        ]);
    }
    let email = text(&input, "email");
    let at = email.find('@').unwrap_or(0);
    if !email.is_empty() && (at == 0 || at + 1 >= email.len() || email.contains(char::is_whitespace) || !email.is_ascii()) {
        return Err(vec![Refusal::new(Code::Input, "email").field("input.email").detail("expected", "an address such as name@example.org")]);
    }
    let id = match input.remove("person") {
        Some(Value::Text(known)) => match known.parse::<PersonId>().ok().filter(|id| draft.case.people.contains_key(id)) {
            Some(id) => id,
            None => return Err(vec![Refusal::new(Code::Input, "person").field("input.person")]),
        },
        _ => {
            let bytes = draft.derive("person", draft.next_seq(), 0);
            let mut random = [0u8; 16];
            random.copy_from_slice(&bytes[..16]);
            PersonId::new(uuid_v7(u64::try_from(draft.outside.now.timestamp_millis()).unwrap_or(0), &random))
        }
    };
    let acts_for: Vec<PersonId> = match input.remove("acts_for") {
        Some(Value::List(ids)) => ids.iter().filter_map(|v| if let Value::Text(t) = v { t.parse().ok() } else { None }).collect(),
        _ => Vec::new(),
    };
    if let Some(stranger) = acts_for.iter().find(|p| !draft.case.people.contains_key(*p)) {
        return Err(vec![Refusal::new(Code::Input, "person").field("input.acts_for").detail("person", stranger.to_string())]);
    }
    let account = match input.remove("account") {
        Some(Value::Text(id)) => match draft.outside.accounts.iter().find(|a| a.id.to_string() == id) {
            Some(account) => Some(account.id),
            None => return Err(vec![Refusal::new(Code::Input, "account").field("input.account")]),
        },
        _ => None,
    };
    let language = match input.remove("language") {
        Some(Value::Text(language)) => language,
        _ => draft.rules.definition.file.title.keys().last().cloned().unwrap_or_default(),
    };
    let party = input.remove("party") != Some(Value::Bool(false));
    let until = if let Some(Value::Date(until)) = input.remove("until") { Some(until) } else { None };
    let side = text(&input, "side");
    input.remove("side");
    let set = draft.keep(input.into_iter().collect())?;
    draft.push(What::PersonRecorded { person: id, side, party, acts_for, until, account, language, set }, acted, legal_at, None);
    Ok(())
}

fn seat(draft: &mut Draft<'_>, input: &BTreeMap<String, Value>, acted: Acted, legal_at: LegalTime) -> Result<(), Refusals> {
    let name = text(input, "seat");
    let Some(def) = draft.rules.definition.file.seats.get(&name) else { return Ok(()) };
    let wanted = text(input, "account");
    if wanted.is_empty() {
        draft.push(What::Vacated { seat: name, proceeding: None }, acted, legal_at, None);
        return Ok(());
    }
    let account: Option<AccountId> = draft.outside.accounts.iter().find(|a| a.role == def.role && a.id.to_string() == wanted).map(|a| a.id);
    let Some(account) = account else {
        return Err(vec![Refusal::new(Code::Input, "account").field("input.account").detail("expected", def.role.clone()).law(def.law.as_deref())]);
    };
    draft.may_sit(&name, None, account)?;
    draft.push(What::Seated { seat: name, proceeding: None, account }, acted, legal_at, None);
    Ok(())
}

fn serve(draft: &mut Draft<'_>, input: &BTreeMap<String, Value>, acted: Acted, legal_at: LegalTime) -> Result<(), Refusals> {
    let named = text(input, "notice");
    let found = draft.case.unserved.keys().find(|(seq, i)| format!("{seq}.{i}") == named).copied();
    let Some((told_in, index)) = found else {
        let open: Vec<String> = draft.case.unserved.keys().map(|(seq, i)| format!("{seq}.{i}")).collect();
        return Err(vec![Refusal::new(Code::Input, "notice").field("input.notice").detail("expected", open.join(", "))]);
    };
    let word = text(input, "outcome");
    let outcome = OUTCOMES.iter().find(|(known, _)| *known == word).map_or(Service::GivenUp, |(_, outcome)| *outcome);
    draft.push(What::ServiceRecorded { told_in, index, outcome, channel: text(input, "channel") }, acted, legal_at, None);
    Ok(())
}

fn file(draft: &mut Draft<'_>, command: &Command, input: BTreeMap<String, Value>, acted: Acted, legal_at: LegalTime) -> Result<(), Refusals> {
    let paper = Some(text(&input, "paper")).filter(|p| !p.is_empty());
    let Ok(file) = text(&input, "file").parse::<FileId>() else { return Err(vec![Refusal::new(Code::Input, "file").field("input.file")]) };
    let root = draft.case.root().map(|p| p.id);
    let kind = paper.as_ref().and_then(|p| draft.rules.definition.file.papers.get(p)).map(|p| p.of.clone());
    let proceeding: Option<ProceedingId> = match (&kind, command.proceeding) {
        (_, Some(id)) => draft.case.proceedings.get(&id).filter(|p| kind.as_ref().is_none_or(|k| &p.kind == k)).map(|p| p.id),
        (Some(kind), None) => draft.case.proceedings.values().rev().find(|p| &p.kind == kind && p.is_open()).map(|p| p.id),
        (None, None) => root,
    };
    let Some(proceeding) = proceeding else {
        return Err(vec![Refusal::new(Code::Proceeding, kind.unwrap_or_default()).field("proceeding").detail("reason", "none")]);
    };
    let what = What::FileAttached {
        file,
        paper,
        proceeding,
        sha256: text(&input, "sha256"),
        size: number(&input, "size"),
        media_type: text(&input, "media_type"),
    };
    draft.push(what, acted, legal_at, None);
    Ok(())
}

/// Answers a round of assents.
pub(super) fn assent(draft: &mut Draft<'_>, command: &Command, kind: &Kind, legal_at: LegalTime) -> Result<(), Refusals> {
    let asking: Vec<ProceedingId> = draft
        .case
        .proceedings
        .values()
        .filter(|p| p.kind == kind.name && p.round.is_some() && command.proceeding.is_none_or(|id| id == p.id))
        .map(|p| p.id)
        .collect();
    let [id] = asking.as_slice() else {
        let reason = if asking.is_empty() { "none" } else { "several" };
        return Err(vec![Refusal::new(Code::Assent, kind.name.clone()).field("proceeding").detail("reason", reason)]);
    };
    let id = *id;
    let p = &draft.case.proceedings[&id];
    let Some(def) = kind.state(p.state()).and_then(|s| s.assents.as_ref()) else {
        return Err(vec![Refusal::new(Code::Assent, kind.name.clone()).detail("reason", "none")]);
    };
    if legal_at.before(p.last().legal_at) {
        let earliest = p.last().legal_at.to_string();
        return Err(vec![Refusal::new(Code::LegalTime, "before_last_step").field("effective_on").detail("earliest", earliest)]);
    }
    if p.round.as_ref().is_some_and(|r| r.lapsed) {
        return Err(vec![Refusal::new(Code::Assent, kind.name.clone()).detail("reason", "lapsed")]);
    }
    let Some(ty) = input_type(draft.rules.definition, "assent") else { return Ok(()) };
    let Value::Record(input) = draft.input(&command.input, &ty, &IndexMap::new())? else { return Ok(()) };
    let answer = match text(&input, "answer").as_str() {
        "give" => Answer::Given,
        "refuse" => Answer::Refused,
        _ => Answer::Withdrawn,
    };
    let ask = Ask { by: &def.of, this: Some(id), for_: command.for_, evidence: &command.evidence, on: legal_at, offering: false };
    let (mut acted, _) = permit::act(draft.rules, &draft.case, draft.outside, &ask).map_err(|r| vec![*r])?;
    let mut counts_for = vec![acted.who];
    // An agent's answer counts for each party it acts for; one who may answer for several does so one by one.
    if let Who::Person(agent) = acted.who {
        let agent = &draft.case.people[&agent];
        if !agent.party {
            let parties: Vec<Who> = draft
                .case
                .parties(&acted.as_)
                .filter(|p| agent.acts_for.is_empty() || agent.acts_for.contains(&p.id))
                .map(|p| Who::Person(p.id))
                .collect();
            if !parties.is_empty() {
                counts_for = parties;
            }
        }
    }
    // Whoever may answer for several, and was not told for whom, answers for the next who has not.
    if command.for_.is_none() {
        let open = permit::standings(draft.rules, &draft.case, draft.outside.me, &def.of, Some(id), legal_at).into_iter().find(|s| {
            let answered = draft.case.proceedings[&id].round.as_ref().is_some_and(|r| r.answers.contains_key(&(s.as_.clone(), s.who)));
            // What staff key in says for whom: paper is somebody's.
            !answered && !s.keyed_in
        });
        if let Some(open) = open {
            let is_agent = |who: Who| matches!(who, Who::Person(p) if !draft.case.people[&p].party);
            if !is_agent(acted.who) && !is_agent(open.who) {
                acted.who = open.who;
                acted.as_ = open.as_;
                counts_for = vec![acted.who];
            }
        }
    }
    let shown = draft.case.proceedings[&id].shown();
    for who in counts_for {
        draft.push(What::Assented { proceeding: id, who, answer, shown: shown.clone() }, acted.clone(), legal_at, None);
    }
    Ok(())
}
