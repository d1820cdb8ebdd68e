//! Events, once released, keep their shape. `data/events` holds each kind of event as it is stored, with every field
//! filled, and once more with every field absent that may be. Each reads back to the same value and writes the same
//! JSON. A file here is never changed; a new field comes with a new file beside the old ones.
//!
//! A new variant of `What` does not compile until it is named below, and the test fails until it has a sample. To make
//! the files of new variants: `HEYI_BLESS=1 cargo test -p heyi-engine --test fixtures`; files that exist are not touched.

use chrono::{DateTime, FixedOffset, NaiveDate};
use heyi_engine::case::event::{Acted, Answer, DueChange, Event, Moved, Numbered, Recall, RunId, Service, Set, Told, Under, ValueId, What, Who};
use heyi_engine::ids::{AccountId, CaseId, FileId, LegalTime, PersonId, ProceedingId};
use serde_json::Value as Json;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Names each variant once: the match is total, so a new variant must be added, and then needs a sample.
macro_rules! variants {
    ($($name:literal => $pattern:pat),+ $(,)?) => {
        const VARIANTS: &[&str] = &[$($name),+];
        fn variant(what: &What) -> &'static str {
            match what { $($pattern => $name),+ }
        }
    };
}

variants! {
    "case_opened" => What::CaseOpened { .. },
    "moved" => What::Moved(_),
    "recorded" => What::Recorded { .. },
    "person_recorded" => What::PersonRecorded { .. },
    "file_attached" => What::FileAttached { .. },
    "seated" => What::Seated { .. },
    "vacated" => What::Vacated { .. },
    "consented" => What::Consented { .. },
    "assented" => What::Assented { .. },
    "round_lapsed" => What::RoundLapsed { .. },
    "service_recorded" => What::ServiceRecorded { .. },
    "deadline_fired" => What::DeadlineFired { .. },
    "deadline_warned" => What::DeadlineWarned { .. },
    "calendar_changed" => What::CalendarChanged { .. },
    "sent" => What::Sent { .. },
    "undone" => What::Undone { .. },
    "corrected" => What::Corrected { .. },
    "migrated" => What::Migrated { .. },
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/events")
}

fn id<T: FromStr>(last: &str) -> T
where
    T::Err: std::fmt::Debug,
{
    format!("019b0000-0000-7000-8000-{last:0>12}").parse().expect("an id")
}

fn day(text: &str) -> NaiveDate {
    text.parse().expect("a day")
}

fn at(text: &str) -> DateTime<FixedOffset> {
    DateTime::parse_from_rfc3339(text).expect("a time")
}

fn on(text: &str) -> LegalTime {
    text.parse().expect("a legal time")
}

fn digest(c: char) -> String {
    c.to_string().repeat(64)
}

fn set(name: &str, number: u32) -> Set {
    Set { name: name.to_owned(), value: ValueId(7, number), commitment: digest('c') }
}

fn run() -> RunId {
    RunId { proceeding: ProceedingId(2), deadline: "mediation_limit".to_owned(), started_by: 5, nth: 3 }
}

fn tells() -> Vec<Told> {
    vec![
        Told { notice: "acceptance".to_owned(), who: Who::Person(id::<PersonId>("b1")), as_: "patient_side".to_owned(), required: true },
        Told { notice: "acceptance".to_owned(), who: Who::Account(id::<AccountId>("a2")), as_: "insurer".to_owned(), required: false },
    ]
}

/// An event around `what`, with every field of the envelope filled.
fn full(what: What) -> Event {
    Event {
        seq: 7,
        recorded_at: at("2026-03-02T10:00:00+08:00"),
        legal_at: on("2026-03-01"),
        acted: Acted {
            who: Who::Person(id::<PersonId>("b1")),
            as_: "patient_side".to_owned(),
            entered_by: Some(id::<AccountId>("a1")),
            evidence: vec![id::<FileId>("f1"), id::<FileId>("f2")],
        },
        cause: Some(6),
        under: Under { definition: digest('d'), policy: digest('e'), calendar: digest('f') },
        what,
    }
}

