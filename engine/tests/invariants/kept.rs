//! Invariants 15 to 19: what is kept, how, and that it stays. Several of them are the engine's, not the text's; there the
//! twin is an event or a log in which the promise is broken.

use crate::agreement::{BOTH_SIGNED, INTEND, SIGNED};
use crate::plays::*;
use crate::twins::*;
use heyi_engine::case::event::{Event, What, Who};
use heyi_engine::case::refusal::Code;
use heyi_engine::case::{Outside, Rules, migrate, permit};
use heyi_engine::definition::Definition;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// What the file says was said in order to settle.
fn concessions(d: &Definition) -> BTreeSet<String> {
    let marked = |k: &heyi_engine::definition::Kind| {
        k.def.data.iter().filter(|(_, f)| f.no_admission).map(|(n, _)| format!("{}.{n}", k.name)).collect::<Vec<_>>()
    };
    d.kinds.values().flat_map(marked).collect()
}

#[test]
fn inv15_what_is_said_to_settle_is_no_admission() {
    let marked = ["caucus.note", "mediation.amount", "mediation.counter", "mediation.counter_amount", "mediation.proposal"];
    assert_eq!(concessions(shipped()), marked.map(str::to_owned).into());
    // The mark of what is put in follows into what is kept: a datum that loses it is a mistake of the file.
    for (kind, name, step_name) in [
        ("caucus", "note", "note"),
        ("mediation", "proposal", "propose"),
        ("mediation", "counter", "counter"),
        ("mediation", "counter_amount", "counter"),
    ] {
        let lost = with(SHIPPED, &["proceedings", kind, "data", name], ", no_admission: true", "");
        let mistakes = read(&lost).err().unwrap_or_default();
        let key = format!("proceedings.{kind}.transitions.{step_name}.sets.{name}");
        assert!(mistakes.iter().any(|m| m.key == key), "{mistakes:?}");
    }
    // And it is printed on no form.
    let printed = with(SHIPPED, &["forms", "agreement"], "terms: this.terms", "terms: this.terms, offer: this.parent.proposal");
    let mistakes = read(&printed).err().unwrap_or_default();
    assert!(mistakes.iter().any(|m| m.key == "forms.agreement.data.offer"), "{mistakes:?}");
}

/// T28: what one side says alone is kept from the other until it lets it go.
#[test]
fn what_one_side_says_alone_is_kept_from_the_other() {
    let talk = mediating() + "\n  - {at: 2026-04-09 10:00, by: mediator, do: caucus.note, input: {side: patient_side, note: 底线。}}";
    let released = talk.clone() + "\n  - {at: 2026-04-09 11:00, by: patient_side, do: caucus.release, for: li}";
    let kept = |definition: &Definition, steps: &str| {
        let case = play(definition, steps).case;
        let caucus = case.proceedings.values().find(|p| p.kind == "caucus").expect("there is one");
        ["patient_side", "hospital_side"].map(|side| permit::kept_from(definition, &case, caucus, "note", side))
    };
    assert_eq!(kept(shipped(), &talk), [false, true]);
    assert_eq!(kept(shipped(), &released), [false, false]);
    let open = with(SHIPPED, &["proceedings", "caucus", "data", "note"], ", private: {to: side, until: [released]}", "");
    assert_eq!(kept(&load(&open), &talk), [false, false]);
    let told = with(SHIPPED, &step("caucus", "keep"), "        law:", "        notices: [session_off]\n        law:");
    let told = with(&told, &["notices", "session_off"], "data: {at: this.at}", "data: {note: this.note}");
    assert!(read(&told).is_err_and(|m| m.iter().any(|m| m.key == "notices.session_off.data.note")));
}

const ADVISED: &str = r#"
  - {at: 2026-04-02 10:00, by: intake_officer, do: mediation.advise_only, input: {advice: 已答复。, ways: [协商, 诉讼]}}
  - {at: 2026-04-03 09:00, by: archivist, do: case.file, paper: file_index}
  - {at: 2026-04-03 09:10, by: archivist, do: filing.submit_file, input: {pages: 3, summary: 接待。}}
  - {at: 2026-04-03 09:20, by: director, do: filing.archive, input: {retention: permanent}}"#;

/// Whether a later log still says everything that the earlier one said.
fn kept(before: &[Event], after: &[Event]) -> bool {
    after.starts_with(before)
}

