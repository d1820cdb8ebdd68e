//! What can be changed in a workflow file, one thing at a time: each place of each kind of change, by name.

use heyi_engine::calendar::Length;
use heyi_engine::case::sha256;
use heyi_engine::definition::file::{DeadlineDef, NeedsDef};
use heyi_engine::definition::file::{Literal, StateDef, ToDef, TransitionDef, WorkflowFile};
use heyi_engine::definition::{Definition, model::LINKED_CASE};
use heyi_engine::guard::Guard;

/// One change of a workflow.
pub struct Mutant {
    /// What is changed where; unique.
    pub name: String,
    /// The kind of change.
    pub operator: &'static str,
    /// The step that is changed, as `kind.transition`, or else what is: scenarios that take it are played first.
    pub touches: String,
    /// A play in which none of these is met goes as it went: kinds, `kind:state`, `kind.transition`. Empty: any may tell.
    pub shows_in: Vec<String>,
    change: Box<dyn Fn(&mut WorkflowFile) + Send + Sync>,
}

impl Mutant {
    /// The file with the change. A notice that nothing sends any longer goes too, as no file may hold one.
    pub fn of(&self, file: &WorkflowFile) -> WorkflowFile {
        let mut out = file.clone();
        (self.change)(&mut out);
        let sent: Vec<String> = sent(&out);
        out.notices.retain(|name, _| sent.contains(name));
        out
    }
}

fn sent(file: &WorkflowFile) -> Vec<String> {
    let kinds = || file.proceedings.values();
    let by_steps = kinds().flat_map(|k| k.transitions.values()).flat_map(|t| t.notices.iter());
    let by_clocks = kinds().flat_map(|k| k.deadlines.values()).flat_map(|d| d.warns.iter().map(|w| &w.notice).chain(&d.tells));
    by_steps.chain(by_clocks).chain(file.actions.undo.iter().map(|u| &u.notice)).cloned().collect()
}

/// Every mutant of a workflow.
pub fn all(definition: &Definition) -> Vec<Mutant> {
    let mut list = List { definition, out: Vec::new(), shows_in: Vec::new() };
    list.policy();
    list.actions();
    list.notices();
    list.seats();
    for (kind, def) in &definition.file.proceedings {
        for (name, state) in &def.states {
            list.state(kind, name, state);
        }
        for (name, transition) in &def.transitions {
            list.transition(kind, name, transition);
        }
        for (name, deadline) in &def.deadlines {
            list.deadline(kind, name, deadline);
        }
    }
    list.out
}

struct List<'d> {
    definition: &'d Definition,
    out: Vec<Mutant>,
    /// Where what is being listed shows.
    shows_in: Vec<String>,
}

fn transition<'f>(file: &'f mut WorkflowFile, kind: &str, name: &str) -> &'f mut TransitionDef {
    &mut file.proceedings[kind].transitions[name]
}

fn deadline<'f>(file: &'f mut WorkflowFile, kind: &str, name: &str) -> &'f mut DeadlineDef {
    &mut file.proceedings[kind].deadlines[name]
}

/// One more and one less, where that is still a length.
fn neighbours(source: &str) -> Vec<String> {
    let Ok(length) = source.parse::<Length>() else { return Vec::new() };
    let one = |n: u32| Length::new(n, length.unit).ok().map(|l| l.to_string());
    [length.n.checked_sub(1).and_then(one), one(length.n + 1)].into_iter().flatten().collect()
}

/// Each clause taken out, and each turned round: what is changed, and the guard that remains.
fn reguarded(guard: &Guard) -> Vec<(&'static str, String, Option<String>)> {
    let clauses: Vec<&str> = guard.clauses().iter().map(heyi_engine::guard::Clause::source).collect();
    let joined = |parts: Vec<String>| match parts.as_slice() {
        [] => None,
        [one] => Some(one.clone()),
        many => Some(many.iter().map(|p| format!("({p})")).collect::<Vec<_>>().join(" && ")),
    };
    let mut out = Vec::new();
    for (i, clause) in clauses.iter().enumerate() {
        let rest = |with: Option<String>| {
            let parts = clauses.iter().enumerate().filter_map(|(j, c)| if i == j { with.clone() } else { Some((*c).to_owned()) });
            joined(parts.collect())
        };
        out.push(("clause dropped", format!("without `{clause}`"), rest(None)));
        out.push(("clause negated", format!("with `!({clause})`"), rest(Some(format!("!({clause})")))));
    }
    out
}

