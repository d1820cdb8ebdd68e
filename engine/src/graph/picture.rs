//! From a definition to a picture: which boxes and arrows there are, and what they say.
//!
//! One rule for many arrows: steps that may be taken in each state of a set leave a frame around the set, once, instead
//! of every box in it.

use super::text::clean;
use super::words::{Words, capital};
use super::{Arrow, Group, Line, Manner, Mark, Node, Picture, Place, Shape, Tint};
use crate::case::options::in_language;
use crate::definition::file::{Localized, Per};
use crate::definition::model::{Due, Kind, LINKED_CASE, LengthOf, PolicyValue, Step, StepOn, Transition};
use crate::definition::{Deadline, Definition};
use indexmap::IndexMap;
use std::collections::{BTreeMap, BTreeSet};

/// How many steps are named where a proceeding follows from many.
const NAMED: usize = 3;

/// The picture of one kind of proceeding; none if there is no such kind.
#[must_use]
pub fn kind(definition: &Definition, language: &str, kind: &str) -> Option<Picture> {
    definition.kinds.get(kind).map(|kind| Drawer::new(definition, language).kind(kind))
}

/// The picture of all proceedings: what opens which, and how they act on one another.
#[must_use]
pub fn whole(definition: &Definition, language: &str) -> Picture {
    Drawer::new(definition, language).whole()
}

struct Drawer<'a> {
    definition: &'a Definition,
    language: &'a str,
    words: Words,
    /// For each (kind, transition) the titles of the steps of others that take it.
    follows: BTreeMap<(String, String), Vec<String>>,
}

fn line(mark: Mark, text: impl AsRef<str>) -> Line {
    Line { mark, text: clean(text.as_ref()) }
}

impl<'a> Drawer<'a> {
    fn new(definition: &'a Definition, language: &'a str) -> Self {
        let mut drawer = Self { definition, language, words: Words::of(language), follows: BTreeMap::new() };
        let mut follows: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
        for kind in definition.kinds.values() {
            for t in kind.transitions.values() {
                for step in &t.then {
                    for (to, taken) in drawer.reaches(kind, step) {
                        let titles = follows.entry((to, taken)).or_default();
                        let title = drawer.transition(kind, t);
                        if !titles.contains(&title) {
                            titles.push(title);
                        }
                    }
                }
            }
        }
        drawer.follows = follows;
        drawer
    }

    /// The transitions of other proceedings that a step takes: kind and name.
    fn reaches(&self, kind: &Kind, step: &Step) -> Vec<(String, String)> {
        match step {
            Step::Open { kind: child, .. } => {
                let opening = self.definition.kinds.get(child).and_then(Kind::opening);
                opening.map(|o| (child.clone(), o.name.clone())).into_iter().collect()
            }
            Step::Fire { transition, on: StepOn::Parent } => kind.def.of.iter().map(|p| (p.clone(), transition.clone())).collect(),
            Step::Fire { transition, on: StepOn::Each(child, _) } => vec![(child.clone(), transition.clone())],
            _ => Vec::new(),
        }
    }

    fn say(&self, text: &Localized) -> Option<String> {
        in_language(text, self.language).map(clean).filter(|t| !t.is_empty())
    }

    fn title(&self, text: &Localized, name: &str) -> String {
        self.say(text).unwrap_or_else(|| clean(name))
    }

    fn kind_title(&self, name: &str) -> String {
        self.definition.kinds.get(name).map_or_else(|| clean(name), |k| self.title(&k.def.title, name))
    }

    fn state(&self, kind: &Kind, name: &str) -> String {
        kind.state(name).map_or_else(|| clean(name), |s| self.title(&s.title, name))
    }

    fn transition(&self, kind: &Kind, t: &Transition) -> String {
        // A step without a title is known by the state that it leads to.
        self.say(&t.def.title).or_else(|| t.to.as_ref().map(|to| self.state(kind, to))).unwrap_or_else(|| clean(&t.name))
    }

