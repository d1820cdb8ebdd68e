//! What is refused when a workflow is loaded, and what is said about it.

use super::*;

#[test]
fn names_are_known_or_refused_with_a_guess() {
    refused("fcats.claim > 1", "fcats", "did you mean facts?");
    refused("facts.clam > 1", "clam", "did you mean claim?");
    refused("input.days > 0", "input", "known are facts, obligation, this, assents");
    refused("assents.any", "any", "known are all, lapsed");
    refused("facts.claim.yuan > 0", "yuan", "claim is money");
    refused("obligation.state == 'done'", "state", "obligation.exists(item, item.state …)");
    refused("obligation.exists(o, o.stat == 'done')", "stat", "did you mean state?");
    refused("obligation.exists(one, onne.open)", "onne", "did you mean one?");
    refused("obligation.exists(o, true) && o.open", "o", "no such name");
    refused("has(facts.clam)", "clam", "did you mean claim?");
    refused("obligation.exists(facts, facts.open)", "facts", "already means something");
    refused("this.groups.exists(g, g.exists(g, true))", "g", "already means something");
    refused("obligation.all(true, true)", "true", "already means something");
}

#[test]
fn types_are_right_or_refused_with_advice() {
    for (source, marked, says) in [
        ("facts.claim == '86000.10'", "facts.claim == '86000.10'", "without quotes"),
        ("facts.claim > facts.patients", "facts.claim > facts.patients", "a count or a share"),
        ("facts.claim + facts.share > 1", "facts.claim + facts.share", "a count or a share"),
        ("facts.claim > 1.005", "1.005", "more than two decimals"),
        ("facts.claim in [1, 2.555]", "2.555", "more than two decimals"),
        ("facts.claim + 10000000000001 > 1", "10000000000001", "beyond"),
        ("facts.kind == 'injry'", "'injry'", "did you mean 'injury'?"),
        ("facts.kind in ['injury', 'x']", "'x'", "it is one of 'injury', 'death'"),
        ("facts.kind == facts.note", "facts.kind == facts.note", "write one of 'injury', 'death'"),
        ("facts.kind == this.parent.state", "facts.kind == this.parent.state", "not the same"),
        ("facts.kind < 'injury'", "facts.kind < 'injury'", "has no order"),
        ("facts.note < 'a'", "facts.note < 'a'", "has no order"),
        ("facts.accepted > false", "facts.accepted > false", "has no order"),
        ("facts.accepted == 'true'", "facts.accepted == 'true'", "x or !x"),
        ("facts.patients == '2'", "facts.patients == '2'", "without quotes"),
        ("facts.patients", "facts.patients", "write has(facts.patients), or compare it"),
        ("obligation", "obligation", "write size(obligation) > 0"),
        ("!facts.claim", "facts.claim", "write has(facts.claim)"),
        ("1 + 1", "1 + 1", "a condition is wanted here"),
        ("facts.claim == null", "null", "ask has(name) instead"),
        ("facts.applicant == 'p1'", "facts.applicant == 'p1'", "ids are not written"),
        ("facts.applicant == facts.clerk", "facts.applicant == facts.clerk", "same kind of id"),
        ("facts.filed_on == '2026-3-2'", "'2026-3-2'", "write it as '2026-03-02'"),
        ("facts.filed_on == 20260302", "facts.filed_on == 20260302", "a day is written"),
        ("facts.filed_at > '2026-03-02'", "'2026-03-02'", "09:30:00+08:00"),
        ("facts.filed_at > facts.filed_on", "facts.filed_at > facts.filed_on", "are different"),
        ("3 + facts.filed_on == facts.filed_on", "3 + facts.filed_on", "the day first"),
        ("facts.filed_on + facts.occurred_on == 1", "facts.filed_on + facts.occurred_on", "can be subtracted"),
        ("facts.filed_at + 1 == facts.filed_at", "facts.filed_at + 1", "not moments"),
        ("facts.note + 'a' == 'b'", "facts.note + 'a'", "text is not joined"),
        ("-facts.note == 'a'", "-facts.note", "minus sign"),
        ("facts.note in 'abc'", "'abc'", "a list is wanted behind in"),
        ("facts.claim in facts.parties", "facts.claim in facts.parties", "cannot be looked for"),
        ("facts.tags in [facts.tags]", "facts.tags in [facts.tags]", "use exists"),
        ("facts.note in []", "[]", "an empty list"),
        ("facts.note in ['a', 1]", "1", "the other items of the list are text"),
        ("facts.tags == ['a']", "facts.tags == ['a']", "as a whole"),
        ("size(facts.claim) > 1", "facts.claim", "size counts a list"),
        ("facts.claim.exists(c, true)", "facts.claim", "a list is wanted"),
        ("obligation.exists(o, o.amount)", "o.amount", "write has(o.amount)"),
        ("sum(obligation, o, o.state) == 1", "o.state", "sum adds numbers or money"),
        ("sum(obligation, o, o.amount) == facts.patients", "sum(obligation, o, o.amount) == facts.patients", "a count"),
    ] {
        refused(source, marked, says);
    }
}

