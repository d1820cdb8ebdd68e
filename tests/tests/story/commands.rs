//! Chapters about commands: the same as in memory, chained, answered once, one winner, numbers without gaps, refused without a trace, undone.

use super::stage::{EngineDoor, Home, Stage, changed, codes, differing, outlines, refused, tables};
use super::texts::{beginning, scenario, texts};
use heyi_engine::case::event::{Event, What};
use heyi_engine::case::refusal::Code;
use heyi_engine::case::{Case, Policy, sha256};
use heyi_engine::ids::CaseId;
use heyi_engine::scenario::{MemoryDoor, Player};
use heyi_engine::submit::{Committed, Request, SubmitError};
use heyi_engine::value::canonical_json;
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};

/// Played through the database and played in memory, a scenario leads to the same events, step by step.
pub fn every_scenario_goes_as_it_does_in_memory(home: &Home) {
    let mut by_policy: BTreeMap<String, Stage> = BTreeMap::new();
    let mut steps = 0;
    for scenario in &texts().scenarios {
        let policy = Policy::of(&texts().shipped, &scenario.policy).expect("the policy is good");
        let stage = by_policy.entry(policy.canonical()).or_insert_with(|| Stage::under(home, &scenario.policy));
        let mut memory = MemoryDoor::new(&texts().shipped, policy, &texts().calendar, stage.accounts.clone());
        let mut door = EngineDoor { stage, prefix: String::new() };
        let (mut here, mut there) = (Player::new(scenario, &texts().shipped, &texts().cast), Player::new(scenario, &texts().shipped, &texts().cast));
        while let (Some(stored), Some(pure)) = (here.step(&mut door), there.step(&mut memory)) {
            let (stored, pure) = (stored.unwrap_or_else(|fault| panic!("{fault}")), pure.unwrap_or_else(|fault| panic!("{fault}")));
            let at = format!("{}, step {}", scenario.scenario, stored.number);
            match (&stored.outcome, &pure.outcome) {
                (Ok(a), Ok(b)) => assert_eq!(outlines(&a.events), outlines(&b.events), "{at}"),
                (Err(a), Err(b)) => assert_eq!(codes(a), codes(b), "{at}"),
                _ => panic!("{at}: accepted by the one and refused by the other"),
            }
            // One database counts its numbers on over all plays; a play expects those of its own.
            let failures: Vec<&String> = stored.failures.iter().filter(|f| !f.starts_with("the number of ")).collect();
            assert!(failures.is_empty(), "{at}: {failures:?}");
            steps += 1;
        }
        let case = here.case().expect("a case was opened");
        assert_eq!(stage.chain(case), Ok(stage.events(case).len()), "{}", scenario.scenario);
        // Events as stored, clock and all, are those of memory, folded: same states, same legal times.
        let timeline = |c: &Case| {
            c.proceedings
                .values()
                .map(|p| (p.kind.clone(), p.timeline.iter().map(|m| (m.state.clone(), m.legal_at)).collect::<Vec<_>>()))
                .collect::<Vec<_>>()
        };
        let (cached, _) = stage.wait(stage.engine.read(case)).expect("the case is read");
        assert_eq!(timeline(&cached.case), timeline(memory.case()), "{}", scenario.scenario);
        let differ = differing(&cached.case, &stage.folded_again(case));
        assert!(differ.is_empty(), "{}: folded again, these differ: {differ:?}", scenario.scenario);
    }
    println!("    {} scenarios, {steps} steps", texts().scenarios.len());
    assert!(steps > 300);
}