#[test]
fn inv16_an_archived_file_is_not_altered() {
    let archived = [OPEN, ADVISED].concat();
    let end = play(shipped(), &archived);
    assert!(end.last.is_ok() && !end.case.is_open());
    // Nobody may do anything but ask for a correction, which is an event of its own.
    assert_eq!(end.open, BTreeSet::from(["case.correct".to_owned(), "case.undo".to_owned()]));
    let again = archived.clone() + "\n  - {at: 2026-04-07 09:00, by: archivist, do: case.file, paper: file_index}";
    let reopened = with(SHIPPED, &at("filing", "states", "archived"), "final: archived", "work: {for: archivist, title: {zh-CN: 保管, en: Keep}}");
    only_the_rule_refuses(&reopened, &again, Code::Closed);
    let corrected = archived
        + "\n  - {at: 2026-04-07 09:00, by: director, do: case.correct, input: {event: $event.filing.archive, on: 2026-04-03, reason: 笔误。}}";
    let corrected = play(shipped(), &corrected);
    assert!(corrected.last.is_ok(), "{:?}", corrected.last.as_ref().err());
    assert!(corrected.log.len() > end.log.len() && kept(&end.log, &corrected.log));
    let mut altered = corrected.log.clone();
    altered[4].legal_at = altered[5].legal_at;
    altered[4].acted.as_ = "nobody".to_owned();
    assert!(!kept(&end.log, &altered) && !kept(&end.log, &corrected.log[1..]));
    // What is new belongs into a new case, which names the old one.
    let linked = OPEN.replace("reference_source: party", "reference_source: party, earlier_case: 019b0000-0000-7000-8000-000000000001");
    assert!(play(shipped(), &linked).last.is_ok());
    let unlinked = without(SHIPPED, &["facts", "earlier_case"]);
    assert!(!load(&unlinked).facts.contains_key("earlier_case"));
}

/// The letters that name no other way, of those that the exits of mediation send.
fn silent_letters(d: &Definition, letter: impl Fn(&str, &str) -> String) -> BTreeSet<String> {
    let root = &d.kinds[d.root.as_str()];
    let exits = root.transitions.values().filter(|t| t.to.as_ref().and_then(|to| root.state(to)).is_some_and(|s| s.final_.is_some()));
    let mut out = BTreeSet::new();
    // Where an agreement was performed, nothing is left to be fought over.
    for notice in exits.filter(|t| t.name != "finish").flat_map(|t| &t.def.notices) {
        for (language, by_agreement) in [("zh-CN", "协商和解"), ("en", "settle")] {
            let text = letter(notice, language);
            if !text.contains("{{> ways}}") && !text.contains(by_agreement) {
                out.insert(format!("{notice} {language}"));
            }
        }
    }
    out
}

#[test]
fn inv17_every_exit_tells_of_the_other_lawful_ways() {
    let root = &shipped().kinds["mediation"];
    let exits: Vec<&str> = root
        .transitions
        .values()
        .filter(|t| t.to.as_ref().and_then(|to| root.state(to)).is_some_and(|s| s.final_.is_some()))
        .map(|t| t.name.as_str())
        .collect();
    assert!(exits.len() >= 15, "{exits:?}");
    for exit in exits {
        let mute = without(SHIPPED, &[&step("mediation", exit)[..], &["notices"]].concat());
        let found = found_at(&mute);
        // A letter that nobody else sends is missed as such.
        let unsent = root.transitions[exit].def.notices.iter().any(|n| found.contains(&format!("notices.{n}")));
        assert!(unsent || found.contains(&format!("proceedings.mediation.transitions.{exit}")), "nobody misses the letter of {exit}");
    }
    let letter = |notice: &str, language: &str| {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../templates/mail/{notice}/{language}/body.txt.hbs"));
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    };
    assert_eq!(silent_letters(shipped(), letter), BTreeSet::new());
    let silent = silent_letters(shipped(), |notice, language| letter(notice, language).replace("{{> ways}}", ""));
    assert!(silent.contains("ended_without zh-CN") && silent.contains("lapsed en"), "{silent:?}");
}

/// What an event of this workflow fails to say of itself.
fn lacking(d: &Definition, log: &[Event]) -> Vec<String> {
    let mut out = Vec::new();
    let digest = |text: &str| text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit());
    for (event, seq) in log.iter().zip(1u64..) {
        let mut say = |what: &str| out.push(format!("{seq}: {what}"));
        if event.seq != seq {
            say("its place");
        }
        if ![&event.under.definition, &event.under.policy, &event.under.calendar].into_iter().all(|t| digest(t)) || event.under.definition != d.digest
        {
            say("version");
        }
        if event.acted.as_.is_empty() {
            say("as what");
        }
        // A person of the case has no keyboard of its own: some account entered it, and staff did so on a paper.
        if matches!(event.acted.who, Who::Person(_) | Who::Body) && event.acted.entered_by.is_none() {
            say("on whose behalf");
        }
        if event.acted.who == Who::Body && event.acted.evidence.is_empty() {
            say("evidence");
        }
        if matches!(event.acted.who, Who::Rule) && event.cause.is_none() {
            say("cause");
        }
        if let What::Moved(moved) = &event.what {
            let step = d.kinds.get(&moved.kind).and_then(|k| k.transitions.get(&moved.transition));
            // `end` is the parent's step, whose basis is its own.
            let founded = step.map_or(moved.transition == "end", |t| t.def.law.is_some() || t.def.basis.is_some());
            if !founded {
                say("basis");
            }
        }
    }
    out
}

