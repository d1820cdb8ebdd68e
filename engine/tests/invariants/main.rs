//! The nineteen invariants of the procedure, each with a test: it holds in the shipped workflow, and in a twin without
//! it something goes through that must not. A twin is the shipped text with exactly the rule taken out, so a test fails
//! too when the rule leaves the text or is said twice.
//!
//! | no | what must be so | where it is stated | what the twin lacks |
//! |---|---|---|---|
//! | 1 | no session, hearing or proposal before acceptance | `session.schedule`, `hearing.propose`: `when`, and `always`; `mediation.propose`: `from` | the `when`; the `always` too; the `from` |
//! | 2 | acceptance needs both sides, one refusal ends it | `accept`, `other_side_agrees`: `when`; `rights.end_mediation` | the clause; a state of `party_ends` |
//! | 3 | a suit or administrative case ends it, a referral does not | `ask_other_side`, `suit_accepted`: `when`; `rights.sue` | the clause; a state; the exception |
//! | 4 | no fee is owed to the committee | no field holds one; the fee of an appraisal is the body's | it has a field for one |
//! | 5 | nobody is appointed without a declaration of no conflict | `assign`, `consultation.schedule`, `appraisal.commission`: `accepts`; `actions.seat` | the clause; nobody may seat by hand |
//! | 6 | two consents to an appraisal, four answers in an opinion | `appraisal.both_agree`: `auto`; `appraisal.opine`: `input` | one consent is enough; an answer may be left out |
//! | 7 | the clock stands still for appraisals alone, each time on a paper | `mediation_limit`: `runs_while`; `needs` of the steps of `appraisal` | a hearing stops it too; a paper |
//! | 8 | three assents to an extension, asked for and given in time | `extension.asked`: `assents`; `ask`, `grant`: `accepts`, `within` | one who is asked; the clause; the `within` |
//! | 9 | an agreement takes effect by four marks, in writing, in time | `agreement.signing`: `assents`; `take_effect`: `within`; `draft_ready`: `accepts` | a mark; the `within`; the clause |
//! | 10 | a guardian for who needs one, every heir for themselves | `submit`: `when`; `sides.patient_side.speaks` | the clause; `authorised` |
//! | 11 | shares and instalments add up to the total | `agreement.draft_ready`: `accepts` | the clause |
//! | 12 | a joint application to the court, within thirty days, rolled | `confirmation.submit`: `when`, `within`; `confirmation_window`: `roll` | each |
//! | 13 | a dismissed agreement stays a contract, and the ways are offered | `always`; `confirmation.dismiss`: `notices`; `reopening.propose` | the `always`; the letter; the ground |
//! | 14 | nothing is public or passed on without consent | `open_in_public`, `accept`: `needs`; `hearing.schedule`: `from`; `caucus.release`: `when` | each |
//! | 15 | what is said to settle is no admission | `no_admission` of the data, upheld by the reader of the file | the mark of one datum |
//! | 16 | an archived file is not altered | the engine; `filing.archived`: `final`; `facts.earlier_case` | the end; the fact |
//! | 17 | every exit tells of the other lawful ways | the exits' `notices`; the letters | the `notices`; the part of the letter |
//! | 18 | a step keeps actor, on whose behalf, basis, evidence, version | the engine's events; `law` or `basis` of every step | each part of an event; a `law` |
//! | 19 | a running case keeps its version, moving is explicit | the engine's events | the event of the move |

mod agreement;
mod kept;
mod plays;
mod twins;

use heyi_engine::case::refusal::Code;
use heyi_engine::definition::Definition;
use heyi_engine::guard::Outcome;
use heyi_engine::value::{Type, Value};
use plays::*;
use std::collections::BTreeSet;
use twins::*;