/// An event around `what`, with every field of the envelope absent that may be.
fn bare(who: Who, what: What) -> Event {
    Event {
        legal_at: on("2026-03-02T10:00:00+08:00"),
        acted: Acted { who, as_: "engine".to_owned(), entered_by: None, evidence: Vec::new() },
        cause: None,
        ..full(what)
    }
}

fn bare_move() -> Moved {
    Moved {
        proceeding: ProceedingId(2),
        kind: "mediation".to_owned(),
        parent: None,
        transition: "receive".to_owned(),
        from: None,
        to: "received".to_owned(),
        final_: None,
        asks: false,
        set: Vec::new(),
        number: None,
        forms: Vec::new(),
        tells: Vec::new(),
    }
}

/// Every sample, by the name of its file. Written without `..` where a variant has fields, so that a new field has to
/// be thought about here.
fn samples() -> Vec<(&'static str, Event)> {
    let person = |acts_for: Vec<PersonId>, until, account, set| What::PersonRecorded {
        person: id("b1"),
        side: "patient_side".to_owned(),
        party: acts_for.is_empty(),
        acts_for,
        until,
        account,
        language: "zh-CN".to_owned(),
        set,
    };
    let file = |paper| What::FileAttached {
        file: id("f1"),
        paper,
        proceeding: ProceedingId(2),
        sha256: digest('a'),
        size: 1_024,
        media_type: "application/pdf".to_owned(),
    };
    let served = |outcome| What::ServiceRecorded { told_in: 5, index: 1, outcome, channel: "post".to_owned() };
    let fired = |moved, late_minutes, tells| What::DeadlineFired { run: run(), last_day: day("2026-04-14"), moved, late_minutes, tells };
    let sent = |set| What::Sent {
        proceeding: ProceedingId(2),
        to: id::<CaseId>("c1"),
        action: "mediation.absorb".to_owned(),
        set,
        done: "merged".to_owned(),
        refused: "not_merged".to_owned(),
    };
    let recalls = || {
        let recall = |(index, tells): (u32, Told)| Recall { told_in: 5, index, proceeding: ProceedingId(2), legal_at: on("2026-03-02"), tells };
        (0u32..).zip(tells()).map(recall).collect::<Vec<_>>()
    };
    let undone = |void, recalls| What::Undone {
        event: 5,
        undone: vec![5, 6],
        states: vec![(ProceedingId(2), Some("screening".to_owned())), (ProceedingId(6), None)],
        void,
        set: vec![set("reason", 0)],
        recalls,
    };
    let corrected = |dates, recalls| What::Corrected { event: 5, dates, set: vec![set("amount", 0), set("reason", 1)], recalls };
    let assented = |who, answer| What::Assented { proceeding: ProceedingId(9), who, answer, shown: digest('b') };
    vec![
        ("case_opened", full(What::CaseOpened { workflow: "medical-dispute".to_owned() })),
        (
            "moved",
            full(What::Moved(Moved {
                proceeding: ProceedingId(7),
                kind: "agreement".to_owned(),
                parent: Some(ProceedingId(2)),
                transition: "take_effect".to_owned(),
                from: Some("signing".to_owned()),
                to: "effective".to_owned(),
                final_: Some("effective".to_owned()),
                asks: true,
                set: vec![set("amount", 0), set("terms", 1)],
                number: Some(Numbered { series: "agreement".to_owned(), year: 2026, seq: 12, text: "医人调字〔2026〕12号".to_owned() }),
                forms: vec!["agreement".to_owned()],
                tells: tells(),
            })),
        ),
        ("moved.bare", bare(Who::Rule, What::Moved(bare_move()))),
        ("recorded", full(What::Recorded { set: vec![set("hospital", 0), set("claim_amount", 1)] })),
        ("person_recorded", full(person(vec![id("b2")], Some(day("2026-12-31")), Some(id("a3")), vec![set("name", 0)]))),
        ("person_recorded.bare", bare(Who::Account(id("a1")), person(Vec::new(), None, None, vec![set("name", 0)]))),
        ("file_attached", full(file(Some("application".to_owned())))),
        ("file_attached.bare", bare(Who::Body, file(None))),
        ("seated", full(What::Seated { seat: "chair".to_owned(), proceeding: Some(ProceedingId(9)), account: id("a2") })),
        ("seated.bare", bare(Who::Account(id("a1")), What::Seated { seat: "lead_mediator".to_owned(), proceeding: None, account: id("a2") })),
        ("vacated", full(What::Vacated { seat: "chair".to_owned(), proceeding: Some(ProceedingId(9)) })),
        ("vacated.bare", bare(Who::Account(id("a1")), What::Vacated { seat: "lead_mediator".to_owned(), proceeding: None })),
        ("consented", full(What::Consented { person: id("b1"), purpose: "handling".to_owned(), given: true })),
        ("assented", full(assented(Who::Person(id("b1")), Answer::Given))),
        ("assented.refused", full(assented(Who::Account(id("a2")), Answer::Refused))),
        ("assented.withdrawn", full(assented(Who::Body, Answer::Withdrawn))),
        ("round_lapsed", full(What::RoundLapsed { proceeding: ProceedingId(9) })),
        ("service_recorded", full(served(Service::Served))),
        ("service_recorded.refused", full(served(Service::Refused))),
        ("service_recorded.returned", full(served(Service::Returned))),
        ("service_recorded.unreachable", full(served(Service::Unreachable))),
        ("service_recorded.given_up", full(served(Service::GivenUp))),
        ("deadline_fired", full(fired(true, 0, Vec::new()))),
        ("deadline_fired.bare", bare(Who::Clock, fired(false, 0, Vec::new()))),
        ("deadline_fired.late", full(fired(false, 95, tells()))),
        (
            "deadline_warned",
            full(What::DeadlineWarned { run: run(), before: "5 working days".to_owned(), last_day: day("2026-04-14"), tells: tells() }),
        ),
        ("service_recorded.posted", full(served(Service::Posted))),
        ("service_recorded.bounced", full(served(Service::Bounced))),
        ("sent", full(sent(vec![set("reason", 0)]))),
        ("sent.bare", bare(Who::Rule, sent(Vec::new()))),
        ("undone", full(undone(vec!["医人调字〔2026〕12号".to_owned()], recalls()))),
        ("undone.bare", bare(Who::Account(id("a1")), undone(Vec::new(), Vec::new()))),
        ("corrected", full(corrected(vec![(5, on("2026-03-02")), (6, on("2026-03-02"))], recalls()))),
        ("corrected.bare", bare(Who::Account(id("a1")), corrected(Vec::new(), Vec::new()))),
        ("migrated", full(What::Migrated { from: digest('d'), states: vec![(ProceedingId(2), "screening".to_owned())] })),
        ("migrated.bare", bare(Who::Account(id("a1")), What::Migrated { from: digest('d'), states: Vec::new() })),
        (
            "calendar_changed",
            full(What::CalendarChanged {
                changed: vec![
                    DueChange { run: run(), old: Some(day("2026-04-14")), new: Some(day("2026-04-15")) },
                    DueChange { run: run(), old: None, new: None },
                ],
            }),
        ),
    ]
}