/// That letters, values and log are chained and sealed is the store's: `engine/src/store/seal.rs` and `tests/tests/story/secrets.rs`.
#[test]
fn inv18_a_step_keeps_actor_behalf_basis_evidence_and_version() {
    let by_paper = effective()
        + INTEND
        + BOTH_SIGNED
        + SIGNED
        + r#"
  - {at: 2026-05-25 09:00, by: patient_side, do: confirmation.submit, for: li}
  - {at: 2026-05-26 09:00, by: clerk, do: confirmation.accept, evidence: [confirmation_application], input: {court_no: （2026）诉前调确1号}}"#;
    let log = play(shipped(), &by_paper).log;
    assert_eq!(lacking(shipped(), &log), Vec::<String>::new());
    let of = |who: fn(&Who) -> bool| log.iter().position(|e| who(&e.acted.who)).expect("there is one");
    let broken = |at: usize, change: &dyn Fn(&mut Event)| {
        let mut log = log.clone();
        change(&mut log[at]);
        lacking(shipped(), &log)
    };
    let (person, body, rule) = (of(|w| matches!(w, Who::Person(_))), of(|w| *w == Who::Body), of(|w| *w == Who::Rule));
    assert_eq!(broken(person, &|e| e.acted.entered_by = None), [format!("{}: on whose behalf", person + 1)]);
    assert_eq!(broken(person, &|e| e.acted.as_.clear()), [format!("{}: as what", person + 1)]);
    assert_eq!(broken(body, &|e| e.acted.evidence.clear()), [format!("{}: evidence", body + 1)]);
    assert_eq!(broken(rule, &|e| e.cause = None), [format!("{}: cause", rule + 1)]);
    assert_eq!(broken(3, &|e| e.under.definition = "0".repeat(64)), ["4: version"]);
    // Every step of the text says its article, or whose choice it is.
    let unfounded = |d: &Definition| -> Vec<String> {
        let steps = d.kinds.values().flat_map(|k| k.transitions.values().map(move |t| (k, t)));
        steps.filter(|(_, t)| t.def.law.is_none() && t.def.basis.is_none()).map(|(k, t)| format!("{}.{}", k.name, t.name)).collect()
    };
    assert_eq!(unfounded(shipped()), Vec::<String>::new());
    let lawless = without(SHIPPED, &[&step("mediation", "accept")[..], &["law"]].concat());
    assert_eq!(unfounded(&load(&lawless)), ["mediation.accept"]);
}

/// The events at which a case changed its version without saying so.
fn changed_unsaid(log: &[Event]) -> Vec<u64> {
    let moved = |pair: &&[Event]| (&pair[0].under.definition, &pair[0].under.policy) != (&pair[1].under.definition, &pair[1].under.policy);
    log.windows(2).filter(moved).map(|pair| &pair[1]).filter(|e| !matches!(e.what, What::Migrated { .. })).map(|e| e.seq).collect()
}

#[test]
fn inv19_a_running_case_keeps_its_version_and_moving_is_explicit() {
    let running = play(shipped(), &mediating());
    assert_eq!(changed_unsaid(&running.log), Vec::<u64>::new());
    assert_eq!(running.case.under.as_ref().map(|u| u.definition.as_str()), Some(shipped().digest.as_str()));
    // The newer text gives more time. The running case goes on by its own: moving it is previewed, and is an event.
    let newer = load(&with(SHIPPED, &["policy", "mediation_limit"], "default: 30 working days", "default: 40 working days"));
    assert_ne!(newer.digest, shipped().digest);
    let accounts: Vec<_> = cast().into_values().collect();
    let me = accounts.iter().find(|a| a.role == "director").expect("the cast has a director");
    let now = chrono::DateTime::parse_from_rfc3339("2026-04-09T10:00:00+08:00").expect("a time");
    let outside = Outside { now, seed: [7; 32], me, accounts: &accounts, printable: &|_| true, log: &[] };
    let (old, new) = (policy(shipped()), policy(&newer));
    let from = Rules { definition: shipped(), policy: &old, calendar: calendar() };
    let to = Rules { definition: &newer, policy: &new, calendar: calendar() };
    let plan = migrate::plan(from, to, &running.case, &outside);
    assert!(plan.stranded.is_empty() && plan.deadlines.iter().any(|d| d.deadline == "mediation_limit"), "{plan:?}");
    let (moved, _) = migrate::decide(to, &running.case, &outside, &plan.states, shipped().digest.clone()).expect("it may move");
    let log = [running.log.clone(), moved.events].concat();
    assert_eq!(changed_unsaid(&log), Vec::<u64>::new());
    assert_eq!(moved.case.under.map(|u| u.definition), Some(newer.digest.clone()));
    let silent: Vec<Event> = log.iter().filter(|e| !matches!(e.what, What::Migrated { .. })).cloned().collect();
    let mut next = log.last().expect("it moved").clone();
    next.what = What::CaseOpened { workflow: String::new() };
    next.seq = running.case.version + 1;
    assert_eq!(changed_unsaid(&[silent, vec![next]].concat()), [running.case.version + 1]);
}