/// Each stored hash follows from the rows; a changed body, a lost event and a swapped head are noticed. Values can be
/// held against what commits to them.
pub fn the_chain_holds_and_a_changed_row_breaks_it(home: &Home) {
    let stage = Stage::new(home);
    let case = stage.play(scenario("wang-village-clinic"), "");
    let events = stage.chain(case).expect("the chain holds");
    assert!(events > 30);
    let (loaded, _) = stage.wait(stage.engine.read(case)).expect("the case is read");
    let mut opened = 0;
    let (events, _): (Vec<Event>, Vec<String>) = stage.events(case).into_iter().unzip();
    for event in &events {
        let set = match &event.what {
            What::Moved(m) => m.set.as_slice(),
            What::Recorded { set } | What::PersonRecorded { set, .. } => set,
            _ => continue,
        };
        for one in set {
            let rows =
                stage.rows(&format!("SELECT salt FROM case_value WHERE case_id = '{case}' AND seq = {} AND number = {}", one.value.0, one.value.1));
            let mut bytes: Vec<u8> = rows[0].try_get_by_index(0).expect("a salt");
            bytes.extend(canonical_json(&loaded.case.vault[&one.value].to_json()).expect("a canonical form").as_bytes());
            assert_eq!(sha256(&bytes), one.commitment, "event {}, {}: the commitment does not open", event.seq, one.name);
            opened += 1;
        }
    }
    assert!(opened > 20, "only {opened} commitments");
    // Weakened twins: a date in a body, the last event, the head.
    let body = stage.one(&format!("SELECT body FROM event WHERE case_id = '{case}' AND seq = 5"));
    let forged = body.replacen("2026-", "2025-", 1);
    assert_ne!(body, forged);
    stage.run(&format!("UPDATE event SET body = '{}' WHERE case_id = '{case}' AND seq = 5", forged.replace('\'', "''")));
    assert_eq!(stage.chain(case), Err("event 5 has another hash".to_owned()));
    stage.run(&format!("UPDATE event SET body = '{}' WHERE case_id = '{case}' AND seq = 5", body.replace('\'', "''")));
    assert!(stage.chain(case).is_ok());
    stage.run(&format!("DELETE FROM event WHERE case_id = '{case}' AND seq = {}", events.len()));
    assert_eq!(stage.chain(case), Err("the head of the row is another".to_owned()));
}

pub fn a_key_has_exactly_one_answer(home: &Home) {
    let stage = Stage::new(home);
    let keyed = |request: Request, key: &str| Request { key: Some(key.to_owned()), ..request };
    let opening = || keyed(stage.request("clerk", None, "case.open", json!({"amount": "1.00"})), "k1");
    let first = stage.submit(opening()).expect("a case is opened");
    let again = stage.submit(opening()).expect("it is told again");
    assert!(!first.repeated && again.repeated);
    assert_eq!(first.loaded.case.id, again.loaded.case.id);
    assert_eq!(first.events, again.events);
    let case = first.loaded.case.id.expect("an id");
    let count = || keyed(stage.request("clerk", Some(case), "matter.count", json!({})), "k2");
    let first = stage.submit(count()).expect("it is counted");
    // In between the case goes on; the answer stays what it was.
    stage.submit(stage.request("clerk", Some(case), "matter.count", json!({}))).expect("it is counted");
    let before = stage.contents();
    for engine in [stage.engine.clone(), stage.another()] {
        let before = stage.contents();
        let again = stage.wait(engine.submit(count())).expect("it is told again");
        assert!(again.repeated);
        assert_eq!(first.events, again.events);
        assert_eq!(changed(&before, &stage.contents()), Vec::<&str>::new());
    }
    // Another body, another action, another input: no answer, and nothing written.
    for other in
        [stage.request("clerk", Some(case), "matter.drop", json!({})), stage.request("clerk", Some(case), "case.record", json!({"urgent": true}))]
    {
        assert!(matches!(stage.submit(keyed(other, "k2")), Err(SubmitError::KeyReused)));
    }
    assert!(matches!(stage.submit(keyed(stage.request("clerk", None, "case.open", json!({"amount": "2.00"})), "k1")), Err(SubmitError::KeyReused)));
    // The key is each account's own: somebody else's is another.
    let mine = stage.submit(keyed(stage.request("asker", Some(case), "matter.count", json!({})), "k2"));
    assert_eq!(refused(mine), [Code::Party], "the key of another account answered");
    // The other process came with its accounts, and that is counted.
    let account = ["account", "meta", "source"];
    let rest: Vec<&str> = changed(&before, &stage.contents()).into_iter().filter(|t| !account.contains(t)).collect();
    assert_eq!(rest, Vec::<&str>::new());
    // A refused command does not use up its key.
    let hang = keyed(stage.request("clerk", Some(case), "matter.hang", json!({})), "k3");
    assert_eq!(refused(stage.submit(hang)), [Code::WouldPark]);
    let done = stage.submit(keyed(stage.request("clerk", Some(case), "matter.count", json!({})), "k3")).expect("the key is still free");
    assert!(!done.repeated);
}