    fn who(&self, kind: &Kind, name: &str) -> String {
        if name == LINKED_CASE {
            return self.elsewhere().to_owned();
        }
        let file = &self.definition.file;
        let own = name.strip_prefix("this.").and_then(|seat| kind.def.seats.get(seat));
        let title = file.roles.get(name).map(|r| &r.title).or_else(|| file.sides.get(name).map(|s| &s.title));
        let title = title.or_else(|| file.seats.get(name).map(|s| &s.title)).or_else(|| own.map(|s| &s.title));
        title.map_or_else(|| clean(name), |t| self.title(t, name))
    }

    fn whos(&self, kind: &Kind, names: &[String]) -> Vec<String> {
        names.iter().map(|n| self.who(kind, n)).collect()
    }

    fn tint(&self, stage: Option<&str>) -> Tint {
        Tint(stage.and_then(|s| self.definition.file.stages.get_index_of(s)))
    }

    fn colours(&self, nodes: &[Node]) -> Vec<(String, Tint)> {
        let used: BTreeSet<usize> = nodes.iter().filter_map(|n| n.tint.0).collect();
        let stages = &self.definition.file.stages;
        used.into_iter().filter_map(|n| stages.get_index(n).map(|(name, title)| (self.title(title, name), Tint(Some(n))))).collect()
    }

    /// What lines and signs mean.
    fn legend(&self, arrows: &[Arrow], nodes: &[Node], groups: &[Group], whole: bool) -> Vec<(Option<Manner>, String)> {
        let w = self.words;
        let mut legend = Vec::new();
        for (manner, zh, en) in [
            (Manner::Person, "有人作出", "somebody acts"),
            (Manner::Auto, "自动发生，或随其他步骤发生", "by itself, or with another step"),
            (Manner::Clock, "期限届满时发生", "when a deadline runs out"),
            (Manner::Influence, "影响另一程序的期限", "acts on the deadline of another proceeding"),
        ] {
            if arrows.iter().any(|a| a.manner == manner) {
                legend.push((Some(manner), w.pick(zh, en).to_owned()));
            }
        }
        let ends = if whole {
            w.pick("◎ 程序的结局", "◎ how the proceeding may end")
        } else {
            w.pick("双线框：程序在此结束", "double frame: the proceeding ends here")
        };
        legend.push((None, ends.to_owned()));
        let mut lines = nodes.iter().flat_map(|n| &n.lines).chain(groups.iter().flat_map(|g| &g.lines)).chain(arrows.iter().flat_map(|a| &a.lines));
        if lines.any(|l| l.mark == Mark::Clock && l.text.contains('*')) {
            legend.push((None, w.pick("* 委员会可以自行设定，图中为默认值", "* set by each committee; the default is shown").to_owned()));
        }
        legend
    }

    /// A length in words. A star says that the body may set it.
    fn length(&self, length: &LengthOf) -> String {
        match length {
            LengthOf::Literal(length) => self.words.length(*length),
            LengthOf::Policy(name) => match self.definition.policy.get(name) {
                Some(PolicyValue::Length(length)) => format!("{}*", self.words.length(*length)),
                _ => clean(name),
            },
        }
    }

    fn due(&self, due: &Due) -> String {
        let w = self.words;
        match due {
            Due::After { length, .. } | Due::Round { length, .. } => self.length(length),
            Due::Every { length, at_most, .. } => {
                let length = self.length(length);
                if w.chinese() { format!("每{length}，至多{at_most}次") } else { format!("every {length}, at most {at_most} times") }
            }
            Due::At(_) => w.pick("至约定之日", "on the day that was set").to_owned(),
        }
    }

    fn deadline_title(&self, d: &Deadline) -> String {
        match (&d.def, &d.due) {
            (Some(def), _) => self.title(&def.title, &d.name),
            (None, _) => self.words.pick("答复期限", "time to answer").to_owned(),
        }
    }

    fn notice(&self, name: &str) -> String {
        self.definition.file.notices.get(name).map_or_else(|| clean(name), |n| self.title(&n.title, name))
    }

    /// A deadline's name and length.
    fn clock(&self, d: &Deadline) -> String {
        format!("{} {}", capital_if(self.words, &self.deadline_title(d)), self.due(&d.due))
    }

