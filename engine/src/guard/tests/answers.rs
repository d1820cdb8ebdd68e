//! What is answered in a case.

use std::collections::BTreeMap;

use serde_json::json;

use super::*;

#[test]
fn operators_answer() {
    for (source, wanted) in [
        ("true", true),
        ("!false && !!true", true),
        ("false || true && false", false),
        ("(false || true) && true", true),
        ("facts.claim == 86000.10 && facts.claim != 86000.1 + 0.01", true),
        ("facts.claim > 86000 && facts.claim <= 86000.10 && facts.claim >= 86000.10", true),
        ("100000 > facts.claim && -1 < facts.claim", true),
        ("facts.claim - facts.agreed == 36000.10", true),
        ("facts.claim - (1 + 0.10) == 85999", true),
        ("1 + facts.claim == 86001.10 && -facts.claim < 0", true),
        ("facts.claim in [1, 86000.1] && !(facts.claim in [1])", true),
        ("facts.patients + 1 == 3 && facts.patients - 3 == -1 && -facts.patients == -2", true),
        ("facts.patients in [1, 2] && facts.patients < 2.5 && 1.5 < facts.patients", true),
        ("facts.share == 0.350 && facts.share + 1 == 1.35 && 1 - facts.share > 0.6", true),
        ("facts.kind == 'injury' && \"death\" != facts.kind && facts.kind in ['injury']", true),
        ("facts.note == '张三 \\'x\\'' && facts.note != \"x\"", true),
        ("facts.filed_on - facts.occurred_on == 3", true),
        ("facts.occurred_on + 3 == facts.filed_on && facts.filed_on - 3 == facts.occurred_on", true),
        ("facts.occurred_on < facts.filed_on && facts.filed_on >= '2026-03-02'", true),
        ("facts.filed_on - '2026-03-01' == 1 && facts.filed_on - facts.occurred_on + 1 == 4", true),
        ("facts.filed_at == '2026-03-02T01:30:00Z'", true),
        ("facts.filed_at < '2026-03-02T09:30:01+08:00'", true),
        ("facts.applicant in facts.parties && facts.applicant == facts.applicant", true),
        ("has(facts.claim) && !has(facts.referred) && has(facts) && !has(assents.all)", true),
        ("size(facts.parties) == 2 && size(facts.note) == 6 && size([1, 2, 3]) == 3", true),
        ("obligation.exists(o, o.state in ['commissioned', 'supplement'])", true),
        ("obligation.exists(o, o.open && o.amount > 100)", false),
        ("obligation.all(o, o.amount >= 99.50 && has(o.amount) && !has(o.due_on))", true),
        ("facts.tags.exists(t, t == 'a') || !facts.tags.all(t, t == 'a')", false),
        ("sum(obligation, o, o.amount) == 200.00", true),
        ("sum(obligation, o, o.count) == 3 && sum(obligation, o, o.share) == 0.75", true),
        ("sum(facts.amounts, a, a) == 3.5 && sum(facts.amounts, a, 1) == 2", true),
        ("this.groups.exists(g, g.all(n, n > 2)) && this.groups.all(g, size(g) > 0)", true),
        ("obligation.exists(o, obligation.exists(p, p.count > o.count))", true),
        ("this.parent.state == 'done' && this.parent.state == this.parent.state", true),
        ("true == (1 == 1) && 'a' in ['b', 'a']\n\t && 1 in [1.0, 2]", true),
    ] {
        assert_eq!(holds(source), Some(wanted), "{source}");
    }
}

#[test]
fn guards_give_values_too() {
    let money = |fen| Value::Money(crate::value::Money::from_fen(fen).unwrap());
    for (source, want, wanted) in [
        ("facts.patients + 1", GuardType::Int, Value::Int(3)),
        ("100.5", GuardType::Money, money(10_050)),
        ("facts.claim + 1", GuardType::Money, money(8_600_110)),
        ("sum(obligation, o, o.amount)", GuardType::Money, money(20_000)),
        ("3", GuardType::Decimal, Value::Decimal(3.into())),
        ("[facts.patients]", GuardType::list(GuardType::Decimal), Value::List(vec![Value::Decimal(2.into())])),
        ("'death'", GuardType::words(["death", "injury"]), Value::Text("death".into())),
        ("facts.kind", GuardType::words(["death", "injury"]), Value::Text("injury".into())),
        ("'2026-03-02'", GuardType::Date, Value::Date("2026-03-02".parse().unwrap())),
        ("facts.applicant", GuardType::Person, Value::Text("p1".into())),
    ] {
        assert_eq!(answer(source, want, &usual()), Outcome::Known(wanted), "{source}");
    }
    let found = mistakes("facts.claim", GuardType::Int);
    assert_eq!(found[0].1, "this is money, but a whole number is wanted here");
}

