//! Who may act: roles, seats and sides; whom staff may enter for; and who is asked in a round of assents.
//!
//! The same functions answer "may I?" and "what can I do?", so that nothing is offered that would be refused.

use super::event::{Acted, Answer, Who};
use super::refusal::{Code, Refusal};
use super::{Account, Case, Outside, Person, Proceeding, Rules};
use crate::definition::Definition;
use crate::definition::file::Speaks;
use crate::definition::model::LINKED_CASE;
use crate::ids::{FileId, LegalTime, PersonId, ProceedingId};
use crate::value::Value;

/// How the person at the keyboard would act.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Who acts in law.
    pub who: Who,
    /// As what.
    pub as_: String,
    /// The side, when for one.
    pub side: Option<String>,
    /// Keyed in by staff: a file must prove it.
    pub keyed_in: bool,
}

/// Every way in which the account may act as one of `by`, its own standing first. Ways that need evidence are marked.
#[must_use]
pub fn standings(rules: Rules<'_>, case: &Case, me: &Account, by: &[String], this: Option<ProceedingId>, on: LegalTime) -> Vec<Standing> {
    let file = &rules.definition.file;
    let mut own = Vec::new();
    let mut keyed = Vec::new();
    let keys_in = file.roles.get(&me.role).is_some_and(|r| r.keys_in);
    for name in by {
        if file.sides.contains_key(name) {
            for person in case.people.values().filter(|p| &p.side == name) {
                let standing = |keyed_in| Standing { who: Who::Person(person.id), as_: name.clone(), side: Some(name.clone()), keyed_in };
                if acts_as(me, person, name, on) {
                    own.push(standing(false));
                } else if keys_in && may_act(person, on) {
                    keyed.push(standing(true));
                }
            }
        } else if let Some(role) = file.roles.get(name) {
            if &me.role == name {
                own.push(Standing { who: Who::Account(me.id), as_: name.clone(), side: None, keyed_in: false });
            } else if keys_in && role.outside {
                keyed.push(Standing { who: Who::Body, as_: name.clone(), side: None, keyed_in: true });
            }
        } else if name == LINKED_CASE {
            if me.role == LINKED_CASE {
                own.push(Standing { who: Who::Account(me.id), as_: name.clone(), side: None, keyed_in: false });
            }
        } else if case.holder(name, this) == Some(me.id) {
            own.push(Standing { who: Who::Account(me.id), as_: name.clone(), side: None, keyed_in: false });
        }
    }
    own.extend(keyed);
    own
}

/// Whether the account could ever act as one of `by`: what decides whether an action is listed for it at all.
#[must_use]
pub fn concerns(rules: Rules<'_>, me: &Account, by: &[String]) -> bool {
    let file = &rules.definition.file;
    let keys_in = file.roles.get(&me.role).is_some_and(|r| r.keys_in);
    by.iter().any(|name| {
        let seat_role = |seat: &str| file.seats.get(seat).is_some_and(|s| s.role == me.role);
        let own_seat = |seat: &str| rules.definition.kinds.values().any(|k| k.def.seats.get(seat).is_some_and(|s| s.role == me.role));
        &me.role == name
            || seat_role(name)
            || name.strip_prefix("this.").is_some_and(own_seat)
            || (keys_in && (file.sides.contains_key(name) || file.roles.get(name).is_some_and(|r| r.outside)))
    })
}

fn may_act(person: &Person, on: LegalTime) -> bool {
    person.party || person.until.is_none_or(|until| on.date() <= until)
}

fn acts_as(me: &Account, person: &Person, side: &str, on: LegalTime) -> bool {
    may_act(person, on) && (person.account == Some(me.id) || (me.stands_in && me.role == side))
}