/// Many ask at once with one key, of two processes: one case, one set of events.
pub fn a_key_has_one_answer_when_many_ask_at_once(home: &Home) {
    let stage = Stage::new(home);
    let another = stage.another();
    let case = stage.open("");
    let count = || Request { key: Some("once".to_owned()), ..stage.request("clerk", Some(case), "matter.count", json!({})) };
    let answers = stage.wait(async {
        let tasks: Vec<_> = (0..12)
            .map(|n| {
                let e = if n % 2 == 0 { stage.engine.clone() } else { another.clone() };
                let r = count();
                tokio::spawn(async move { e.submit(r).await })
            })
            .collect();
        let mut out = Vec::new();
        for task in tasks {
            out.push(task.await.expect("a task ends").expect("it is answered"));
        }
        out
    });
    assert_eq!(answers.iter().filter(|a| !a.repeated).count(), 1);
    assert!(answers.iter().all(|a| a.events == answers[0].events));
    assert_eq!(stage.one(&format!("SELECT COUNT(*) FROM event WHERE case_id = '{case}' AND body LIKE '%\"count\"%'")), "1");
    // Openings: in one process everybody gets the answer. Of two processes, the slower may find the key taken at the
    // very end; it is told an error, has written nothing, and gets the answer when it asks again.
    let opening = |key: &str| Request { key: Some(key.to_owned()), ..stage.request("clerk", None, "case.open", json!({})) };
    for (key, engines) in [("one process", [stage.engine.clone(), stage.engine.clone()]), ("two processes", [stage.engine.clone(), another.clone()])]
    {
        let before: u64 = stage.one("SELECT COUNT(*) FROM case_row").parse().expect("a number");
        let answers: Vec<Result<Committed, SubmitError>> = stage.wait(async {
            let tasks: Vec<_> = (0..8)
                .map(|n| {
                    let e = engines[n % 2].clone();
                    let r = opening(key);
                    tokio::spawn(async move { e.submit(r).await })
                })
                .collect();
            let mut out = Vec::new();
            for task in tasks {
                out.push(task.await.expect("a task ends"));
            }
            out
        });
        let ids: BTreeSet<CaseId> = answers.iter().filter_map(|a| a.as_ref().ok()?.loaded.case.id).collect();
        let errors: Vec<String> = answers.iter().filter_map(|a| a.as_ref().err().map(ToString::to_string)).collect();
        println!("    8 openings with one key, {key}: {} answered, {} errors", 8 - errors.len(), errors.len());
        assert_eq!(ids.len(), 1);
        assert_eq!(stage.one("SELECT COUNT(*) FROM case_row"), (before + 1).to_string());
        assert!(key == "two processes" || errors.is_empty(), "{errors:?}");
        let again = stage.submit(opening(key)).expect("it is answered");
        assert!(again.repeated && ids.contains(&again.loaded.case.id.expect("an id")));
    }
}

pub fn of_two_who_saw_the_same_version_one_wins(home: &Home) {
    let stage = Stage::new(home);
    let another = stage.another();
    let case = stage.open("");
    let seen = stage.row_head(case).1;
    let wrong = Request { expected: Some(seen + 7), ..stage.request("clerk", Some(case), "matter.count", json!({})) };
    assert!(matches!(stage.submit(wrong), Err(SubmitError::Version { current }) if current == seen));
    for round in 0..6 {
        let seen = stage.row_head(case).1;
        // In one process, then in two.
        let engines = if round % 2 == 0 { [stage.engine.clone(), stage.engine.clone()] } else { [stage.engine.clone(), another.clone()] };
        let answers = stage.wait(async {
            let mut tasks = Vec::new();
            for n in 0..6 {
                let engine = engines[n % 2].clone();
                let request = Request { expected: Some(seen), ..stage.request("clerk", Some(case), "matter.count", json!({})) };
                tasks.push(tokio::spawn(async move { engine.submit(request).await }));
            }
            let mut out = Vec::new();
            for task in tasks {
                out.push(task.await.expect("a task ends"));
            }
            out
        });
        assert_eq!(answers.iter().filter(|a| a.is_ok()).count(), 1, "round {round}");
        for lost in answers.iter().filter_map(|a| a.as_ref().err()) {
            assert!(matches!(lost, SubmitError::Version { current } if *current == seen + 1), "round {round}: {lost}");
        }
    }
    assert!(stage.chain(case).is_ok());
}