/// What is wrong with a stored event, as sentences: it must be `wanted`, and be written as it was.
fn judge(stored: &str, wanted: &Event) -> Vec<String> {
    let mut out = Vec::new();
    let (json, event): (Json, Event) = match (serde_json::from_str(stored), serde_json::from_str(stored)) {
        (Ok(json), Ok(event)) => (json, event),
        (_, Err(error)) => return vec![format!("it cannot be read any more: {error}")],
        (Err(error), _) => return vec![format!("it is no JSON: {error}")],
    };
    if &event != wanted {
        out.push("it reads back to another value".to_owned());
    }
    match serde_json::to_value(&event) {
        Ok(written) if written == json => {}
        Ok(written) => out.push(format!("it is written in another way: {written}")),
        Err(error) => out.push(format!("it cannot be written: {error}")),
    }
    out
}

fn bless() {
    for (name, event) in samples() {
        let path = folder().join(format!("{name}.json"));
        if !path.exists() {
            let json = serde_json::to_value(&event).expect("an event is written");
            fs::write(&path, format!("{json:#}\n")).expect("the file is written");
        }
    }
}

#[test]
fn every_stored_event_reads_back_and_is_written_as_it_was() {
    if std::env::var_os("HEYI_BLESS").is_some() {
        bless();
    }
    let mut failures = Vec::new();
    for (name, event) in samples() {
        assert_eq!(name.split('.').next(), Some(variant(&event.what)), "the sample {name} is named after another variant");
        match fs::read_to_string(folder().join(format!("{name}.json"))) {
            Ok(stored) => failures.extend(judge(&stored, &event).into_iter().map(|f| format!("{name}.json: {f}"))),
            Err(error) => failures.push(format!("{name}.json: {error}")),
        }
    }
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
}