#[test]
fn words_and_form_are_right_or_refused_with_advice() {
    for (source, marked, says) in [
        ("", "", "ends too early"),
        ("facts.accepted &&", "", "ends too early"),
        ("facts.accepted & true", "&", "write &&"),
        ("facts.patients = 2", "=", "write =="),
        ("facts.accepted and true", "and", "write &&"),
        ("facts.accepted or true", "or", "write ||"),
        ("not facts.accepted", "not", "write !"),
        ("facts.accepted ? true", "?", "two guards"),
        ("facts.patients * 2 > 1", "*", "only + and -"),
        ("facts.accepted && （true", "（", "half-width ("),
        ("facts.note == “", "“", "plain \""),
        ("案件", "案", ""),
        ("facts.note == 'abc", "'abc", "never closed"),
        ("facts.note == 'a\\q'", "\\q", "escape"),
        ("facts.patients == 1e3", "1e3", "no number"),
        ("facts.patients == 5.", "5.", "no number"),
        ("facts.patients == 9223372036854775808", "9223372036854775808", "too large"),
        ("facts.patients == 99223372036854775808", "99223372036854775808", "no number"),
        ("1 < facts.patients < 3", "<", "do not chain"),
        ("(facts.accepted", "", "a ) should stand here"),
        ("facts.accepted)", ")", "should end here"),
        ("facts.accepted facts.accepted", "facts", "should end here"),
        ("facts. == 1", "==", "the name of a field"),
        ("in [1]", "in", "before in"),
        ("facts.tags[0] == 'a'", "[", "should end here"),
        ("hsa(facts.claim)", "hsa", "did you mean has?"),
        ("now() > 1", "now", "known are has(name)"),
        ("exists(obligation, o, true)", "exists", "write list.exists(item, condition)"),
        ("facts.tags.size() > 0", "size", "write size(…tags)"),
        ("obligation.exist(o, true)", "exist", "did you mean exists?"),
        ("obligation.filter(o, true)", "filter", "known are list.exists"),
        ("obligation.exists(o.open)", ".", "a , should stand here"),
        ("has('a')", "'a'", "a name should stand here"),
    ] {
        let found = mistakes(source, GuardType::Bool);
        let (own, message, hint) = &found[0];
        assert_eq!(own, marked, "{source}: {message}");
        assert!(format!("{message}; {hint}").contains(says), "{source}: {message}; {hint}");
    }
}

#[test]
fn every_mistake_is_told_in_order() {
    let source = "facts.clam > 1 && facts.kind == 'x' || nobody || facts.claim > '1' && size(facts.patients) > 0";
    let marked: Vec<String> = mistakes(source, GuardType::Bool).into_iter().map(|(marked, ..)| marked).collect();
    assert_eq!(marked, ["clam", "'x'", "nobody", "facts.claim > '1'", "facts.patients"]);
    let marked: Vec<String> = mistakes("a & b = 1e3", GuardType::Bool).into_iter().map(|(marked, ..)| marked).collect();
    assert_eq!(marked, ["&", "=", "1e3"]);
}
