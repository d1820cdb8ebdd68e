//! "What can I do next?", answered by the same functions that decide.

use super::act;
use super::decide::{Target, obstacles, targets};
use super::permit::{self, Ask};
use super::refusal::{Code, Refusal};
use super::{Case, Outside, Proceeding, Rules};
use crate::definition::file::{FieldDef, Localized, Of, TypeName};
use crate::definition::model::{Kind, Transition};
use crate::ids::{LegalTime, PersonId, ProceedingId};
use crate::value::Type;
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use std::collections::BTreeSet;

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
    list(rules, case, outside, Some(language))
}

/// What marks an action in [`allowed`] that is keyed in for somebody else, on a paper that proves it.
pub const ON_PAPER: &str = " (paper)";

/// The names of what would be accepted now, given right input: what [`options`] allows, without the forms to ask for
/// that input with, which are most of the work. What one may only key in for others bears [`ON_PAPER`].
#[must_use]
pub fn allowed(rules: Rules<'_>, case: &Case, outside: &Outside<'_>) -> BTreeSet<String> {
    let name = |o: ActionOption| if o.needs_evidence { o.action + ON_PAPER } else { o.action };
    list(rules, case, outside, None).into_iter().filter(|o| o.allowed).map(name).collect()
}

/// Without a language no schemas are made, and what happens by itself is left out.
fn list(rules: Rules<'_>, case: &Case, outside: &Outside<'_>, language: Option<&str>) -> Vec<ActionOption> {
    let mut out = Vec::new();
    if case.version == 0 {
        // A case that is not open yet can only be opened, which is no action on a case.
        return out;
    }
    let now = LegalTime::At(outside.now);
    for action in act::CASE_ACTIONS.iter().filter(|a| **a != "open") {
        out.extend(case_option(rules, case, outside, action, now, language.is_some()));
    }
    if language.is_none() && !case.is_open() {
        out.retain(|o| act::looks_back(&o.action));
        return out;
    }
    for kind in rules.definition.kinds.values() {
        for transition in kind.transitions.values().filter(|t| t.auto.is_some() || permit::concerns(rules, outside.me, &t.def.by)) {
            let places = targets(case, kind, transition);
            if language.is_none() && (transition.auto.is_some() || places.is_empty()) {
                continue;
            }
            if places.is_empty() && transition.auto.is_none() {
                let mut refusal = Refusal::new(Code::Proceeding, kind.name.clone()).detail("reason", "none");
                if !transition.opens {
                    refusal.unlocked_by =
                        kind.transitions.values().filter(|t| t.opens && t.by_people()).map(|t| format!("{}.{}", kind.name, t.name)).collect();
                }
                out.push(blank(kind, transition, None, vec![refusal], schema(&transition.def.input, outside, language)));
            }
            let open_here = |target: &Target| match target {
                // Why another state would be needed is told, and not asked here.
                Target::In(id) => language.is_some() || case.proceedings.get(id).is_some_and(|p| transition.from.contains(p.state())),
                Target::New(_) => true,
            };
            for target in places.into_iter().filter(open_here) {
                out.extend(option(rules, case, outside, kind, transition, target, now, language));
            }
        }
        for p in case.proceedings.values().filter(|p| p.kind == kind.name && p.round.is_some()) {
            out.extend(assent_option(rules, case, outside, kind, p, now));
        }
    }
    if !case.is_open() {
        // An ended case takes no command, and so offers none.
        for ended in out.iter_mut().filter(|o| !act::looks_back(&o.action)) {
            ended.allowed = false;
            ended.refusals = vec![Refusal::new(Code::Closed, case.workflow.clone())];
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
fn option(
    rules: Rules<'_>,
    case: &Case,
    outside: &Outside<'_>,
    kind: &Kind,
    transition: &Transition,
    target: Target,
    now: LegalTime,
    language: Option<&str>,
) -> Vec<ActionOption> {
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
        return vec![blank(kind, transition, place, refusals, json!({}))];
    }
    let ways = permit::standings(rules, case, outside.me, &transition.def.by, this, now);
    let schema = || schema(&transition.def.input, outside, language);
    if ways.is_empty() {
        let ask = Ask { by: &transition.def.by, this, for_: None, evidence: &[], on: now, offering: true };
        let mut refusals: Vec<Refusal> = permit::act(rules, case, outside, &ask).err().map(|r| *r).into_iter().collect();
        refusals.extend(obstacles(rules, case, kind, transition, target, None, now));
        return vec![blank(kind, transition, place, refusals, schema())];
    }
    let row = |group: Vec<permit::Standing>| {
        let blocked = |w: &permit::Standing| obstacles(rules, case, kind, transition, target, w.side.as_deref(), now);
        // For another person one may act for it may be open, or nearer to it: that is told, with the people it is true of.
        let told: Vec<(Vec<Refusal>, permit::Standing)> = group.into_iter().map(|w| (blocked(&w), w)).collect();
        let refusals = told.iter().map(|(why, _)| why).min_by_key(|why| why.len()).cloned().unwrap_or_default();
        let ways: Vec<permit::Standing> = told.into_iter().filter(|(why, _)| *why == refusals).map(|(_, w)| w).collect();
        let (for_, needs_evidence) = (people(&ways), ways.iter().any(|w| w.keyed_in));
        ActionOption { for_, needs_evidence, ..blank(kind, transition, place, refusals, schema()) }
    };
    groups(ways).into_iter().map(row).collect()
}

/// The ways in which one acts oneself, and those in which one keys in for others: two rows, as only the second needs a
/// file that proves it. Who acts oneself is offered the second only for people who can be named.
fn groups(ways: Vec<permit::Standing>) -> Vec<Vec<permit::Standing>> {
    let (mut keyed, own): (Vec<_>, Vec<_>) = ways.into_iter().partition(|w| w.keyed_in);
    if !own.is_empty() {
        keyed.retain(|w| matches!(w.who, super::event::Who::Person(_)));
    }
    [own, keyed].into_iter().filter(|g| !g.is_empty()).collect()
}

fn people(ways: &[permit::Standing]) -> Vec<PersonId> {
    ways.iter().filter_map(|w| if let super::event::Who::Person(id) = w.who { Some(id) } else { None }).collect()
}

fn assent_option(rules: Rules<'_>, case: &Case, outside: &Outside<'_>, kind: &Kind, p: &Proceeding, now: LegalTime) -> Vec<ActionOption> {
    let Some((def, round)) = kind.state(p.state()).and_then(|s| s.assents.as_ref()).zip(p.round.as_ref()) else { return Vec::new() };
    let Some(input) = act::input_type(rules.definition, "assent").filter(|_| permit::concerns(rules, outside.me, &def.of)) else { return Vec::new() };
    let row = |group: Vec<permit::Standing>, mut refusals: Vec<Refusal>| {
        if round.lapsed {
            refusals.insert(0, Refusal::new(Code::Assent, kind.name.clone()).detail("reason", "lapsed"));
        }
        ActionOption {
            action: format!("{}.assent", kind.name),
            proceeding: Some(p.id),
            allowed: refusals.is_empty(),
            refusals,
            input: input.json_schema(),
            law: None,
            automatic: false,
            for_: people(&group),
            needs_evidence: group.first().is_some_and(|w| w.keyed_in),
            answered: !group.is_empty() && group.iter().all(|w| round.answers.contains_key(&(w.as_.clone(), w.who))),
            upload: false,
        }
    };
    let ways = permit::standings(rules, case, outside.me, &def.of, Some(p.id), now);
    if ways.is_empty() {
        let ask = Ask { by: &def.of, this: Some(p.id), for_: None, evidence: &[], on: now, offering: true };
        return vec![row(Vec::new(), permit::act(rules, case, outside, &ask).err().map(|r| *r).into_iter().collect())];
    }
    groups(ways).into_iter().map(|group| row(group, Vec::new())).collect()
}

fn case_option(rules: Rules<'_>, case: &Case, outside: &Outside<'_>, action: &str, now: LegalTime, schemas: bool) -> Option<ActionOption> {
    let by = act::by(rules.definition, action)?;
    if !permit::concerns(rules, outside.me, by) {
        return None;
    }
    let mut refusals = Vec::new();
    let ways = permit::standings(rules, case, outside.me, by, None, now);
    let ask = Ask { by, this: None, for_: None, evidence: &[], on: now, offering: true };
    refusals.extend(permit::act(rules, case, outside, &ask).err().map(|r| *r));
    let mut input = if schemas { act::input_type(rules.definition, action)?.json_schema() } else { json!({}) };
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
        "correct" => input["properties"]["values"] = json!({"type": "object"}),
        "file" => {
            // A paper belongs to a proceeding of its kind, and is taken while one is open.
            let wanted = |of: &str| case.proceedings.values().any(|p| p.kind == of && p.is_open());
            let papers: Vec<&String> = rules.definition.file.papers.iter().filter(|(_, p)| wanted(&p.of)).map(|(name, _)| name).collect();
            input["properties"]["paper"]["enum"] = json!(papers);
        }
        _ => {}
    }
    // Whoever acts only for others says for whom.
    let keyed_in = ways.first().is_some_and(|w| w.keyed_in);
    let for_ = match ways.first().map(|w| w.who) {
        Some(super::event::Who::Person(_)) if action != "file" => groups(ways).first().map(|g| self::people(g)).unwrap_or_default(),
        _ => Vec::new(),
    };
    Some(ActionOption {
        action: format!("case.{action}"),
        proceeding: None,
        allowed: refusals.is_empty(),
        refusals,
        input,
        law: None,
        automatic: false,
        for_,
        needs_evidence: action != "file" && keyed_in,
        answered: false,
        upload: action == "file",
    })
}

fn schema(fields: &IndexMap<String, FieldDef>, outside: &Outside<'_>, language: Option<&str>) -> Json {
    language.map_or(Json::Null, |language| input_schema(fields, outside, language))
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
