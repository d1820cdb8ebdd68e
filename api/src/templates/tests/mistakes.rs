//! Each kind of mistake, planted and found in one load.

use super::*;

const GOOD_HTML: &str = "{{#> layout}}<p>{{reference}}</p>{{/layout}}";

#[test]
fn every_planted_mistake_is_found_in_one_load() {
    let folder = Folder::new("planted");
    let zh = "<html lang=\"zh-CN\">";
    folder
        .notice("one/zh-CN", &"长".repeat(79), "行一\n{{#if data.numbr}}有{{/if}}\n{{#if (eq data.level \"majr\")}}有{{/if}}\n", &format!("{zh}{{{{{{data.number}}}}}}"))
        .notice("one/en", "ok {{data.number}}", "{{date data.number}}\n{{data.on}}\n{{#if (and data.on recipient.nam)}}x{{/if}}\n{{> opening tite=data.nmber}}", "{{> nonesuch}}")
        .notice("two/zh-CN", "好\n行", "{{> round}}", &format!("{zh}<a href=\"{{{{reference}}}}\">x</a>"))
        // two/en is missing altogether.
        .put("_shared/zh-CN/round.txt.hbs", "{{> trip}}")
        .put("_shared/zh-CN/trip.txt.hbs", "甲\n{{> round}}")
        .notice("three/zh-CN", "好", "{{#if data.maybe}}{{date data.maybe}}{{else}}{{date data.maybe}}{{/if}}\n{{#each data.list}}{{reference}}{{/each}}", &format!("{zh}{{{{#if reference}}}}"))
        .notice("three/en", "ok", "{{choice data.level minor=\"m\" majr=\"M\"}}{{money data.sum}}{{data.sum}}{{shout reference}}{{> @partial-block}}\n{{#each data.list}}{{#each data.list}}x{{/each}}{{/each}}", "no language here")
        .put("acceptence/zh-CN/body.txt.hbs", "x")
        .put("one/zh-TW/body.txt.hbs", "x")
        .put("one/en/body.text.hbs", "x")
        .put("_shared/en/opening", "x");
    let choice = "level: minor major";
    let mut three = shape("three", &format!("{choice}; maybe: date; sum: money; list: list"));
    three.fields[1].optional = true;
    let shapes = [
        shape("acceptance", "number: text; accepted_on: date; finish_by: date; materials_by: date"),
        shape("one", &format!("number: text; on: date; {choice}")),
        shape("two", ""),
        three,
    ];
    let found = load(&shapes, Some(&folder.0)).err().expect("mistakes");
    for expected in [
        "mail/one/zh-CN/subject.txt.hbs: with the full sample: the subject has 79 characters of at most 78",
        "mail/one/zh-CN/body.txt.hbs:2: unknown name data.numbr; did you mean data.number?",
        "mail/one/zh-CN/body.txt.hbs:3: data.level is never majr; did you mean major?",
        "mail/one/zh-CN/body.html.hbs:1: {{{…}}} or {{&…}} prints a value unescaped; write {{…}}",
        "mail/one/en/subject.txt.hbs:1: data.number in a subject; a subject names nothing but reference and correction_of",
        "mail/one/en/body.txt.hbs:1: date does not suit data.number, which is text; write {{data.number}}",
        "mail/one/en/body.txt.hbs:2: data.on is not text; write {{date data.on}}",
        "mail/one/en/body.txt.hbs:3: unknown name recipient.nam; did you mean recipient.name?",
        "mail/one/en/body.txt.hbs:4: unknown name data.nmber; did you mean data.number?",
        "mail/one/en/body.html.hbs:1: there is no partial nonesuch; known are ",
        "mail/two/zh-CN/subject.txt.hbs: with the full sample: the subject has a line break",
        "mail/two/zh-CN/body.html.hbs:1: a {{…}} stands inside an HTML tag",
        "mail/two/zh-CN/body.html.hbs:1: href= makes a mail load, link or run something",
        "mail/two/en/subject.txt.hbs: notice two has no subject.txt in en; write this file",
        "mail/two/en/body.txt.hbs: notice two has no body.txt in en",
        "mail/two/en/body.html.hbs: notice two has no body.html in en",
        "mail/_shared/zh-CN/round.txt.hbs:1: partials include each other without end: round → trip → round",
        "mail/three/zh-CN/body.txt.hbs:1: data.maybe may be absent; put it inside {{#if data.maybe}}",
        "mail/three/zh-CN/body.txt.hbs:2: reference inside {{#each}}; only this",
        "mail/three/zh-CN/body.html.hbs:1: it cannot be read: ",
        "mail/three/en/body.txt.hbs:1: choice has no words for major; add major=",
        "mail/three/en/body.txt.hbs:1: majr is no choice here; did you mean major?",
        "mail/three/en/body.txt.hbs:1: data.sum is not text; write {{money data.sum}}",
        "mail/three/en/body.txt.hbs:1: there is no helper shout",
        "mail/three/en/body.txt.hbs:1: there is no block to put here",
        "mail/three/en/body.txt.hbs:2: a list inside a list",
        "mail/three/en/body.html.hbs: with the full sample: no lang=\"en\"",
        "mail/acceptence/zh-CN/body.txt.hbs: there is no notice acceptence; did you mean acceptance?",
        "mail/one/zh-TW/body.txt.hbs: language zh-TW is not in use; did you mean zh-CN?",
        "mail/one/en/body.text.hbs: body.text.hbs is no file of a notice; did you mean body.txt.hbs?",
        "mail/_shared/en/opening: opening is no file of a notice",
    ] {
        assert!(found.contains(expected), "not found: {expected}\n\n{found}");
    }
    let of_acceptance = found.lines().filter(|l| l.contains("/acceptance/")).count();
    assert_eq!(of_acceptance, 0, "a sound notice is named: {found}");
}