    /// What is to be known of a deadline's start and course beside its length.
    fn course(&self, d: &Deadline) -> Vec<String> {
        let w = self.words;
        let mut course = Vec::new();
        if let Due::After { starts, .. } | Due::Every { starts, .. } = &d.due {
            for notice in &starts.served {
                let notice = self.notice(notice);
                let zh = match starts.per {
                    Per::Recipient => format!("自{notice}送达本人起"),
                    Per::First => format!("自{notice}首次送达起"),
                    Per::Last => format!("自{notice}全部送达起"),
                };
                let en = match starts.per {
                    Per::Recipient => format!("for each person from service of the {notice}"),
                    Per::First => format!("from the first service of the {notice}"),
                    Per::Last => format!("from the last service of the {notice}"),
                };
                course.push(if w.chinese() { zh } else { en });
            }
        }
        if d.runs_while.is_some() {
            course.push(w.pick("可中止", "may pause").to_owned());
        }
        course
    }

    /// A deadline in one line: its name, its length, its course, and what is done when it is over.
    fn deadline(&self, kind: &Kind, d: &Deadline) -> String {
        let w = self.words;
        let mut text = self.clock(d);
        let course = self.course(d);
        if !course.is_empty() {
            text.push_str(&w.brackets(&course.join(w.pick("，", ", "))));
        }
        let mut then: Vec<String> = d.fires.iter().filter_map(|f| kind.transitions.get(f)).map(|t| self.transition(kind, t)).collect();
        if let Some(work) = d.def.as_ref().and_then(|def| def.work.as_ref()) {
            then.push(w.who_does(&[self.who(kind, &work.for_)], &self.title(&work.title, &work.for_)));
        }
        // Only the first that is allowed happens; the notice goes out in any case.
        if !then.is_empty() {
            text.push_str(" → ");
            text.push_str(&then.join(w.pick("；否则 ", "; else ")));
        }
        if let Some(notice) = d.tells() {
            let told = w.quoted(&self.notice(notice));
            text.push_str(&if w.chinese() { format!(" → 发出{told}") } else { format!(" → sends {told}") });
        }
        text
    }

    /// What an arrow of a transition says, and what makes it happen.
    fn entry(&self, kind: &Kind, t: &Transition) -> (Manner, Vec<Line>) {
        let w = self.words;
        let mut title = self.transition(kind, t);
        if let Some(most) = t.def.at_most {
            let zh = format!("至多{most}次");
            let en = if most == 1 { "once at most".to_owned() } else { format!("{most} times at most") };
            title.push_str(&w.brackets(if w.chinese() { &zh } else { &en }));
        }
        let fired: Vec<&Deadline> = kind.deadlines.values().filter(|d| d.fires.contains(&t.name)).collect();
        let rounds: Vec<&Deadline> = match &t.auto {
            Some(auto) if auto.source().contains("assents.lapsed") => {
                kind.deadlines.values().filter(|d| matches!(d.due, Due::Round { .. }) && d.lives_in.iter().any(|s| t.from.contains(s))).collect()
            }
            _ => Vec::new(),
        };
        let follows = self.follows.get(&(kind.name.clone(), t.name.clone()));
        let mut lines = Vec::new();
        let manner = if !t.def.by.is_empty() {
            lines.push(line(Mark::Plain, w.who_does(&self.whos(kind, &t.def.by), &title)));
            Manner::Person
        } else {
            lines.push(line(Mark::Plain, capital_if(w, &title)));
            if t.auto.is_none() && !fired.is_empty() { Manner::Clock } else { Manner::Auto }
        };
        if let Some(titles) = follows {
            lines.push(line(Mark::More, format!("{}{}", w.pick("随", "with "), self.quoted_few(titles))));
        }
        for d in fired {
            lines.push(line(Mark::Clock, self.clock(d)));
        }
        for d in rounds {
            let length = self.due(&d.due);
            lines.push(line(Mark::Clock, if w.chinese() { format!("或{length}内未全部答复") } else { format!("or no answer within {length}") }));
        }
        if let Some(within) = &t.def.within {
            let title =
                self.definition.kinds.values().find_map(|k| k.deadlines.get(within)).map_or_else(|| clean(within), |d| self.deadline_title(d));
            lines.push(line(Mark::Clock, if w.chinese() { format!("须在{title}内") } else { format!("within the {title}") }));
        }
        for step in &t.then {
            if let Step::Send { action, .. } = step {
                lines.push(line(Mark::More, format!("→ {}", w.says(self.elsewhere(), &self.action(action)))));
            }
        }
        (manner, lines)
    }