#[test]
fn every_variant_has_a_sample_and_every_file_is_looked_at() {
    let sampled: BTreeSet<&str> = samples().iter().map(|(_, e)| variant(&e.what)).collect();
    let missing: Vec<&&str> = VARIANTS.iter().filter(|v| !sampled.contains(**v)).collect();
    assert!(missing.is_empty(), "without a sample: {missing:?}");
    let known: BTreeSet<String> = samples().iter().map(|(name, _)| format!("{name}.json")).collect();
    let files: BTreeSet<String> = fs::read_dir(folder()).unwrap().map(|e| e.unwrap().file_name().to_string_lossy().into_owned()).collect();
    assert_eq!(files, known, "the files and the samples are not the same");
}

/// Each word of the small enums occurs in some sample, so that none can be renamed unseen.
#[test]
fn every_word_occurs() {
    let all: String = samples().iter().map(|(name, _)| fs::read_to_string(folder().join(format!("{name}.json"))).unwrap()).collect();
    let words = [
        "\"account\":",
        "\"person\":",
        "\"body\"",
        "\"clock\"",
        "\"rule\"",
        "\"given\"",
        "\"refused\"",
        "\"withdrawn\"",
        "\"served\"",
        "\"returned\"",
        "\"unreachable\"",
        "\"given_up\"",
    ];
    let missing: Vec<&&str> = words.iter().filter(|w| !all.contains(**w)).collect();
    assert!(missing.is_empty(), "{missing:?}");
    let who = |w: Who| match w {
        Who::Account(_) | Who::Person(_) | Who::Body | Who::Clock | Who::Rule => (),
    };
    let answer = |a: Answer| match a {
        Answer::Given | Answer::Refused | Answer::Withdrawn => (),
    };
    let service = |s: Service| match s {
        Service::Served | Service::Refused | Service::Returned | Service::Unreachable | Service::GivenUp | Service::Posted | Service::Bounced => (),
    };
    // Total matches: a new word does not compile until somebody has come here and added a sample of it.
    let _ = (who(Who::Body), answer(Answer::Given), service(Service::Served));
}

/// The judge has teeth: a renamed field, a lost field, a new field that is always written, and another value all fail.
#[test]
fn a_changed_shape_is_noticed() {
    let (_, event) = samples().remove(1);
    let stored = serde_json::to_string(&event).unwrap();
    assert!(judge(&stored, &event).is_empty());
    let twins = [
        ("\"transition\"", "\"step\""),
        ("\"final\"", "\"outcome\""),
        ("\"asks\":true,", ""),
        ("\"cause\":6", "\"cause\":6,\"reason\":null"),
        ("\"type\":\"moved\"", "\"type\":\"went\""),
        ("\"seq\":12", "\"seq\":13"),
    ];
    for (was, is) in twins {
        assert!(stored.contains(was), "{was}");
        assert!(!judge(&stored.replacen(was, is, 1), &event).is_empty(), "nobody noticed that {was} became {is}");
    }
}