/// Chooses the standing for a command, or says why there is none.
///
/// # Errors
/// Who would have to act, or that it is not said for whom, or that the evidence is missing.
pub fn act(rules: Rules<'_>, case: &Case, outside: &Outside<'_>, ask: &Ask<'_>) -> Result<(Acted, Option<String>), Box<Refusal>> {
    let ways = standings(rules, case, outside.me, ask.by, ask.this, ask.on);
    let chosen = match ask.for_ {
        Some(person) => ways.iter().find(|s| s.who == Who::Person(person)),
        // A body outside is no person of the case, so `for` cannot name it: without a name its paper is meant.
        None => ways.iter().find(|s| !s.keyed_in || s.who == Who::Body).or(ways.first()),
    };
    let keyed_ways = ways.iter().filter(|s| s.keyed_in).count();
    if ask.for_.is_none() && !ask.offering && keyed_ways > 1 && chosen.is_some_and(|s| s.keyed_in && s.who != Who::Body) {
        // Paper is somebody's: whoever keys it in says whose.
        return Err(Box::new(Refusal::new(Code::Party, ask.by.join(", ")).field("for").detail("reason", "say_for_whom")));
    }
    let Some(standing) = chosen else { return Err(Box::new(nobody(rules, case, outside.me, ask))) };
    if standing.keyed_in && ask.evidence.is_empty() && !ask.offering {
        return Err(Box::new(Refusal::new(Code::Evidence, standing.as_.clone()).field("evidence").unlocked_by("case.file")));
    }
    if let Some(missing) = ask.evidence.iter().find(|id| !case.files.iter().any(|f| f.id == **id)) {
        return Err(Box::new(Refusal::new(Code::Evidence, missing.to_string()).field("evidence").unlocked_by("case.file")));
    }
    let entered_by = standing.keyed_in.then_some(outside.me.id);
    let through_account = !standing.keyed_in && matches!(standing.who, Who::Person(_));
    let acted = Acted {
        who: standing.who,
        as_: standing.as_.clone(),
        entered_by: entered_by.or(through_account.then_some(outside.me.id)),
        evidence: ask.evidence.to_vec(),
    };
    Ok((acted, standing.side.clone()))
}

/// What is asked of [`act`].
pub struct Ask<'a> {
    /// Who may act in law.
    pub by: &'a [String],
    /// The proceeding, for its own seats.
    pub this: Option<ProceedingId>,
    /// The person acted for.
    pub for_: Option<PersonId>,
    /// What proves it.
    pub evidence: &'a [FileId],
    /// The legal date, for agents' authorities.
    pub on: LegalTime,
    /// Only asking what could be done: evidence will come with the command.
    pub offering: bool,
}

fn nobody(rules: Rules<'_>, case: &Case, me: &Account, ask: &Ask<'_>) -> Refusal {
    let file = &rules.definition.file;
    let wanted = ask.by.join(", ");
    let keys_in = file.roles.get(&me.role).is_some_and(|r| r.keys_in);
    let sides: Vec<&String> = ask.by.iter().filter(|b| file.sides.contains_key(*b)).collect();
    let mine = sides.iter().any(|s| **s == me.role) || keys_in;
    let nobody_of = |side: &str| !case.people.values().any(|p| p.side == side);
    let own_side_empty = sides.iter().any(|s| **s == me.role && nobody_of(s));
    if own_side_empty || (!sides.is_empty() && mine && sides.iter().all(|side| nobody_of(side))) {
        return Refusal::new(Code::Party, wanted).unlocked_by("case.person");
    }
    if ask.for_.is_some() && mine {
        return Refusal::new(Code::Party, wanted).field("for");
    }
    let empty_seat = ask.by.iter().find(|b| {
        let declared = file.seats.contains_key(*b) || b.starts_with("this.");
        declared && case.holder(b, ask.this).is_none()
    });
    match empty_seat {
        Some(seat) => {
            let mut refusal = Refusal::new(Code::Seat, seat.clone());
            refusal.unlocked_by = seated_by(rules, seat);
            refusal
        }
        None => Refusal::new(Code::Role, wanted),
    }
}