    /// What another case is called.
    fn elsewhere(&self) -> &'static str {
        self.words.pick("另一案件", "another case")
    }

    /// A `kind.transition` by its title.
    fn action(&self, action: &str) -> String {
        let found = action.split_once('.').and_then(|(kind, name)| {
            let kind = self.definition.kinds.get(kind)?;
            Some(self.transition(kind, kind.transitions.get(name)?))
        });
        found.unwrap_or_else(|| clean(action))
    }

    fn quoted_few(&self, titles: &[String]) -> String {
        let quoted: Vec<String> = titles.iter().map(|t| self.words.quoted(t)).collect();
        self.words.few(&quoted, NAMED)
    }

    fn kind(&self, kind: &Kind) -> Picture {
        let w = self.words;
        let mut nodes = vec![Node { key: format!("{}.new", kind.name), shape: Shape::Start, tint: Tint(None), lines: Vec::new() }];
        for (name, def) in &kind.def.states {
            let shape = if def.final_.is_some() { Shape::End } else { Shape::State };
            let mut lines = vec![line(Mark::Title, capital_if(w, &self.state(kind, name)))];
            if let Some(assents) = &def.assents {
                lines.push(line(Mark::Plain, w.says(w.pick("征求", "Asked"), &w.list(&self.whos(kind, &assents.of)))));
            }
            if let (true, Some(parent)) = (kind.def.ends_as.as_ref() == Some(name), &kind.def.of) {
                let parent = self.kind_title(parent);
                lines.push(line(
                    Mark::Plain,
                    if w.chinese() { format!("{parent}结束时，本程序到此为止") } else { format!("also when {parent} ends before it") },
                ));
            }
            if let Some(wait) = &def.indefinite {
                let why = self.title(&wait.why, &wait.review);
                lines.push(line(Mark::Plain, w.says(w.pick("等待没有期限", "Waits without end"), &why)));
            }
            nodes.push(Node { key: format!("{}.{name}", kind.name), shape, tint: self.tint(kind.stage(name)), lines });
        }
        let index = |state: &str| kind.def.states.get_index_of(state).map(|i| i + 1);
        let frames = frames(kind);
        let mut groups: Vec<Group> = frames
            .iter()
            .map(|frame| {
                let lines = vec![line(Mark::Title, w.pick("框内任一状态均适用", "In every state of this frame"))];
                Group { lines, members: frame.iter().filter_map(|s| index(s)).collect() }
            })
            .collect();
        let places = |states: &BTreeSet<String>| -> Vec<Place> {
            let mut left = states.clone();
            let mut places = Vec::new();
            for (i, frame) in frames.iter().enumerate().filter(|(_, f)| f.is_subset(states)) {
                places.push(Place::Group(i));
                left.retain(|s| !frame.contains(s));
            }
            // In the order of the file.
            places.extend(kind.def.states.keys().filter(|s| left.contains(*s)).filter_map(|s| index(s)).map(Place::Node));
            places
        };
        let note = |nodes: &mut Vec<Node>, groups: &mut Vec<Group>, places: &[Place], new: &Line| {
            for place in places {
                match *place {
                    Place::Node(n) => nodes[n].lines.push(new.clone()),
                    Place::Group(g) => groups[g].lines.push(new.clone()),
                }
            }
        };
        for d in kind.deadlines.values() {
            note(&mut nodes, &mut groups, &places(&d.lives_in), &line(Mark::Clock, self.deadline(kind, d)));
        }
        let mut arrows: Vec<Arrow> = Vec::new();
        for t in kind.transitions.values() {
            let (manner, lines) = self.entry(kind, t);
            let key = format!("{}.{}", kind.name, t.name);
            let mut from = if t.opens { vec![Place::Node(0)] } else { places(&t.from) };
            let to = t.to.as_deref().and_then(index);
            // What stays is said in the box; an arrow to itself would say no more.
            let stays: Vec<Place> = from.iter().copied().filter(|p| to.is_none_or(|to| *p == Place::Node(to))).collect();
            for new in &lines {
                let mark = if new.mark == Mark::Plain { Mark::Stay } else { new.mark };
                note(&mut nodes, &mut groups, &stays, &Line { mark, text: new.text.clone() });
            }
            from.retain(|p| !stays.contains(p));
            if let (Some(to), false) = (to, from.is_empty()) {
                join(&mut arrows, Arrow { keys: vec![key], from, to, manner, lines });
            }
        }
        let title = w.says(&self.title(&self.definition.file.title, &self.definition.file.workflow), &self.kind_title(&kind.name));
        let (colours, legend) = (self.colours(&nodes), self.legend(&arrows, &nodes, &groups, false));
        let mut picture = Picture { title, summary: Vec::new(), language: self.language.to_owned(), nodes, groups, arrows, colours, legend };
        picture.summary = self.summary(&picture);
        picture
    }

    /// The picture in sentences.
    fn summary(&self, picture: &Picture) -> Vec<String> {
        let w = self.words;
        let name = |node: usize| picture.nodes[node].lines.first().map_or_else(|| w.pick("开始", "the beginning").to_owned(), |l| l.text.clone());
        let said = |lines: &[Line]| lines.iter().map(|l| l.text.clone()).collect::<Vec<_>>().join(w.pick("，", ", "));
        let mut sentences = Vec::new();
        for node in picture.nodes.iter().filter(|n| n.lines.len() > 1) {
            sentences.push(w.sentence(&w.says(&node.lines[0].text, &said(&node.lines[1..]))));
        }
        for group in picture.groups.iter().filter(|g| g.lines.len() > 1) {
            let names = w.list(&group.members.iter().map(|n| name(*n)).collect::<Vec<_>>());
            sentences.push(w.sentence(&w.says(&names, &said(&group.lines[1..]))));
        }
        for arrow in &picture.arrows {
            let mut from: Vec<String> = Vec::new();
            for place in &arrow.from {
                match *place {
                    Place::Node(node) => from.push(name(node)),
                    Place::Group(group) => from.extend(picture.groups[group].members.iter().map(|n| name(*n))),
                }
            }
            sentences.push(w.sentence(&format!("{} → {}{}{}", w.list(&from), name(arrow.to), w.pick("：", ": "), said(&arrow.lines))));
        }
        sentences
    }

    fn card(&self, kind: &Kind) -> Node {
        let walked = walked(kind);
        let (ends, on): (Vec<&String>, Vec<&String>) = walked.iter().partition(|s| kind.state(s).is_some_and(|s| s.final_.is_some()));
        let titles = |states: &[&String]| states.iter().map(|s| self.state(kind, s)).collect::<Vec<_>>().join(" · ");
        let mut lines = vec![line(Mark::Title, self.kind_title(&kind.name))];
        for (mark, states) in [(Mark::Plain, on), (Mark::End, ends)] {
            if !states.is_empty() {
                lines.push(line(mark, titles(&states)));
            }
        }
        for d in kind.deadlines.values() {
            lines.push(line(Mark::Clock, self.clock(d)));
        }
        let stage = kind.def.stage.as_deref().or_else(|| walked.iter().find_map(|s| kind.stage(s)));
        Node { key: kind.name.clone(), shape: Shape::Card, tint: self.tint(stage), lines }
    }

    fn whole(&self) -> Picture {
        let w = self.words;
        let kinds = &self.definition.kinds;
        let mut nodes: Vec<Node> = kinds.values().map(|k| self.card(k)).collect();
        let start = nodes.len();
        nodes.push(Node { key: "new".to_owned(), shape: Shape::Start, tint: Tint(None), lines: Vec::new() });
        let index = |kind: &str| kinds.get_index_of(kind);
        let outside = Node {
            key: LINKED_CASE.to_owned(),
            shape: Shape::Outside,
            tint: Tint(None),
            lines: vec![line(Mark::Title, capital_if(w, self.elsewhere()))],
        };
        // Only where some step writes to it or hears from it.
        let elsewhere = |nodes: &mut Vec<Node>| {
            nodes.iter().position(|n| n.shape == Shape::Outside).unwrap_or_else(|| {
                nodes.push(outside.clone());
                nodes.len() - 1
            })
        };
        let mut arrows: Vec<Arrow> = Vec::new();
        for (to, kind) in kinds.values().enumerate() {
            let from = kind.def.of.as_deref().and_then(index).unwrap_or(start);
            for t in kind.transitions.values().filter(|t| t.opens) {
                let (manner, lines) = self.entry(kind, t);
                // What opens it without a hand is named with what it follows from alone.
                let lines = match self.follows.get(&(kind.name.clone(), t.name.clone())) {
                    Some(_) if manner == Manner::Auto => lines.into_iter().skip(1).collect(),
                    _ => lines,
                };
                join(&mut arrows, Arrow { keys: vec![format!("{}.{}", kind.name, t.name)], from: vec![Place::Node(from)], to, manner, lines });
            }
            // What other proceedings are made to do, with the steps that make them.
            let mut fired: IndexMap<(String, String), (Vec<String>, Vec<String>)> = IndexMap::new();
            for t in kind.transitions.values() {
                let keys = vec![format!("{}.{}", kind.name, t.name)];
                for step in &t.then {
                    if let Step::Send { action, .. } = step {
                        let (new, text) =
                            (elsewhere(&mut nodes), format!("{} → {}", w.quoted(&self.transition(kind, t)), w.quoted(&self.action(action))));
                        let lines = vec![line(Mark::Plain, text)];
                        join(&mut arrows, Arrow { keys: keys.clone(), from: vec![Place::Node(to)], to: new, manner: Manner::Auto, lines });
                    }
                }
                if t.def.by.iter().any(|by| by == LINKED_CASE) {
                    let (from, lines) = (elsewhere(&mut nodes), vec![line(Mark::Plain, w.quoted(&self.transition(kind, t)))]);
                    join(&mut arrows, Arrow { keys: keys.clone(), from: vec![Place::Node(from)], to, manner: Manner::Auto, lines });
                }
                for step in t.then.iter().filter(|step| matches!(step, Step::Fire { .. })) {
                    for reached in self.reaches(kind, step) {
                        let (steps, titles) = fired.entry(reached).or_default();
                        steps.extend(keys.clone());
                        titles.push(self.transition(kind, t));
                    }
                }
            }
            for ((other, taken), (keys, titles)) in fired {
                let (Some(end), Some(theirs)) = (index(&other), kinds.get(&other)) else { continue };
                let title = theirs.transitions.get(&taken).map_or_else(|| clean(&taken), |x| self.transition(theirs, x));
                let lines = vec![line(Mark::Plain, format!("{} → {}", self.quoted_few(&titles), w.quoted(&title)))];
                join(&mut arrows, Arrow { keys, from: vec![Place::Node(to)], to: end, manner: Manner::Auto, lines });
            }
            for d in kind.deadlines.values() {
                for (other, text) in self.influences(d) {
                    let Some(from) = index(&other).filter(|from| *from != to) else { continue };
                    let keys = vec![format!("{}.{}", kind.name, d.name)];
                    join(
                        &mut arrows,
                        Arrow { keys, from: vec![Place::Node(from)], to, manner: Manner::Influence, lines: vec![line(Mark::Clock, text)] },
                    );
                }
            }
        }
        let title = w.says(&self.title(&self.definition.file.title, &self.definition.file.workflow), w.pick("程序总图", "All proceedings"));
        let (colours, legend) = (self.colours(&nodes), self.legend(&arrows, &nodes, &[], true));
        let mut picture =
            Picture { title, summary: Vec::new(), language: self.language.to_owned(), nodes, groups: Vec::new(), arrows, colours, legend };
        picture.summary = self.summary(&picture);
        picture
    }

    /// What acts on a deadline from elsewhere: the kind, and how.
    fn influences(&self, d: &Deadline) -> Vec<(String, String)> {
        let (w, title) = (self.words, self.deadline_title(d));
        let mut out = Vec::new();
        if let Some(guard) = &d.runs_while {
            let names = identifiers(guard.source());
            for kind in self.definition.kinds.keys().filter(|k| names.contains(k.as_str())) {
                out.push((kind.clone(), if w.chinese() { format!("期间中止{title}") } else { format!("pauses the {title}") }));
            }
        }
        for key in d.def.iter().flat_map(|def| def.extended_by.keys()) {
            if let Some((kind, _)) = key.split_once('.') {
                out.push((kind.to_owned(), if w.chinese() { format!("延长{title}") } else { format!("extends the {title}") }));
            }
        }
        out
    }
}

