//! "What can I do next?", answered by the same functions that decide.

use super::act;
use super::decide::{Target, obstacles, targets};
use super::permit::{self, Ask};
use super::refusal::{Code, Refusal};
use super::{Case, Outside, Proceeding, Rules};
use crate::definition::compile::{Kind, Transition};
use crate::definition::file::{FieldDef, Localized, Of, TypeName};
use crate::ids::{LegalTime, PersonId, ProceedingId};
use crate::value::Type;
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

/// Something that somebody could ever do here, or that happens by itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ActionOption {
    /// `kind.transition`, `kind.assent` or `case.…`.
    pub action: String,
    /// Where.
    pub proceeding: Option<ProceedingId>,
    /// Whether it would be accepted now, given right input.
    pub allowed: bool,
    /// Why not.
    pub refusals: Vec<Refusal>,
    /// JSON Schema of the input.
    pub input: Json,
    /// The article.
    pub law: Option<String>,
    /// It happens by itself as soon as the refusals are gone.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub automatic: bool,
    /// The people one may act for, when more than oneself.
    #[serde(default, rename = "for", skip_serializing_if = "Vec::is_empty")]
    pub for_: Vec<PersonId>,
    /// Keyed in for somebody else: `evidence` must name a file.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub needs_evidence: bool,
    /// An answer to the round was given already; it may be changed or withdrawn.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub answered: bool,
    /// Taken by handing in a file, not by this route.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub upload: bool,
}

/// Everything that the person at the keyboard could ever do in this case, and every automatic step.
#[must_use]
pub fn options(rules: Rules<'_>, case: &Case, outside: &Outside<'_>, language: &str) -> Vec<ActionOption> {
    let mut out = Vec::new();
    let now = LegalTime::At(outside.now);
    for action in act::CASE_ACTIONS.iter().filter(|a| **a != "open") {
        out.extend(case_option(rules, case, outside, action, now));
    }
    for kind in rules.definition.kinds.values() {
        for transition in kind.transitions.values().filter(|t| t.auto.is_some() || permit::concerns(rules, outside.me, &t.def.by)) {
            let places = targets(case, kind, transition);
            if places.is_empty() && transition.auto.is_none() {
                let mut refusal = Refusal::new(Code::Proceeding, kind.name.clone()).detail("reason", "none");
                if !transition.opens {
                    refusal.unlocked_by =
                        kind.transitions.values().filter(|t| t.opens && !t.def.by.is_empty()).map(|t| format!("{}.{}", kind.name, t.name)).collect();
                }
                out.push(blank(kind, transition, None, vec![refusal], input_schema(&transition.def.input, outside, language)));
            }
            for target in places {
                out.push(option(rules, case, outside, kind, transition, target, now, language));
            }
        }
        for p in case.proceedings.values().filter(|p| p.kind == kind.name && p.round.is_some()) {
            out.extend(assent_option(rules, case, outside, kind, p, now));
        }
    }
    out
}

fn blank(kind: &Kind, transition: &Transition, proceeding: Option<ProceedingId>, refusals: Vec<Refusal>, input: Json) -> ActionOption {
    ActionOption {
        action: format!("{}.{}", kind.name, transition.name),
        proceeding,
        allowed: refusals.is_empty() && transition.auto.is_none(),
        refusals,
        input,
        law: transition.def.law.clone(),
        automatic: transition.auto.is_some(),
        for_: Vec::new(),
        needs_evidence: false,
        answered: false,
        upload: false,
    }
}

#[expect(clippy::too_many_arguments, reason = "one row of the list, made of what the list is made of")]
fn option(rules: Rules<'_>, case: &Case, outside: &Outside<'_>, kind: &Kind, transition: &Transition, target: Target, now: LegalTime, language: &str) -> ActionOption {
    let (this, place) = match target {
        Target::In(id) => (Some(id), Some(id)),
        Target::New(parent) => (None, parent),
    };
    if transition.auto.is_some() {
        let mut refusals = obstacles(rules, case, kind, transition, target, None, now);
        if refusals.is_empty() {
            let source = transition.auto.as_ref().map(|g| g.source().to_owned()).unwrap_or_default();
            refusals.push(Refusal::new(Code::Guard, source));
        }
        return blank(kind, transition, place, refusals, json!({}));
    }
    let ways = permit::standings(rules, case, outside.me, &transition.def.by, this, now);
    let ask = Ask { by: &transition.def.by, this, for_: None, evidence: &[], on: now, offering: true };
    let (mut refusals, side) = match permit::act(rules, case, outside, &ask) {
        Ok((_, side)) => (Vec::new(), side),
        Err(refusal) => (vec![*refusal], None),
    };
    let mut blocked = obstacles(rules, case, kind, transition, target, side.as_deref(), now);
    let mut for_: Vec<PersonId> = people(&ways);
    // Another person one may act for may be the one for whom it is open.
    if refusals.is_empty() && !blocked.is_empty() {
        let other = ways.iter().find(|w| obstacles(rules, case, kind, transition, target, w.side.as_deref(), now).is_empty());
        if other.is_some() {
            blocked.clear();
        }
    }
    for_.retain(|person| {
        let side = case.people.get(person).map(|p| p.side.as_str());
        !blocked.is_empty() || obstacles(rules, case, kind, transition, target, side, now).is_empty()
    });
    refusals.extend(blocked);
    let needs_evidence = ways.first().is_some_and(|w| w.keyed_in);
    ActionOption { for_, needs_evidence, ..blank(kind, transition, place, refusals, input_schema(&transition.def.input, outside, language)) }
}