/// Numbers have no gaps and no doubles: many cases at once, in two processes, with refused steps in between. `hang`
/// draws its number before the commit refuses it, so a number that is not given back would show.
pub fn numbers_have_no_gaps(home: &Home) {
    let stage = Stage::new(home);
    let another = stage.another();
    let cases: Vec<CaseId> = (0..6).map(|_| stage.open("")).collect();
    let answers = stage.wait(async {
        let mut tasks = Vec::new();
        for n in 0..36 {
            let engine = if n % 2 == 0 { stage.engine.clone() } else { another.clone() };
            let action = if n % 3 == 2 { "matter.hang" } else { "matter.count" };
            let request = stage.request("clerk", Some(cases[n % cases.len()]), action, json!({}));
            tasks.push(tokio::spawn(async move { engine.submit(request).await }));
        }
        let mut out = Vec::new();
        for task in tasks {
            out.push(task.await.expect("a task ends"));
        }
        out
    });
    let (done, refusals): (Vec<_>, Vec<_>) = answers.into_iter().partition(Result::is_ok);
    let numbers = |done: &Committed| {
        let drawn = |e: &Event| if let What::Moved(m) = &e.what { m.number.as_ref().map(|n| (n.seq, n.text.clone())) } else { None };
        done.events.iter().filter_map(drawn).collect::<Vec<_>>()
    };
    let mut drawn: Vec<(u32, String)> = done.iter().flat_map(|d| numbers(d.as_ref().expect("it was done"))).collect();
    drawn.sort();
    assert_eq!(drawn, (1..=24).map(|n| (n, format!("2026-{n}"))).collect::<Vec<_>>());
    assert_eq!(refusals.len(), 12);
    refusals.into_iter().for_each(|r| assert_eq!(refused(r), [Code::WouldPark]));
    // What is stored carries the numbers that were answered, and the next is the next; a new year begins anew.
    assert_eq!(stage.one("SELECT last FROM number WHERE series = 'matter' AND year = 2026"), "24");
    stage.clock.set("2027-01-04T09:00:00+08:00");
    let next = stage.submit(stage.request("clerk", Some(cases[0]), "matter.count", json!({}))).expect("it is counted");
    assert_eq!(numbers(&next), [(1, "2027-1".to_owned())]);
    for case in cases {
        let differ = differing(&stage.wait(stage.engine.read(case)).expect("the case is read").0.case, &stage.folded_again(case));
        assert!(differ.is_empty() && stage.chain(case).is_ok(), "{differ:?}");
    }
}