/// The states in the order in which one comes to them.
fn walked(kind: &Kind) -> Vec<String> {
    let mut order: Vec<String> = kind.opening().and_then(|t| t.to.clone()).into_iter().collect();
    let mut at = 0;
    while let Some(state) = order.get(at).cloned() {
        at += 1;
        for to in kind.transitions.values().filter(|t| t.from.contains(&state)).filter_map(|t| t.to.as_ref()) {
            if !order.contains(to) {
                order.push(to.clone());
            }
        }
    }
    order.extend(kind.def.states.keys().filter(|s| !order.contains(s)).cloned().collect::<Vec<_>>());
    order
}

/// Titles in English begin small in the file, as they stand in sentences.
fn capital_if(words: Words, text: &str) -> String {
    if words.chinese() { text.to_owned() } else { capital(text) }
}

/// The names in an expression, without those in quotes and those behind a dot.
fn identifiers(source: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for (i, outside) in source.split('\'').enumerate() {
        if i % 2 == 0 {
            let mut before = ' ';
            for word in outside.split_inclusive(|c: char| !(c.is_alphanumeric() || c == '_')) {
                let name = word.trim_end_matches(|c: char| !(c.is_alphanumeric() || c == '_'));
                if before != '.' && !name.is_empty() {
                    names.insert(name.to_owned());
                }
                before = word.chars().last().unwrap_or(' ');
            }
        }
    }
    names
}