/// The actions that fill a seat.
#[must_use]
pub fn seated_by(rules: Rules<'_>, seat: &str) -> Vec<String> {
    let mut out = Vec::new();
    for kind in rules.definition.kinds.values() {
        let fills = |t: &&crate::definition::Transition| {
            t.then.iter().any(|s| matches!(s, crate::definition::Step::Seat { seat: filled, .. } if filled == seat))
        };
        out.extend(kind.transitions.values().filter(fills).map(|t| format!("{}.{}", kind.name, t.name)));
    }
    if !rules.definition.file.actions.seat.by.is_empty() && !seat.starts_with("this.") {
        out.push("case.seat".to_owned());
    }
    out
}

/// Whether a datum is kept from whoever looks at a case with the eyes of `side`: the word of another side, which that
/// side has not let go. Staff, who belong to no side, are told all; what bodies outside see the class of a field says.
#[must_use]
pub fn kept_from(definition: &Definition, case: &Case, p: &Proceeding, datum: &str, side: &str) -> bool {
    let Some(private) = definition.kinds.get(&p.kind).and_then(|k| k.def.data.get(datum)).and_then(|f| f.private.as_ref()) else { return false };
    let whose = case.datum(p.id, &private.to);
    !private.until.iter().any(|s| s == p.state()) && !matches!(whose, Some(Value::Text(own)) if own == side)
}

/// One who is asked in a round, and what was answered.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The side, seat or role.
    pub name: String,
    /// Each whose answer is wanted, with the answer; for a role or an authorised side, at most the one who answered.
    pub answers: Vec<(Option<Who>, Option<Answer>)>,
}

impl Asked {
    /// Everyone has agreed.
    #[must_use]
    pub fn is_given(&self) -> bool {
        !self.answers.is_empty() && self.answers.iter().all(|(_, a)| *a == Some(Answer::Given))
    }

    /// Someone has refused.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        self.answers.iter().any(|(_, a)| *a == Some(Answer::Refused))
    }
}

/// Who is asked in the round that a proceeding holds.
#[must_use]
pub fn asked(rules: Rules<'_>, case: &Case, p: &Proceeding) -> Vec<Asked> {
    let Some(round) = &p.round else { return Vec::new() };
    let Some(def) = rules.definition.kinds.get(&p.kind).and_then(|k| k.state(p.state())?.assents.as_ref()) else { return Vec::new() };
    let file = &rules.definition.file;
    def.of
        .iter()
        .map(|name| {
            let mine = || round.answers.iter().filter(|((as_, _), _)| as_ == name);
            let by_who = |who: Who| mine().find(|((_, w), _)| *w == who).map(|(_, (answer, _))| *answer);
            let answers = match file.sides.get(name).map(|s| s.speaks) {
                Some(Speaks::Each) => case.parties(name).map(|p| (Some(Who::Person(p.id)), by_who(Who::Person(p.id)))).collect(),
                Some(Speaks::Authorised) => one_of(mine().map(|((_, who), (answer, _))| (*who, *answer))),
                None => match case.holder(name, Some(p.id)) {
                    Some(account) => vec![(Some(Who::Account(account)), by_who(Who::Account(account)))],
                    None => one_of(mine().map(|((_, who), (answer, _))| (*who, *answer))),
                },
            };
            Asked { name: name.clone(), answers }
        })
        .collect()
}

/// One answer speaks for all; a refusal outweighs.
fn one_of(answers: impl Iterator<Item = (Who, Answer)>) -> Vec<(Option<Who>, Option<Answer>)> {
    let all: Vec<(Who, Answer)> = answers.collect();
    let one = all.iter().find(|(_, a)| *a == Answer::Refused).or_else(|| all.first());
    vec![one.map_or((None, None), |(who, answer)| (Some(*who), Some(*answer)))]
}

/// The legal moment of the last answer in a round.
#[must_use]
pub fn last_answer(p: &Proceeding) -> Option<LegalTime> {
    let round = p.round.as_ref()?;
    round.answers.values().map(|(_, at)| *at).reduce(LegalTime::or_later)
}