impl List<'_> {
    fn add(&mut self, operator: &'static str, touches: &str, name: String, change: impl Fn(&mut WorkflowFile) + Send + Sync + 'static) {
        let shows_in = self.shows_in.clone();
        self.out.push(Mutant { name, operator, touches: touches.to_owned(), shows_in, change: Box::new(change) });
    }

    /// Somebody who is not yet named, chosen by the name of the place, so that it is the same in each run.
    fn stranger(&self, place: &str, by: &[String]) -> Option<String> {
        let file = &self.definition.file;
        let others: Vec<&String> = file.roles.keys().chain(file.sides.keys()).chain(file.seats.keys()).filter(|n| !by.contains(n)).collect();
        let n = usize::from_str_radix(&sha256(place.as_bytes())[..6], 16).ok()?;
        others.get(n.checked_rem(others.len())?).map(|name| (*name).clone())
    }

    /// Each name of a `by` taken out, and one added.
    fn by(&mut self, touches: &str, place: &str, by: &[String], at: impl Fn(&mut WorkflowFile) -> &mut Vec<String> + Clone + Send + Sync + 'static) {
        for (i, name) in by.iter().enumerate() {
            let at = at.clone();
            self.add("role removed", touches, format!("{place}.by without {name}"), move |f| drop(at(f).remove(i)));
        }
        if by.iter().any(|name| name == LINKED_CASE) {
            return;
        }
        if let Some(name) = self.stranger(place, by) {
            self.add("role added", touches, format!("{place}.by with {name}"), move |f| at(f).push(name.clone()));
        }
    }

    fn length(&mut self, touches: &str, place: &str, source: &str, set: impl Fn(&mut WorkflowFile, String) + Clone + Send + Sync + 'static) {
        for other in neighbours(source) {
            let set = set.clone();
            self.add("length ±1", touches, format!("{place}: {other}"), move |f| set(f, other.clone()));
        }
    }

    fn guard(
        &mut self,
        touches: &str,
        place: &str,
        guard: Option<&Guard>,
        set: impl Fn(&mut WorkflowFile, Option<String>) + Clone + Send + Sync + 'static,
    ) {
        for (operator, what, source) in guard.map(reguarded).unwrap_or_default() {
            let set = set.clone();
            self.add(operator, touches, format!("{place} {what}"), move |f| set(f, source.clone()));
        }
    }

    fn number(&mut self, touches: &str, place: &str, n: u32, set: impl Fn(&mut WorkflowFile, u32) + Clone + Send + Sync + 'static) {
        for other in [n.checked_sub(1).filter(|n| *n > 0), n.checked_add(1)].into_iter().flatten() {
            let set = set.clone();
            self.add("at_most ±1", touches, format!("{place}: {other}"), move |f| set(f, other));
        }
    }

    fn policy(&mut self) {
        for (name, def) in &self.definition.file.policy {
            let (key, place) = (name.clone(), format!("policy.{name}"));
            match &def.default {
                Literal::Text(text) => self.length(&place, &place, text, move |f, to| f.policy[&key].default = Literal::Text(to)),
                Literal::Int(n) => {
                    for other in [n - 1, n + 1] {
                        let key = key.clone();
                        self.add("length ±1", &place, format!("{place}: {other}"), move |f| f.policy[&key].default = Literal::Int(other));
                    }
                }
                Literal::Bool(_) => {}
            }
        }
    }

    fn actions(&mut self) {
        let a = self.definition.file.actions.clone();
        let place = |name: &str| format!("actions.{name}");
        self.by("case.record", &place("record"), &a.record.by, |f| &mut f.actions.record.by);
        self.by("case.person", &place("person"), &a.person.by, |f| &mut f.actions.person.by);
        self.by("case.consent", &place("consent"), &a.consent.by, |f| &mut f.actions.consent.by);
        self.by("case.seat", &place("seat"), &a.seat.by, |f| &mut f.actions.seat.by);
        self.by("case.serve", &place("serve"), &a.serve.by, |f| &mut f.actions.serve.by);
        self.by("case.file", &place("file"), &a.file.by, |f| &mut f.actions.file.by);
        if let Some(correct) = &a.correct {
            self.by("case.correct", &place("correct"), &correct.by, |f| &mut f.actions.correct.as_mut().expect("it is there").by);
        }
        if let Some(undo) = &a.undo {
            self.by("case.undo", &place("undo"), &undo.by, |f| &mut f.actions.undo.as_mut().expect("it is there").by);
        }
    }

    fn notices(&mut self) {
        for (name, def) in &self.definition.file.notices {
            self.shows_in = self.sending(name);
            for (i, to) in def.to.iter().enumerate() {
                let (key, place) = (name.clone(), format!("notices.{name}"));
                self.add("recipient removed", name, format!("{place} without {}", to.name()), move |f| drop(f.notices[&key].to.remove(i)));
                let guard = self.definition.told_when.iter().find(|((n, at, _), _)| n == name && *at == i).map(|(_, guard)| guard);
                let key = name.clone();
                self.guard(name, &format!("{place} to {}", to.name()), guard, move |f, source| {
                    let slot = &mut f.notices[&key].to[i];
                    match (source, &mut *slot) {
                        (Some(source), ToDef::When(to)) => to.when = source,
                        (_, to) => *slot = ToDef::Always(to.name().to_owned()),
                    }
                });
            }
        }
    }

    /// The steps and states out of which a notice is sent; empty when it may be anywhere.
    fn sending(&self, notice: &str) -> Vec<String> {
        if self.definition.file.actions.undo.as_ref().is_some_and(|u| u.notice == notice) {
            return Vec::new();
        }
        let mut out = Vec::new();
        for kind in self.definition.kinds.values() {
            out.extend(kind.transitions.values().filter(|t| t.def.notices.iter().any(|n| n == notice)).map(|t| format!("{}.{}", kind.name, t.name)));
            for deadline in kind.deadlines.values() {
                let own = deadline.def.iter().any(|d| d.tells.as_deref() == Some(notice) || d.warns.as_ref().is_some_and(|w| w.notice == notice));
                out.extend(deadline.lives_in.iter().filter(|_| own).map(|s| format!("{}:{s}", kind.name)));
            }
        }
        out
    }

    fn seats(&mut self) {
        self.shows_in = Vec::new();
        for (name, seat) in &self.definition.file.seats {
            for (i, other) in seat.apart_from.iter().enumerate() {
                let key = name.clone();
                self.add("apart_from dropped", name, format!("seats.{name} not apart from {other}"), move |f| {
                    f.seats[&key].apart_from.remove(i);
                });
            }
        }
        for (kind, def) in &self.definition.file.proceedings {
            for (name, seat) in &def.seats {
                for (i, other) in seat.apart_from.iter().enumerate() {
                    let (kind_key, key) = (kind.clone(), name.clone());
                    self.add("apart_from dropped", kind, format!("{kind}.seats.{name} not apart from {other}"), move |f| {
                        f.proceedings[&kind_key].seats[&key].apart_from.remove(i);
                    });
                }
            }
        }
    }

    fn state(&mut self, kind: &str, name: &str, state: &StateDef) {
        let Some(assents) = &state.assents else { return };
        let (touches, place) = (format!("{kind}:{name}"), format!("{kind}.states.{name}.assents"));
        self.shows_in = vec![touches.clone()];
        let at = {
            let (kind, name) = (kind.to_owned(), name.to_owned());
            move |f: &mut WorkflowFile, change: &dyn Fn(&mut heyi_engine::definition::file::AssentsDef)| {
                change(f.proceedings[&kind].states[&name].assents.as_mut().expect("it is there"));
            }
        };
        for (i, of) in assents.of.iter().enumerate() {
            let at = at.clone();
            self.add("assent dropped", &touches, format!("{place} without {of}"), move |f| at(f, &|a| drop(a.of.remove(i))));
        }
        if let Some(lapses) = &assents.lapses {
            let at = at.clone();
            self.length(&touches, &format!("{place}.lapses"), lapses, move |f, to| at(f, &|a| a.lapses = Some(to.clone())));
        }
        if let Some(grace) = &assents.grace {
            let (set, gone) = (at.clone(), at);
            self.length(&touches, &format!("{place}.grace"), grace, move |f, to| set(f, &|a| a.grace = Some(to.clone())));
            self.add("grace dropped", &touches, format!("{place} without grace"), move |f| gone(f, &|a| a.grace = None));
        }
    }

    fn transition(&mut self, kind: &str, name: &str, def: &TransitionDef) {
        let place = format!("{kind}.{name}");
        let touches = place.as_str();
        let compiled = &self.definition.kinds[kind].transitions[name];
        // It is offered in the states that it leaves, or while there is a parent to open it below; or it is tried.
        self.shows_in = if compiled.opens {
            self.definition.file.proceedings[kind].of.iter().cloned().collect()
        } else {
            compiled.from.iter().map(|s| format!("{kind}:{s}")).chain([place.clone()]).collect()
        };
        let at = {
            let (kind, name) = (kind.to_owned(), name.to_owned());
            move |f: &mut WorkflowFile, change: &dyn Fn(&mut TransitionDef)| change(transition(f, &kind, &name))
        };
        let set = at.clone();
        self.guard(touches, &format!("{place}.when"), compiled.when.as_ref(), move |f, to| set(f, &|t| t.when.clone_from(&to)));
        let set = at.clone();
        self.guard(touches, &format!("{place}.accepts"), compiled.accepts.as_ref(), move |f, to| set(f, &|t| t.accepts.clone_from(&to)));
        let set = at.clone();
        self.guard(touches, &format!("{place}.auto"), compiled.auto.as_ref(), move |f, to| {
            // Without any condition it is taken at once.
            set(f, &|t| t.auto = Some(to.clone().unwrap_or_else(|| "true".to_owned())));
        });
        if !def.by.is_empty() {
            let (kind, name) = (kind.to_owned(), name.to_owned());
            self.by(touches, &place, &def.by, move |f| &mut transition(f, &kind, &name).by);
        }
        let offered = std::mem::replace(&mut self.shows_in, vec![place.clone()]);
        for (i, notice) in def.notices.iter().enumerate() {
            let set = at.clone();
            self.add("notice removed", touches, format!("{place} without the notice {notice}"), move |f| set(f, &|t| drop(t.notices.remove(i))));
        }
        for (i, step) in def.then.iter().enumerate() {
            let what = [
                ("end", &step.end),
                ("open", &step.open),
                ("fire", &step.fire),
                ("seat", &step.seat),
                ("vacate", &step.vacate),
                ("send", &step.send),
            ];
            let what = what.iter().find_map(|(word, name)| name.as_ref().map(|n| format!("{word} {n}"))).unwrap_or_default();
            let set = at.clone();
            self.add("then dropped", touches, format!("{place} without then[{i}] {what}"), move |f| set(f, &|t| drop(t.then.remove(i))));
        }
        self.shows_in = offered;
        let needs = def.needs.clone().unwrap_or_default();
        type Needs = fn(&mut NeedsDef) -> &mut Vec<String>;
        let lists: [(&str, Needs); 3] = [("papers", |n| &mut n.papers), ("consents", |n| &mut n.consents), ("seats", |n| &mut n.seats)];
        for (word, list) in lists {
            for (i, need) in list(&mut needs.clone()).iter().enumerate() {
                let set = at.clone();
                self.add("need dropped", touches, format!("{place} without the need of {word} {need}"), move |f| {
                    set(f, &|t| drop(list(t.needs.as_mut().expect("it is there")).remove(i)));
                });
            }
        }
        if def.within.is_some() {
            let set = at.clone();
            self.add("within dropped", touches, format!("{place} without within"), move |f| set(f, &|t| t.within = None));
        }
        if let Some(n) = def.at_most {
            self.number(touches, &format!("{place}.at_most"), n, move |f, to| at(f, &|t| t.at_most = Some(to)));
        }
    }

    fn deadline(&mut self, kind: &str, name: &str, def: &DeadlineDef) {
        let place = format!("{kind}.deadlines.{name}");
        let touches = name;
        let compiled = &self.definition.kinds[kind].deadlines[name];
        self.shows_in = compiled.lives_in.iter().map(|s| format!("{kind}:{s}")).collect();
        let at = {
            let (kind, name) = (kind.to_owned(), name.to_owned());
            move |f: &mut WorkflowFile, change: &dyn Fn(&mut DeadlineDef)| change(deadline(f, &kind, &name))
        };
        if let Some(length) = &def.length {
            let set = at.clone();
            self.length(touches, &format!("{place}.length"), length, move |f, to| set(f, &|d| d.length = Some(to.clone())));
        }
        if let Some(every) = &def.every {
            let set = at.clone();
            self.length(touches, &format!("{place}.every"), every, move |f, to| set(f, &|d| d.every = Some(to.clone())));
        }
        if let Some(grace) = &def.grace {
            let (set, gone) = (at.clone(), at.clone());
            self.length(touches, &format!("{place}.grace"), grace, move |f, to| set(f, &|d| d.grace = Some(to.clone())));
            self.add("grace dropped", touches, format!("{place} without grace"), move |f| gone(f, &|d| d.grace = None));
        }
        if let Some(n) = def.at_most {
            let set = at.clone();
            self.number(touches, &format!("{place}.at_most"), n, move |f, to| set(f, &|d| d.at_most = Some(to)));
        }
        if def.roll {
            let set = at.clone();
            self.add("roll dropped", touches, format!("{place} without roll"), move |f| set(f, &|d| d.roll = false));
        }
        if def.runs_while.is_some() {
            let set = at.clone();
            self.add("pause dropped", touches, format!("{place} without runs_while"), move |f| set(f, &|d| d.runs_while = None));
            let set = at.clone();
            // To drop the only clause is to drop the pause, which is a mutant already.
            let several = compiled.runs_while.as_ref().filter(|g| g.clauses().len() > 1);
            let negated = compiled.runs_while.as_ref().filter(|_| several.is_none()).map(|g| format!("!({})", g.source()));
            self.guard(touches, &format!("{place}.runs_while"), several, move |f, to| set(f, &|d| d.runs_while.clone_from(&to)));
            if let Some(source) = negated {
                let set = at.clone();
                self.add("clause negated", touches, format!("{place}.runs_while with `{source}`"), move |f| {
                    set(f, &|d| d.runs_while = Some(source.clone()));
                });
            }
        }
        for (i, mark) in def.warns.iter().flat_map(|w| &w.before).enumerate() {
            let set = at.clone();
            self.add("mark dropped", touches, format!("{place} without the warning at {mark}"), move |f| {
                set(f, &|d| {
                    let warns = d.warns.as_mut().expect("it is there");
                    warns.before.remove(i);
                    if warns.before.is_empty() {
                        d.warns = None;
                    }
                });
            });
            let set = at.clone();
            self.length(touches, &format!("{place}.warns[{i}]"), mark, move |f, to| {
                set(f, &|d| to.clone_into(&mut d.warns.as_mut().expect("it is there").before[i]));
            });
        }
        if let Some(notice) = &def.tells {
            self.add("notice removed", touches, format!("{place} without telling {notice}"), move |f| at(f, &|d| d.tells = None));
        }
    }
}
