//! Chapters about time: what fell due while nobody asked, a lease that ended, a clock that is not believed.

use super::stage::{Home, Stage, changed, engine_on, outline, refused};
use super::texts::beginning;
use heyi_engine::case::event::{Event, What};
use heyi_engine::case::refusal::Code;
use heyi_engine::ids::LegalTime;
use heyi_engine::store::outbox::{Attempt, LEASE_SECONDS};
use heyi_engine::submit::Request;
use serde_json::json;
use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

/// Deadlines that fell due while nobody asked: each once, in the order in which they were due, with the legal time at
/// which they were due. A command that comes first lets them pass before it.
pub fn what_fell_due_while_nobody_asked_happens_once_and_in_order(home: &Home) {
    let stage = Stage::new(home);
    let part = beginning("refusals", "hearing.propose");
    let case = stage.play(&part, "");
    let second = stage.play(&part, "second ");
    let due = |now: &str| {
        stage.clock.set(now);
        stage.wait(stage.engine.store().cases_due(stage.engine.now().timestamp_millis(), 10)).expect("cases are listed")
    };
    assert_eq!(due("2026-04-03T10:00:00+08:00"), Vec::<String>::new());
    let before = stage.contents();
    assert!(stage.submit(stage.passes(case)).expect("time passes").events.is_empty());
    assert_eq!(changed(&before, &stage.contents()), Vec::<&str>::new());
    // The round of assents ends on 13 April and acts after two days of grace, the warnings come before 14 May, the limit acts after two days of grace.
    // A case is listed from the very instant at which its first deadline is due.
    assert_eq!(due("2026-04-15T23:59:59+08:00"), Vec::<String>::new());
    assert_eq!(due("2026-04-16T00:00:00+08:00").len(), 2);
    let listed = due("2026-05-19T08:00:00+08:00");
    assert_eq!(BTreeSet::from_iter(listed), BTreeSet::from([case.to_string(), second.to_string()]));
    let another = stage.another();
    let (one, two) = stage.wait(async {
        let (a, b) = (stage.engine.clone(), another.clone());
        let (x, y) = (stage.passes(case), stage.passes(case));
        let (one, two) = tokio::join!(tokio::spawn(async move { a.submit(x).await }), tokio::spawn(async move { b.submit(y).await }));
        (one.expect("a task ends").expect("time passes"), two.expect("a task ends").expect("time passes"))
    });
    // Two workers woke: between them they did it once.
    let mut all: Vec<Event> = one.events.into_iter().chain(two.events).collect();
    all.sort_by_key(|e| e.seq);
    let clock: Vec<String> = all.iter().filter(|e| matches!(e.what, What::DeadlineFired { .. } | What::DeadlineWarned { .. })).map(outline).collect();
    let names: Vec<&str> = clock.iter().map(|l| l.split(' ').nth(2).expect("a name")).collect();
    // Five warnings (half, four fifths, five, three and one working day before), then the end.
    let limit = ["mediation_limit"; 6];
    assert_eq!(names, ["hearing_proposed_answers"].into_iter().chain(limit).collect::<Vec<_>>(), "{clock:?}");
    let legal: Vec<LegalTime> = all.iter().filter(|e| matches!(e.what, What::DeadlineFired { .. })).map(|e| e.legal_at).collect();
    assert_eq!(legal.iter().map(|l| l.to_string()).collect::<Vec<_>>(), ["2026-04-14T00:00:00+08:00", "2026-05-15T00:00:00+08:00"], "{clock:?}");
    let numbers: Vec<u64> = all.iter().map(|e| e.seq).collect();
    assert_eq!(numbers, (numbers[0]..numbers[0] + numbers.len() as u64).collect::<Vec<_>>(), "an event was written twice or lost");
    let state = stage.folded_again(case);
    assert_eq!(state.root().map(|p| p.state()), Some("lapsed"));
    // A second time is a no-op.
    let before = stage.contents();
    assert!(stage.submit(stage.passes(case)).expect("time passes").events.is_empty());
    assert!(stage.wait(another.submit(stage.passes(case))).expect("time passes").events.is_empty());
    assert_eq!(changed(&before, &stage.contents()), Vec::<&str>::new());
    assert_eq!(due("2026-05-19T08:00:00+08:00"), [second.to_string()]);
    // The other case is first asked for something that the limit forbids: the clock comes first, and is told with it.
    let late = Request { workflow: None, ..stage.request("director", Some(second), "mediation.fail", json!({})) };
    assert_eq!(refused(stage.submit(late)), [Code::Proceeding]);
    assert_eq!(stage.folded_again(second).root().map(|p| p.state()), Some("lapsed"));
    let stored = |case| stage.events(case).into_iter().map(|(e, _)| outline(&e)).collect::<Vec<_>>();
    assert_eq!(stored(case), stored(second), "whether a worker or a command came first made a difference");
    assert!(stage.chain(case).is_ok() && stage.chain(second).is_ok());
}