#[test]
fn unknown_follows_kleene() {
    let (yes, no, nothing) = ("facts.accepted", "!facts.accepted", "facts.referred");
    for (left, right, and, or) in [
        (yes, nothing, None, Some(true)),
        (nothing, yes, None, Some(true)),
        (no, nothing, Some(false), None),
        (nothing, no, Some(false), None),
        (nothing, nothing, None, None),
        (yes, no, Some(false), Some(true)),
        (yes, yes, Some(true), Some(true)),
        (no, no, Some(false), Some(false)),
    ] {
        assert_eq!(holds(&format!("{left} && {right}")), and, "{left} && {right}");
        assert_eq!(holds(&format!("{left} || {right}")), or, "{left} || {right}");
    }
    assert_eq!(holds("!facts.referred"), None);
    assert_eq!(holds("facts.referred == facts.referred"), None);
    assert_eq!(holds("facts.heir in facts.parties"), None);
    assert_eq!(holds("facts.patients in [2, sum(obligation, o, o.count) + 9223372036854775807]"), None);
}

#[test]
fn lists_absorb_what_is_unknown_in_their_items() {
    let held = scope(json!({"obligation": [{"open": true}, {"count": 1}], "facts": {"claim": 5}}));
    for (source, wanted) in [
        ("obligation.exists(o, o.open)", Ok(true)),
        ("obligation.exists(o, !o.open)", Err("obligation.open")),
        ("obligation.all(o, !o.open)", Ok(false)),
        ("obligation.all(o, o.open)", Err("obligation.open")),
        ("obligation.exists(o, obligation.all(p, o.count == p.count))", Err("obligation.count")),
        ("sum(obligation, o, o.count) == 1", Err("obligation.count")),
        ("facts.tags.exists(t, true)", Err("facts.tags")),
        ("facts.tags.all(t, false)", Err("facts.tags")),
        ("size(facts.tags) == 0", Err("facts.tags")),
        ("sum(facts.amounts, a, a) == 0", Err("facts.amounts")),
        ("this.groups.exists(g, true)", Err("this.groups")),
    ] {
        let wanted = match wanted {
            Ok(truth) => Outcome::Known(Value::Bool(truth)),
            Err(name) => unknown(&[name], Reason::Unset),
        };
        assert_eq!(answer(source, GuardType::Bool, &held), wanted, "{source}");
    }
    let empty = scope(json!({"obligation": []}));
    let zero = answer("sum(obligation, o, o.amount)", GuardType::Money, &empty);
    assert_eq!(zero, Outcome::Known(Value::Money(crate::value::Money::ZERO)));
}

#[test]
fn unknown_names_all_that_is_missing_and_why() {
    struct Erasing;
    impl Scope for Erasing {
        fn get(&self, path: &[&str]) -> Slot<'_> {
            if path.contains(&"note") { Slot::Erased } else { Slot::Unset }
        }
    }
    let ask = |source| check(source, &names(), GuardType::Bool).unwrap().eval(&Erasing);
    let both = ["facts.claim", "facts.note"];
    assert_eq!(ask("facts.note == 'a' && facts.claim > 1"), unknown(&both, Reason::Erased));
    assert_eq!(ask("facts.claim > facts.agreed"), unknown(&["facts.agreed", "facts.claim"], Reason::Unset));
    assert_eq!(ask("has(facts.note)"), Outcome::Known(Value::Bool(false)));
    assert!(!ask("facts.accepted").is_true() && ask("true").is_true());

    for source in [
        "facts.patients + 9223372036854775807 > 0",
        "-(-9223372036854775807 - facts.patients + 1) > 0",
        "facts.claim + 10000000000000 > 0",
        "facts.filed_on + 9223372036854775807 == facts.filed_on",
        "facts.filed_on - -9223372036854775808 == facts.filed_on",
        "facts.filed_on + 4000000 == facts.filed_on",
        "facts.share + 999999999999999999999999999.9 > 0",
    ] {
        assert_eq!(answer(source, GuardType::Bool, &usual()), unknown(&[], Reason::Overflow), "{source}");
    }
    let wrong = Value::Record(BTreeMap::from([("facts".into(), Value::Record([("claim".into(), Value::Bool(true))].into()))]));
    let asked = answer("facts.claim > 1", GuardType::Bool, &wrong);
    assert_eq!(asked, unknown(&[], Reason::Mismatch));
}