#[test]
fn inv01_no_session_before_acceptance() {
    let before = [OPEN, CONSENT, ONE_SIDED].concat();
    let session = r#"
  - {at: 2026-04-02 11:00, by: clerk, do: session.schedule, input: {at: "2026-04-09T09:00:00+08:00", place: 调解室}}"#;
    let hearing = "\n  - {at: 2026-04-02 11:00, by: director, do: hearing.propose, input: {reason: 疑难, invited: 卫健委}}";
    for (kind, name, always, steps) in
        [("session", "schedule", "no_session_before_acceptance", session), ("hearing", "propose", "no_hearing_before_acceptance", hearing)]
    {
        let steps = before.clone() + steps;
        let by_state_alone = without(SHIPPED, &[&step(kind, name)[..], &["when"]].concat());
        let neither = without(&by_state_alone, &["always", always]);
        only_the_rule_refuses(&neither, &steps, Code::Guard);
        // Either rule alone is enough.
        assert_eq!(play(&load(&by_state_alone), &steps).last.err(), Some(BTreeSet::from([Code::Invariant])), "{kind}");
    }
    let proposal = before
        + r#"
  - {at: 2026-04-02 10:00, by: clerk, do: case.file, paper: compensation_sheet}
  - {at: 2026-04-02 11:00, by: mediator, do: mediation.propose, input: {proposal: 一次性补偿。, amount: "60000.00"}}"#;
    // The seat of the lead mediator is filled on acceptance only, so the twin does without it too.
    let early = with(SHIPPED, &step("mediation", "propose"), "from: mediating", "from: [drafted, mediating]");
    let early = with(&early, &step("mediation", "propose"), "by: [lead_mediator]", "by: [mediator]");
    only_the_rule_refuses(&early, &proposal, Code::State);
    // Persuasion on the spot is work on an incident, and needs no acceptance.
    let on_the_spot = [
        OPEN,
        r#"
  - {at: 2026-04-02 09:30, by: intake_officer, do: incident.report, input: {at: "2026-04-02T08:00:00+08:00", place: 门诊楼, people: 20, level: major}}
  - {at: 2026-04-02 09:40, by: director, do: incident.declare, input: {level: major, why: 聚集}}
  - {at: 2026-04-02 10:00, by: mediator, do: incident.go_on_site, input: {note: 劝离。}}"#,
    ]
    .concat();
    let there = play(shipped(), &on_the_spot);
    assert!(there.last.is_ok() && there.state("mediation") == "received" && there.state("incident") == "on_site");
}

#[test]
fn inv02_acceptance_needs_both_sides_and_one_refusal_ends_it() {
    let asked = [OPEN, CONSENT, ONE_SIDED, SUBMIT].concat();
    let alone = with(SHIPPED, &step("mediation", "accept"), "has(this.joined_on) && ", "");
    only_the_rule_refuses(&alone, &(asked.clone() + ACCEPT), Code::Guard);
    let asked = asked + "\n  - {at: 2026-04-02 10:00, by: intake_officer, do: mediation.ask_other_side}";
    let other =
        "((this.applicant == 'patient_side' && actor.side == 'hospital_side') || (this.applicant == 'hospital_side' && actor.side == 'patient_side'))
          && ";
    let oneself = with(SHIPPED, &step("mediation", "other_side_agrees"), other, "");
    let answered = asked.clone() + "\n  - {at: 2026-04-03 10:00, by: patient_side, do: mediation.other_side_agrees, for: li}";
    only_the_rule_refuses(&oneself, &answered, Code::Guard);
    let refused = play(shipped(), &(asked + "\n  - {at: 2026-04-03 10:00, by: hospital_side, do: mediation.other_side_refuses}"));
    assert_eq!(refused.state("mediation"), "not_accepted");
    // In every state of mediation either side may end it; the checker names the one that forgets.
    let forgets = with(SHIPPED, &step("mediation", "party_ends"), "from: active", "from: [assigning, investigation, mediating, proposal]");
    assert!(found_at(&forgets).contains("proceedings.mediation.states.agreeing"));
    let ended = play(shipped(), &(mediating() + "\n  - {at: 2026-04-09 10:00, by: hospital_side, do: mediation.party_ends}"));
    assert_eq!(ended.state("mediation"), "refused");
}