pub fn an_expired_lease_is_taken_over_and_the_sleeper_is_fenced_off(home: &Home) {
    let stage = Stage::new(home);
    let _case = stage.play(&beginning("appraisal-pauses", "mediation.accept"), "");
    let store = stage.engine.store().clone();
    let lease = |most| stage.wait(store.lease_letters(&stage.master, stage.engine.now(), most)).expect("letters are leased");
    let mark = |l: &_, attempt: &Attempt| stage.wait(store.mark_letter(l, attempt, stage.engine.now())).expect("it is answered");
    let delivered = Attempt::Delivered { proof: "taken".to_owned() };
    let total: usize = stage.one("SELECT COUNT(*) FROM letter WHERE state = 'waiting'").parse().expect("a number");
    assert!(total >= 3, "only {total} letters wait");
    // Two processes lease at once: nobody gets the other's letters.
    let another = stage.another();
    let (mine, theirs) = stage.wait(async {
        let (a, b) = (store.clone(), another.store().clone());
        let (m, n, now) = (stage.master.clone(), stage.master.clone(), stage.engine.now());
        let (x, y) = tokio::join!(
            tokio::spawn(async move { a.lease_letters(&m, now, 1_000).await }),
            tokio::spawn(async move { b.lease_letters(&n, now, 1_000).await })
        );
        (x.expect("a task ends").expect("letters"), y.expect("a task ends").expect("letters"))
    });
    let ids: BTreeSet<String> = mine.iter().chain(&theirs).map(|l| l.notice.id.clone()).collect();
    assert_eq!((ids.len(), mine.len() + theirs.len()), (total, total));
    let held: Vec<_> = mine.into_iter().chain(theirs).collect();
    assert!(lease(1_000).is_empty(), "a letter on lease was leased again");
    // The first is delivered in time; it never comes back.
    assert!(mark(&held[0], &delivered));
    assert!(!mark(&held[0], &delivered), "it was marked twice");
    // Everybody sleeps past the lease; somebody else takes over.
    let later = stage.engine.now() + chrono::TimeDelta::seconds(LEASE_SECONDS + 1);
    stage.clock.0.store(later.timestamp_millis(), Ordering::SeqCst);
    let taken_over = lease(1_000);
    assert_eq!(taken_over.len(), total - 1);
    assert!(taken_over.iter().all(|l| l.attempts == 1));
    for sleeper in &held[1..] {
        assert!(!mark(sleeper, &delivered), "the sleeper's mark was taken");
        assert!(!mark(sleeper, &Attempt::Permanent { problem: "late".to_owned() }), "the sleeper's mark was taken");
    }
    assert_eq!(stage.one("SELECT COUNT(*) FROM letter WHERE state = 'sent'"), "1");
    // A temporary failure goes back to wait, and not before its time; a permanent one stays.
    assert!(mark(&taken_over[0], &Attempt::Temporary { problem: "busy".to_owned() }));
    assert!(mark(&taken_over[1], &Attempt::Permanent { problem: "no such box".to_owned() }));
    taken_over[2..].iter().for_each(|l| assert!(mark(l, &delivered)));
    assert!(lease(1_000).is_empty());
    let next = stage.wait(store.next_letter_at()).expect("it is answered").expect("one waits");
    stage.clock.0.store(next - 1, Ordering::SeqCst);
    assert!(lease(1_000).is_empty(), "it was tried before its time");
    stage.clock.0.store(next, Ordering::SeqCst);
    let again = lease(1_000);
    assert_eq!((again.len(), again[0].attempts), (1, 2));
    assert!(mark(&again[0], &delivered));
    assert_eq!(stage.wait(store.letters_waiting()).expect("it is answered"), 0);
}

/// A clock that is not believed: commands are taken, nothing falls due; once it is believed, what fell due happens, once.
pub fn while_the_clock_is_not_believed_nothing_falls_due(home: &Home) {
    let stage = Stage::new(home);
    let play = beginning("appraisal-pauses", "mediation.accept");
    let case = stage.play(&play, "held");
    let due = stage.wait(stage.engine.read(case)).expect("the case is read").0.row.acts_at.expect("something falls due");
    stage.clock.0.store(due + 1, Ordering::SeqCst);
    let fired = |events: &[Event]| events.iter().filter(|e| matches!(e.what, What::DeadlineFired { .. } | What::DeadlineWarned { .. })).count();
    stage.engine.hold_clock(true);
    let nothing = stage.submit(stage.passes(case)).expect("the clock may be asked");
    assert_eq!(nothing.events.len(), 0, "the clock acted though it is not believed");
    let noted = stage.submit(stage.request("intake_officer", Some(case), "case.record", json!({"summary": "x"}))).expect("work goes on");
    assert_eq!(fired(&noted.events), 0);
    stage.engine.hold_clock(false);
    let then = stage.submit(stage.passes(case)).expect("the clock acts");
    assert!(fired(&then.events) >= 1, "what fell due is forgotten");
    assert!(stage.chain(case).is_ok());
}

/// After a restart nobody remembers which keys were used. A command that comes again is answered all the same before the clock lets
/// anything happen that is due.
pub fn what_comes_again_after_a_restart_is_answered_before_the_clock_acts(home: &Home) {
    let stage = Stage::new(home);
    stage.clock.set("2026-03-02T09:00:00+08:00");
    let case = stage.open("");
    stage.submit(stage.request("clerk", Some(case), "matter.take", json!({"lead": stage.me("clerk").id}))).expect("a lead is named");
    let wait = Request { key: Some("wait".to_owned()), ..stage.request("clerk", Some(case), "matter.wait", json!({})) };
    let told = stage.submit(wait.clone()).expect("a reply is awaited");
    let due = told.loaded.row.acts_at.expect("something falls due");
    stage.clock.0.store(due + 1, Ordering::SeqCst);
    let restarted = stage.wait(engine_on(&stage.url, &stage.master, &stage.clock, &stage.policy));
    let again = stage.wait(restarted.submit(wait)).expect("it is answered again");
    assert_eq!((again.repeated, again.loaded.row.version), (true, told.loaded.row.version), "the clock acted first");
}