fn people(ways: &[permit::Standing]) -> Vec<PersonId> {
    ways.iter().filter_map(|w| if let super::event::Who::Person(id) = w.who { Some(id) } else { None }).collect()
}

fn assent_option(rules: Rules<'_>, case: &Case, outside: &Outside<'_>, kind: &Kind, p: &Proceeding, now: LegalTime) -> Option<ActionOption> {
    let def = kind.state(p.state())?.assents.as_ref()?;
    if !permit::concerns(rules, outside.me, &def.of) {
        return None;
    }
    let ways = permit::standings(rules, case, outside.me, &def.of, Some(p.id), now);
    let ask = Ask { by: &def.of, this: Some(p.id), for_: None, evidence: &[], on: now, offering: true };
    let mut refusals: Vec<Refusal> = permit::act(rules, case, outside, &ask).err().map(|r| *r).into_iter().collect();
    let round = p.round.as_ref()?;
    if round.lapsed {
        refusals.push(Refusal::new(Code::Assent, kind.name.clone()).detail("reason", "lapsed"));
    }
    let open = |w: &permit::Standing| !round.answers.contains_key(&(w.as_.clone(), w.who));
    Some(ActionOption {
        action: format!("{}.assent", kind.name),
        proceeding: Some(p.id),
        allowed: refusals.is_empty(),
        refusals,
        input: act::input_type(rules.definition, "assent")?.json_schema(),
        law: None,
        automatic: false,
        for_: people(&ways),
        needs_evidence: ways.iter().find(|w| open(w)).or(ways.first()).is_some_and(|w| w.keyed_in),
        answered: !ways.is_empty() && !ways.iter().any(open),
        upload: false,
    })
}

fn case_option(rules: Rules<'_>, case: &Case, outside: &Outside<'_>, action: &str, now: LegalTime) -> Option<ActionOption> {
    let by = act::by(rules.definition, action)?;
    if !permit::concerns(rules, outside.me, &by.by) {
        return None;
    }
    let mut refusals = Vec::new();
    if !case.is_open() {
        refusals.push(Refusal::new(Code::Closed, case.workflow.clone()));
    }
    let ways = permit::standings(rules, case, outside.me, &by.by, None, now);
    let ask = Ask { by: &by.by, this: None, for_: None, evidence: &[], on: now, offering: true };
    refusals.extend(permit::act(rules, case, outside, &ask).err().map(|r| *r));
    let mut input = act::input_type(rules.definition, action)?.json_schema();
    let people: Vec<String> = case.people.keys().map(ToString::to_string).collect();
    match action {
        "consent" => input["properties"]["person"]["enum"] = json!(people),
        "person" => {
            let accounts: Vec<String> = outside.accounts.iter().map(|a| a.id.to_string()).collect();
            input["properties"]["account"]["enum"] = json!(accounts);
        }
        "seat" => {
            let roles: Vec<&String> = rules.definition.file.seats.values().map(|s| &s.role).collect();
            let holders: Vec<String> = outside.accounts.iter().filter(|a| roles.contains(&&a.role)).map(|a| a.id.to_string()).collect();
            input["properties"]["account"]["enum"] = json!(holders);
        }
        "serve" => {
            let open: Vec<String> = case.unserved.keys().map(|(seq, index)| format!("{seq}.{index}")).collect();
            if open.is_empty() {
                refusals.push(Refusal::new(Code::Input, "notice").detail("reason", "nothing_to_serve"));
            }
            input["properties"]["notice"]["enum"] = json!(open);
        }
        _ => {}
    }
    Some(ActionOption {
        action: format!("case.{action}"),
        proceeding: None,
        allowed: refusals.is_empty(),
        refusals,
        input,
        law: None,
        automatic: false,
        for_: if action == "consent" { people_ids(&ways) } else { Vec::new() },
        needs_evidence: action != "file" && ways.first().is_some_and(|w| w.keyed_in),
        answered: false,
        upload: action == "file",
    })
}

fn people_ids(ways: &[permit::Standing]) -> Vec<PersonId> {
    people(ways)
}

/// The JSON Schema of declared input, with labels, and with the accounts that a staff field may name.
#[must_use]
pub fn input_schema(fields: &IndexMap<String, FieldDef>, outside: &Outside<'_>, language: &str) -> Json {
    let ty = crate::definition::names::record(fields).unwrap_or_else(|_| Type::Record(IndexMap::new()));
    let mut schema = ty.json_schema();
    for (name, def) in fields {
        let slot = &mut schema["properties"][name.as_str()];
        if let Some(label) = def.label.as_ref().and_then(|l| in_language(l, language)) {
            slot["title"] = json!(label);
        }
        if let (TypeName::Staff, Some(Of::Words(roles))) = (def.ty, &def.of) {
            let accounts: Vec<String> = outside.accounts.iter().filter(|a| roles.contains(&a.role)).map(|a| a.id.to_string()).collect();
            slot["enum"] = json!(accounts);
        }
    }
    schema
}

/// A text in a language, or in the first there is.
#[must_use]
pub fn in_language<'l>(text: &'l Localized, language: &str) -> Option<&'l str> {
    text.get(language).or_else(|| text.values().next()).map(String::as_str)
}