#[test]
fn inv03_a_suit_or_administrative_mediation_ends_it_a_referral_does_not() {
    let ask = [OPEN, CONSENT, ONE_SIDED, SUBMIT, "\n  - {at: 2026-04-02 10:00, by: intake_officer, do: mediation.ask_other_side}"].concat();
    let sued = ask.replace("suit_pending: false", "suit_pending: true");
    let deaf = with(SHIPPED, &step("mediation", "ask_other_side"), "(!facts.suit_pending || facts.court_referral) && ", "");
    only_the_rule_refuses(&deaf, &sued, Code::Guard);
    assert!(play(shipped(), &sued.replace("court_referral: false", "court_referral: true")).last.is_ok(), "the court itself sent it");
    let deaf = with(SHIPPED, &step("mediation", "ask_other_side"), " && !facts.admin_pending", "");
    only_the_rule_refuses(&deaf, &ask.replace("admin_pending: false", "admin_pending: true"), Code::Guard);
    let suit = mediating() + "\n  - {at: 2026-04-09 10:00, by: hospital_side, do: mediation.suit_accepted, input: {court_no: （2026）民初1号}}";
    assert_eq!(play(shipped(), &suit).state("mediation"), "court_took_over");
    let no_exception = without(SHIPPED, &[&step("mediation", "suit_accepted")[..], &["when"]].concat());
    let twin = only_the_rule_refuses(&no_exception, &suit.replace("court_referral: false", "court_referral: true"), Code::Guard);
    assert_eq!(twin.state("mediation"), "court_took_over");
    let forgets = with(SHIPPED, &step("mediation", "suit_accepted"), "from: active", "from: [assigning, investigation, mediating, proposal]");
    assert!(found_at(&forgets).contains("proceedings.mediation.states.agreeing"));
}

/// Every field of the file that holds a sum of money, by where it is declared.
fn sums(definition: &Definition) -> BTreeSet<String> {
    let money = |ty: &Type| matches!(ty, Type::Money);
    let facts = definition.facts.iter().filter(|(_, ty)| money(ty)).map(|(name, _)| format!("facts.{name}"));
    let data = definition.kinds.values().flat_map(|k| k.data.iter().filter(|(_, ty)| money(ty)).map(|(name, _)| format!("{}.{name}", k.name)));
    facts.chain(data).collect()
}

#[test]
fn inv04_no_fee_is_recorded_for_the_committee() {
    // What a case may hold of money, each of which somebody else is owed: the claim, the proposals, the agreement and
    // its performance, what a court or notary enforces, and the fee that both sides prepay to the appraisal body.
    let reviewed = [
        "facts.claim_amount",
        "mediation.amount",
        "mediation.counter_amount",
        "appraisal.fee",
        "agreement.total",
        "agreement.hospital_part",
        "agreement.insurer_part",
        "obligation.amount",
        "obligation.paid",
        "obligation.last_paid",
        "execution_certificate.performed",
        "execution_certificate.remaining",
        "enforcement.owed",
    ];
    let reviewed: BTreeSet<String> = reviewed.map(str::to_owned).into();
    assert_eq!(sums(shipped()), reviewed);
    let charging = with(SHIPPED, &["facts"], "  insured: ", "  mediation_fee: {type: money, label: {zh-CN: 调解费, en: Fee}}\n  insured: ");
    let charge = [OPEN, "\n  - {at: 2026-04-02 10:00, by: intake_officer, do: case.record, input: {claim_amount: \"1.00\"}}"].concat();
    assert!(play(shipped(), &charge).last.is_ok());
    let twin = load(&charging);
    let charge = charge.replace("claim_amount", "mediation_fee");
    assert!(sums(&twin).contains("facts.mediation_fee") && play(&twin, &charge).last.is_ok(), "the twin charges");
    assert_eq!(play(shipped(), &charge).last.err(), Some(BTreeSet::from([Code::Input])));
}

#[test]
fn inv05_nobody_is_appointed_without_a_declaration_of_no_conflict() {
    let not_declared = |steps: &str| steps.replace("no_conflict: true", "no_conflict: false");
    let accepted = [&screening(), ACCEPT].concat();
    let blind = with(SHIPPED, &step("mediation", "assign"), "input.no_conflict && ", "");
    only_the_rule_refuses(&blind, &(accepted.clone() + &not_declared(ASSIGN)), Code::Input);
    let colleague =
        with(SHIPPED, &step("mediation", "assign"), " && (!has(input.mediator.organisation) || input.mediator.organisation != facts.hospital)", "");
    let at_home = (accepted.clone() + ASSIGN).replace("hospital: 县某医院, outcome", "hospital: 医疗纠纷人民调解委员会, outcome");
    only_the_rule_refuses(&colleague, &at_home, Code::Input);
    let by_hand = with(SHIPPED, &["actions", "seat"], "by: []", "by: [director]");
    let seat = accepted + "\n  - {at: 2026-04-03 14:00, by: director, do: case.seat, input: {seat: lead_mediator, account: $mediator}}";
    only_the_rule_refuses(&by_hand, &seat, Code::Role);
    let consultation = mediating()
        + r#"
  - {at: 2026-04-09 09:00, by: mediator, do: consultation.request, input: {questions: 有无过错？, specialties: 骨科}}
  - {at: 2026-04-09 10:00, by: mediator, do: consultation.select, input: {experts: 某甲, chosen_by: draw}}
  - {at: 2026-04-10 10:00, by: mediator, do: consultation.schedule, input: {at: "2026-04-15T09:00:00+08:00", place: 调解室, recusal_asked: true, no_conflict: false}}"#;
    let blind = with(SHIPPED, &step("consultation", "schedule"), " && input.no_conflict", "");
    only_the_rule_refuses(&blind, &consultation, Code::Input);
    let commission = [&mediating(), APPRAISAL, PREPARED, PAPER_OF_COMMISSION, &not_declared(COMMISSION)].concat();
    let blind = with(SHIPPED, &step("appraisal", "commission"), " && input.no_conflict", "");
    only_the_rule_refuses(&blind, &commission, Code::Input);
}