pub fn a_refused_command_writes_nothing(home: &Home) {
    let stage = Stage::new(home);
    let case = stage.open("");
    let hole = CaseId::new(heyi_engine::ids::uuid_v7(0, &[9; 16]));
    let before = (stage.counts(), stage.contents());
    let file = heyi_engine::scenario::FileToStore {
        id: "019b0000-0000-7000-8000-0000000000f1".parse().expect("an id"),
        name: "a.txt".to_owned(),
        media_type: "text/plain".to_owned(),
        bytes: vec![1],
    };
    let keyed = |r: Request| Request { key: Some("refused".to_owned()), file: Some(file.clone()), ..r };
    assert_eq!(refused(stage.submit(keyed(stage.request("clerk", Some(case), "matter.hang", json!({}))))), [Code::WouldPark]);
    assert_eq!(refused(stage.submit(keyed(stage.request("clerk", Some(case), "matter.ask", json!({"rounds": 1}))))), [Code::Seat]);
    assert_eq!(refused(stage.submit(keyed(stage.request("court", Some(case), "matter.count", json!({}))))), [Code::Role]);
    assert_eq!(refused(stage.submit(keyed(stage.request("clerk", Some(case), "matter.cuont", json!({}))))), [Code::UnknownAction]);
    assert_eq!(refused(stage.submit(keyed(stage.request("clerk", Some(case), "case.record", json!({"amount": "much"}))))), [Code::Input]);
    assert_eq!(refused(stage.submit(keyed(stage.request("asker", None, "case.open", json!({}))))), [Code::Role]);
    assert_eq!(refused(stage.submit(keyed(stage.request("clerk", None, "matter.begin", json!({}))))), [Code::Proceeding]);
    let wrong = Request { expected: Some(99), ..keyed(stage.request("clerk", Some(case), "matter.count", json!({}))) };
    assert!(matches!(stage.submit(wrong), Err(SubmitError::Version { .. })));
    assert!(matches!(stage.submit(keyed(stage.request("clerk", Some(hole), "matter.count", json!({})))), Err(SubmitError::NoCase)));
    let nowhere = Request { workflow: Some("none".to_owned()), ..keyed(stage.request("clerk", None, "case.open", json!({}))) };
    assert!(matches!(stage.submit(nowhere), Err(SubmitError::NoWorkflow(_))));
    assert_eq!(changed(&before.0, &stage.counts()), Vec::<&str>::new());
    assert_eq!(changed(&before.1, &stage.contents()), Vec::<&str>::new());
    // The comparison has teeth: the same step, accepted, changes these.
    stage.submit(keyed(stage.request("clerk", Some(case), "matter.count", json!({})))).expect("it is counted");
    assert_eq!(changed(&before.0, &stage.counts()), ["answer", "event", "file", "number"]);
    // And the list of tables is whole.
    let all = match home {
        Home::Sqlite(_) => stage
            .rows("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%' AND name NOT IN ('seaql_migrations', 'guard')"),
        Home::Postgres { .. } => {
            // A part of a table is no table of its own.
            stage.rows(
                "SELECT relname::text FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition \
                 AND relname NOT IN ('seaql_migrations', 'guard')",
            )
        }
    };
    let all: BTreeSet<String> = all.iter().map(|r| r.try_get_by_index(0).expect("a name")).collect();
    assert_eq!(all, tables().into_iter().map(str::to_owned).collect());
}

pub fn what_is_undone_calls_its_letters_back(home: &Home) {
    let stage = Stage::new(home);
    let case = stage.play(&beginning("corrected-and-rejected", "mediation.ask_correction"), "");
    let states = |kind: &str| {
        let rows = stage.rows(&format!("SELECT state FROM letter WHERE kind = '{kind}'"));
        rows.iter().map(|r| r.try_get_by_index::<String>(0).expect("a state")).collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>()
    };
    let asked = |stage: &Stage| {
        let asks = |(e, _): &&(Event, String)| matches!(&e.what, What::Moved(m) if m.transition == "ask_correction");
        stage.events(case).iter().rev().find(asks).map(|(e, _)| e.seq).expect("it was asked")
    };
    let undo = |event: u64| stage.request("director", Some(case), "case.undo", json!({"event": event, "reason": "录入有误"}));
    assert_eq!(states("correction_list"), ["waiting"]);
    stage.submit(undo(asked(&stage))).expect("nobody has acted on it");
    assert_eq!(states("correction_list"), ["cancelled"]);
    assert!(states("step_undone").is_empty(), "who has had no letter needs none that takes it back");
    // The twin that has left is followed by another.
    stage
        .submit(stage.request("intake_officer", Some(case), "mediation.ask_correction", json!({"missing": "病历复印件"})))
        .expect("it is asked again");
    stage.run("UPDATE letter SET state = 'sent' WHERE kind = 'correction_list' AND state = 'waiting'");
    stage.submit(undo(asked(&stage))).expect("nobody has acted on it");
    assert_eq!(states("correction_list"), ["cancelled", "sent"]);
    assert_eq!(states("step_undone"), ["waiting"]);
    // What is stored folds to what is held in memory.
    let differ = differing(&stage.wait(stage.engine.read(case)).expect("the case is read").0.case, &stage.folded_again(case));
    assert!(differ.is_empty() && stage.chain(case).is_ok(), "{differ:?}");
}