#[test]
fn what_would_end_the_process_is_refused_before_it_is_parsed() {
    let deep = |open: &str, close: &str, n: usize| format!("{}x{}", open.repeat(n), close.repeat(n));
    for (name, text, problem) in [
        ("blocks", deep("{{#if reference}}", "{{/if}}", 10_000), "blocks nest deeper than 32"),
        ("spaced", deep("{{ ~ # if reference}}", "{{/if}}", 5_000), "blocks nest deeper than 32"),
        ("chain", format!("{{{{#if reference}}}}{}{{{{/if}}}}", "{{else if reference}}x".repeat(9_000)), "blocks nest deeper than 32"),
        ("hidden", deep("{{#if reference}}{{!-- {{/if}} --}}", "{{/if}}", 5_000), "blocks nest deeper than 32"),
        ("quoted", deep("{{#if (eq reference \"{{/if}}\")}}", "{{/if}}", 5_000), "blocks nest deeper than 32"),
        ("escaped", deep("{{#if reference}}\\{{/if}}", "{{/if}}", 5_000), "blocks nest deeper than 32"),
        ("brackets", format!("{{{{#if {}}}}}x{{{{/if}}}}", deep("(not ", ")", 20_000)), "too many brackets"),
        ("arrays", format!("{{{{#if {}}}}}x{{{{/if}}}}", deep("[", "]", 20_000)), "[…] inside"),
        ("large", "x".repeat(MAX_TEMPLATE_BYTES + 1), "larger than 256 KB"),
        ("raw", "{{{{raw}}}}{{/if}}{{{{/raw}}}}".into(), "a raw block"),
        ("inline", "{{#*inline \"layout\"}}x{{/inline}}".into(), "defines a partial on the fly"),
        ("unclosed", "a {{reference".into(), "{{ without }}"),
    ] {
        let folder = Folder::new(name);
        folder.notice("one/en", "ok", &text, GOOD_HTML);
        let found = told(Templates::load(&[shape("one", "")], &["en"], Some(&folder.0)).err().expect("refused"));
        assert!(found.contains("mail/one/en/body.txt.hbs") && found.contains(problem), "{name}: {found}");
        assert!(found.len() < 2_000, "{name} tells too much");
    }
}

#[test]
fn partials_that_multiply_are_refused() {
    let folder = Folder::new("bomb");
    folder.notice("one/en", "ok", "{{> b0}}", GOOD_HTML);
    for i in 0..25 {
        let next = format!("{{{{> b{}}}}}", i + 1);
        folder.put(&format!("_shared/en/b{i}.txt.hbs"), &next.repeat(2));
    }
    folder.put("_shared/en/b25.txt.hbs", "x");
    let found = told(Templates::load(&[shape("one", "")], &["en"], Some(&folder.0)).err().expect("refused"));
    assert!(found.contains("comes to more than 20000 pieces"), "{found}");
}