#[test]
fn inv06_an_appraisal_needs_two_consents_and_an_opinion_four_answers() {
    let one =
        [&mediating(), APPRAISAL, "\n  - {at: 2026-04-09 10:00, by: patient_side, do: appraisal.assent, for: li, input: {answer: give}}"].concat();
    assert_eq!(play(shipped(), &one).state("appraisal"), "proposed");
    let one_is_enough = with(SHIPPED, &at("appraisal", "states", "proposed"), "of: [patient_side, hospital_side]", "of: [patient_side]");
    assert_eq!(play(&load(&one_is_enough), &one).state("appraisal"), "agreed");
    let answers = ["damage", "damage_argument", "fault", "fault_argument", "causation", "causation_argument", "degree_argument"];
    let mut given: Vec<String> = answers.iter().map(|a| format!("{a}: 有。")).collect();
    given.extend(["degree: secondary".to_owned(), "opinion_no: 一号".to_owned()]);
    for missing in answers.iter().chain(&["degree"]) {
        let rest: Vec<&str> = given.iter().filter(|g| !g.starts_with(&format!("{missing}: "))).map(String::as_str).collect();
        let opinion = format!(
            "\n  - {{at: 2026-04-20 13:00, by: mediator, do: case.file, paper: opinion}}\n  - {{at: 2026-04-20 14:00, by: appraiser, do: appraisal.opine, input: {{{}}}}}",
            rest.join(", ")
        );
        let steps = [&mediating(), APPRAISAL, PREPARED, PAPER_OF_COMMISSION, COMMISSION, &opinion].concat();
        let field = [&step("appraisal", "opine")[..], &["input", missing]].concat();
        let twin = with(SHIPPED, &field, &format!("{missing}: {{"), &format!("{missing}: {{optional: true, "));
        only_the_rule_refuses(&twin, &steps, Code::Input);
    }
}

/// The steps of an appraisal by which the clock of mediation stops or goes on under some policy, and that need no paper.
fn without_a_paper(definition: &Definition) -> BTreeSet<String> {
    let guard = definition.kinds["mediation"].deadlines["mediation_limit"].runs_while.as_ref().expect("it pauses");
    let kind = &definition.kinds["appraisal"];
    let mut out = BTreeSet::new();
    for (taken_up, served) in [(false, false), (false, true), (true, false), (true, true)] {
        let flags = [("pause_when_taken_up", taken_up), ("resume_when_served", served)].map(|(n, v)| (n.to_owned(), Value::Bool(v)));
        let policy = Value::Record(flags.into());
        let world = |state: &str| {
            let one = Value::Record([("state".to_owned(), Value::Text(state.to_owned()))].into());
            Value::Record([("appraisal".to_owned(), Value::List(vec![one])), ("policy".to_owned(), policy.clone())].into())
        };
        for transition in kind.transitions.values() {
            let Some(to) = &transition.to else { continue };
            let fires = transition.auto.as_ref().is_none_or(|auto| auto.eval(&world(to)) != Outcome::Known(Value::Bool(false)));
            let turns = transition.from.iter().any(|from| guard.eval(&world(from)) != guard.eval(&world(to)));
            if fires && turns && transition.def.needs.as_ref().is_none_or(|n| n.papers.is_empty()) {
                out.insert(transition.name.clone());
            }
        }
    }
    out
}