/// Adds an arrow, or its words to one that has the same ends.
fn join(arrows: &mut Vec<Arrow>, new: Arrow) {
    match arrows.iter_mut().find(|a| a.from == new.from && a.to == new.to && a.manner == new.manner) {
        Some(old) => {
            old.keys.extend(new.keys);
            for line in new.lines {
                // A clock belongs to the line before it, so the same one may stand twice.
                let goes_on = matches!(line.mark, Mark::Clock | Mark::More) && new.manner != Manner::Influence;
                if goes_on || !old.lines.contains(&line) {
                    old.lines.push(line);
                }
            }
        }
        None => arrows.push(new),
    }
}

/// Sets of states that get a frame: those that several steps and deadlines name alike, and no two of which overlap.
fn frames(kind: &Kind) -> Vec<BTreeSet<String>> {
    let mut uses: Vec<(BTreeSet<String>, usize)> = Vec::new();
    let sets = kind.transitions.values().map(|t| &t.from).chain(kind.deadlines.values().map(|d| &d.lives_in));
    for set in sets.filter(|s| s.len() > 1) {
        match uses.iter_mut().find(|(known, _)| known == set) {
            Some((_, count)) => *count += 1,
            None => uses.push((set.clone(), 1)),
        }
    }
    // The larger saving first; the file's order decides ties.
    uses.sort_by_key(|(set, count)| std::cmp::Reverse((set.len() - 1) * count));
    let mut frames: Vec<BTreeSet<String>> = Vec::new();
    for (set, count) in uses {
        if count * (set.len() - 1) >= 4 && frames.iter().all(|f| f.is_disjoint(&set)) {
            frames.push(set);
        }
    }
    // In the order of the file.
    frames.sort_by_key(|f| kind.def.states.keys().position(|s| f.contains(s)));
    frames
}
