//! What a guard tells about itself, how large it may be, and that nothing panics.

use serde_json::json;

use super::*;

#[test]
fn clauses_are_named_and_answer_alone() {
    let source = "facts.accepted && (facts.claim > 1 && (facts.referred || assents.all)) && obligation.all(o, o.open)";
    let guard = check(source, &names(), GuardType::Bool).unwrap();
    let clauses = guard.clauses();
    let sources: Vec<&str> = clauses.iter().map(Clause::source).collect();
    let wanted = ["facts.accepted", "facts.claim > 1", "(facts.referred || assents.all)", "obligation.all(o, o.open)"];
    assert_eq!(sources, wanted);
    let answers: Vec<Outcome> = clauses.iter().map(|clause| clause.eval(&usual())).collect();
    assert!(answers[0].is_true() && answers[1].is_true());
    assert_eq!(answers[2], unknown(&["assents.all", "facts.referred"], Reason::Unset));
    assert_eq!(answers[3], Outcome::Known(Value::Bool(false)));
    let read: Vec<String> = clauses[3].reads().iter().map(|path| path.join(".")).collect();
    assert_eq!(read, ["obligation", "obligation.open"]);
    let one = check(" facts.accepted ", &names(), GuardType::Bool).unwrap();
    assert_eq!(one.clauses()[0].source(), "facts.accepted");
}

#[test]
fn reads_are_told_with_items_resolved() {
    let source = "has(facts.note) && this.groups.exists(g, g.exists(n, n == facts.patients)) && sum(obligation, o, o.amount) > 1";
    let guard = check(source, &names(), GuardType::Bool).unwrap();
    let read: Vec<String> = guard.reads().iter().map(|path| path.join(".")).collect();
    assert_eq!(read, ["facts.note", "facts.patients", "obligation", "obligation.amount", "this.groups"]);
    assert!(guard.mentions("facts") && guard.mentions("this") && !guard.mentions("g") && !guard.mentions("input"));
    assert_eq!(serde_json::to_value(&guard).unwrap(), json!(source));
    assert_eq!((guard.to_string().as_str(), guard.source()), (source, source));
}

#[test]
fn length_and_depth_are_limited() {
    let long = format!("true{}", " ".repeat(MAX_LENGTH_BYTES - 4));
    assert!(check(&long, &names(), GuardType::Bool).is_ok());
    assert!(mistakes(&format!("{long} "), GuardType::Bool)[0].1.contains("longer than 512 bytes"));
    let nested = |depth: usize| format!("{}true{}", "(".repeat(depth), ")".repeat(depth));
    assert!(check(&nested(MAX_DEPTH), &names(), GuardType::Bool).is_ok());
    for source in [nested(MAX_DEPTH + 1), nested(250), "(".repeat(512), "!".repeat(512), "-".repeat(512), "[".repeat(512)] {
        assert!(mistakes(&source, GuardType::Bool)[0].1.contains("deeper than 32"), "{source}");
    }
    assert!(check(&format!("{}true", "!".repeat(MAX_DEPTH)), &names(), GuardType::Bool).is_ok());
    let chain = format!("1{} > 0", "+1".repeat(250));
    assert_eq!(holds(&chain), Some(true));
    assert_eq!(holds(&format!("true{}", "&&true".repeat(84))), Some(true));
    let three = "obligation.all(a, obligation.all(b, obligation.all(c, a.open)))";
    refused(three, "obligation", "nested deeper than 2");
}

/// A small generator of our own, so that the core needs no source of chance even in tests.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % limit
    }
}

#[test]
fn garbage_never_panics() {
    let (names, held, mut dice) = (names(), usual(), Dice(7));
    let pieces: Vec<&str> = "facts . claim kind note obligation exists all ( ) [ ] , && || ! == != < <= > >= in + - has size sum o \
        true null 1 0.5 2.555 9223372036854775808 'injury' 'x \" ' \\ （ 案 this groups filed_on '2026-03-02' parent state"
        .split(' ')
        .collect();
    let (mut read, mut refused) = (0, 0);
    for round in 0..30_000 {
        let source: String = match round % 3 {
            0 => {
                let bytes: Vec<u8> = (0..dice.below(200)).map(|_| dice.below(256) as u8).collect();
                String::from_utf8_lossy(&bytes).into_owned()
            }
            1 => (0..dice.below(60)).map(|_| format!("{} ", pieces[dice.below(pieces.len())])).collect(),
            _ => {
                let mut right: Vec<char> =
                    "obligation.exists(o, o.amount + 1 > -facts.claim) && facts.filed_on - 3 < '2026-03-02' || has(this.groups)".chars().collect();
                for _ in 0..=dice.below(3) {
                    let at = dice.below(right.len());
                    right[at] = pieces[dice.below(pieces.len())].chars().next().unwrap();
                }
                right.into_iter().collect()
            }
        };
        match check(&source, &names, GuardType::Bool) {
            Ok(guard) => {
                read += 1;
                guard.eval(&held);
                assert!(guard.clauses().iter().all(|clause| !clause.source().is_empty()));
                assert!(guard.reads().iter().all(|path| !path.is_empty()));
            }
            Err(found) => {
                refused += 1;
                assert!(!found.is_empty());
                assert!(found.iter().all(|mistake| source.get(mistake.span.clone()).is_some()), "{source}");
            }
        }
    }
    assert!(read > 100 && refused > 20_000, "{read} read, {refused} refused");
}