#[test]
fn inv07_the_clock_stands_still_for_appraisals_alone_and_each_time_on_a_paper() {
    let heard = mediating() + "\n  - {at: 2026-04-09 10:00, by: director, do: hearing.propose, input: {reason: 疑难, invited: 卫健委}}";
    assert_eq!(play(shipped(), &heard).day("mediation_limit"), "2026-05-20");
    let limit = at("mediation", "deadlines", "mediation_limit");
    let also = with(SHIPPED, &limit, "runs_while: \"!appraisal", "runs_while: \"!hearing.exists(h, h.open) && !appraisal");
    assert_eq!(play(&load(&also), &heard).day("mediation_limit"), "paused");
    let commissioned = [&mediating(), APPRAISAL, PREPARED, PAPER_OF_COMMISSION, COMMISSION].concat();
    assert_eq!(play(shipped(), &commissioned).day("mediation_limit"), "paused");
    let never = without(SHIPPED, &[&limit[..], &["runs_while"]].concat());
    assert_eq!(play(&load(&never), &commissioned).day("mediation_limit"), "2026-05-20");
    assert_eq!(without_a_paper(shipped()), BTreeSet::new(), "these stop or start the clock on nobody's paper");
    for name in ["commission", "take_up", "need_material", "decline", "terminate", "opine", "serve_both", "ask_supplement", "withdraw"] {
        let twin = without(SHIPPED, &[&step("appraisal", name)[..], &["needs"]].concat());
        assert_eq!(without_a_paper(&load(&twin)), BTreeSet::from([name.to_owned()]));
    }
    let twin = without(SHIPPED, &[&step("appraisal", "commission")[..], &["needs"]].concat());
    only_the_rule_refuses(&twin, &[&mediating(), APPRAISAL, PREPARED, COMMISSION].concat(), Code::Paper);
}

#[test]
fn inv08_an_extension_has_three_assents_and_is_granted_in_time() {
    let ask = |at: &str, days: i32| format!("\n  - {{at: {at}, by: mediator, do: extension.ask, input: {{days: {days}, reason: 审批。}}}}");
    let marks = [
        ("patient_side", "by: patient_side, do: extension.assent, for: li, input: {answer: give}}"),
        ("hospital_side", "by: hospital_side, do: extension.assent, input: {answer: give}}"),
        ("director", "by: director, do: extension.assent, input: {answer: give}}"),
    ];
    for (missing, _) in marks {
        let given: String = marks.iter().filter(|(who, _)| *who != missing).map(|(_, m)| format!("\n  - {{at: 2026-05-15 09:00, {m}")).collect();
        let steps = mediating() + &ask("2026-05-14 09:00", 5) + &given;
        assert_eq!(play(shipped(), &steps).state("extension"), "asked");
        let all = "[patient_side, hospital_side, director]";
        let fewer: Vec<&str> = marks.iter().map(|(who, _)| *who).filter(|who| *who != missing).collect();
        let twin = with(SHIPPED, &at("extension", "states", "asked"), all, &format!("[{}]", fewer.join(", ")));
        assert_eq!(play(&load(&twin), &steps).state("extension"), "granted", "without {missing}");
    }
    let backwards = with(SHIPPED, &step("extension", "ask"), "input.days > 0 && ", "");
    only_the_rule_refuses(&backwards, &(mediating() + &ask("2026-05-14 09:00", 0)), Code::Input);
    // The last day is 20 May; on the 21st the clock still waits for paper that was signed in time.
    let late = without(SHIPPED, &[&step("extension", "ask")[..], &["within"]].concat());
    only_the_rule_refuses(&late, &(mediating() + &ask("2026-05-21 09:00", 5)), Code::Deadline);
    let given: String =
        marks.iter().zip(["2026-05-20 10:00", "2026-05-20 11:00", "2026-05-21 09:00"]).map(|((_, m), at)| format!("\n  - {{at: {at}, {m}")).collect();
    let steps = mediating() + &ask("2026-05-20 09:00", 5) + &given;
    assert_eq!(play(shipped(), &steps).state("extension"), "asked");
    let late = without(SHIPPED, &[&step("extension", "grant")[..], &["within"]].concat());
    assert_eq!(play(&load(&late), &steps).state("extension"), "granted");
}
