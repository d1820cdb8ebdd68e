//! The command line: bad input gets a clear answer that names what is wrong and where, and stores nothing; exit status
//! 0 is done, 1 a negative answer, 2 wrong use; with `--json` standard output holds the JSON alone; `--help` shows examples.

use clap::CommandFactory as _;
use heyi_api::cli::Cli;
use heyi_tests::process::{Ran, command, scratch};
use serde_json::{Value as Json, json};
use std::path::{Path, PathBuf};
use std::process::Command;

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

/// Standard output as one JSON document and nothing else.
#[track_caller]
fn json_alone(ran: &Ran) -> Json {
    serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{error}:\n{}", ran.stdout))
}

fn write(path: &Path, text: &str) {
    std::fs::create_dir_all(path.parent().expect("a folder")).expect("scratch can be written");
    std::fs::write(path, text).expect("scratch can be written");
}

/// A command on an installation that must not come into being.
#[track_caller]
fn refused_and_nothing_stored(name: &str, code: i32, with: &dyn Fn(&mut Command) -> &mut Command) -> String {
    let folder = scratch(name).join("data");
    let mut demo = command(["demo", "--data"]);
    with(demo.arg(&folder));
    let ran = Ran::ending(&mut demo).ended(code);
    assert_eq!(ran.stdout, "", "{name}: an answer on standard output");
    assert!(ran.stderr.starts_with("heyi: ") && !ran.stderr.contains("panicked"), "{}", ran.stderr);
    assert!(!folder.join("heyi.db").exists(), "{name}: a database was made");
    ran.stderr
}

/// Line, key, and what the finding must say would be right, for every mistake in `ten-mistakes`.
const TEN: [(u32, &str, &str); 10] = [
    (4, "zone", "Asia/Shanghai"),
    (24, "actions.person.by", "did you mean `caseworker`?"),
    (34, "notices.asked_for_answer.to", "did you mean `neighbour`?"),
    (35, "notices.asked_for_answer.data.place", "did you mean place?"),
    (44, "proceedings.talk.states.received.stage", "did you mean `talk`?"),
    (49, "proceedings.talk.states.asked.work.for", "did you mean `caseworker`?"),
    (56, "proceedings.talk.transitions.receive.to", "did you mean `received`?"),
    (64, "proceedings.talk.transitions.ask.when", "did you mean place?"),
    (72, "proceedings.talk.transitions.promise_quiet.notices", "did you mean `asked_for_answer`?"),
    (85, "proceedings.talk.deadlines.answer.fires", "did you mean `give_up`?"),
];

#[test]
fn ten_mistakes_in_a_workflow_are_ten_findings() {
    let check = |json: bool| {
        let mut check = command(["workflow", "check", "ten-mistakes", "--workflows"]);
        check.arg(data("broken/workflows")).args(json.then_some("--json"));
        Ran::of(&mut check).ended(1)
    };
    let told = check(false);
    let (findings, sum): (Vec<&str>, Vec<&str>) = told.stdout.lines().partition(|line| line.starts_with("ten-mistakes/workflow.yaml:"));
    assert_eq!(sum, ["1 workflow(s), 10 finding(s)"]);
    assert_eq!(findings.len(), TEN.len(), "{findings:#?}");
    for (finding, (line, key, right)) in findings.iter().zip(TEN) {
        let place = finding.strip_prefix("ten-mistakes/workflow.yaml:").expect("just selected");
        let mut parts = place.splitn(3, ':');
        assert_eq!(parts.next().and_then(|n| n.parse().ok()), Some(line), "{finding}");
        let column: Option<u32> = parts.next().and_then(|n| n.parse().ok());
        assert!(column.is_some_and(|c| c > 0), "{finding}: no column");
        let rest = parts.next().unwrap_or_default().trim_start();
        assert!(rest.starts_with(key), "{finding}: the key is {key}");
        assert!(rest.contains(right), "{finding}: it should say what would be right: {right}");
    }
    let told: Json = json_alone(&check(true));
    assert_eq!(told, json!({"workflows": ["ten-mistakes"], "findings": findings}));
    // It is not served either, and everything is said at once there too.
    let said = refused_and_nothing_stored("ten-mistakes", 1, &|c| c.env("HEYI_WORKFLOWS", data("broken/workflows")).env_remove("HEYI_TEMPLATES"));
    assert_eq!(said.lines().filter(|l| l.contains("ten-mistakes/workflow.yaml:")).count(), 10, "{said}");
}

#[test]
fn what_is_no_workflow_at_all_is_said() {
    for (name, text, says) in [
        ("empty", "", ""),
        ("a-list", "- 1\n- 2\n", ":1:1: "),
        ("no-yaml", "workflow: [\n", ":1:11: "),
        ("a-tab", "workflow: x\n\ttitle: y\n", ":1:11: "),
        ("other-name", "workflow: another\n", ""),
    ] {
        let folder = scratch(&format!("no-workflow-{name}"));
        write(&folder.join(name).join("workflow.yaml"), text);
        let ran = Ran::of(command(["workflow", "check", name, "--workflows"]).arg(&folder));
        let said = format!("{}{}", ran.stdout, ran.stderr);
        // An empty file is as good as none: then there is no workflow of this name.
        assert!(matches!(ran.code, Some(1 | 2)), "{name}: {said}");
        assert!(said.contains(name) && said.contains(says), "{name}: {said}");
        assert!(!said.contains("panicked"), "{name}: {said}");
    }
    let missing = Ran::heyi(["workflow", "check", "--workflows", "/no/such/folder"]).ended(2);
    assert!(missing.stderr.contains("/no/such/folder"), "{}", missing.stderr);
    let near = Ran::heyi(["workflow", "check", "medical-disput"]).ended(2);
    assert!(near.stderr.contains("did you mean `medical-dispute`?"), "{}", near.stderr);
}

#[test]
fn a_broken_template_is_told_before_anything_is_made() {
    let folder = scratch("broken-templates");
    let acceptance = folder.join("mail/acceptance/zh-CN");
    write(&acceptance.join("subject.txt.hbs"), "{{> subject title=\"受理\"}}{{nummer}}\n");
    write(&acceptance.join("body.txt.hbs"), "{{#> layout}}\n{{#if data.number}}\n编号\n{{/layout}}\n");
    write(&folder.join("mail/session_result/zh-CN/body.txt.hbs"), "{{#> layout}}\n{{data.nexst_step}}\n{{/layout}}\n");
    let said = refused_and_nothing_stored("template", 1, &|c| c.env("HEYI_TEMPLATES", &folder));
    let line = |start: &str| {
        said.lines().find(|l| l.trim_start_matches("heyi: ").starts_with(start)).unwrap_or_else(|| panic!("{start} is not told:\n{said}")).to_owned()
    };
    assert!(line("mail/acceptance/zh-CN/subject.txt.hbs:1: ").contains("nummer"), "{said}");
    assert!(line("mail/acceptance/zh-CN/body.txt.hbs:").contains("close every"), "{said}");
    let third = line("mail/session_result/zh-CN/body.txt.hbs:2: ");
    assert!(third.contains("nexst_step") && third.contains("next_step"), "the name that would be right is not told: {third}");
    let said = refused_and_nothing_stored("no-templates", 1, &|c| c.env("HEYI_TEMPLATES", "/no/such/folder"));
    assert!(said.contains("own templates"), "{said}");
}

#[test]
fn a_broken_calendar_is_told_with_line_and_key() {
    let shipped =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../workflows/calendars/china.yaml")).expect("the calendar is shipped");
    let line = |text: &str| shipped.lines().position(|l| l.contains(text)).map(|n| n + 1).expect("the line is there");
    let at = [line("spring_festival: 2026-02-15.."), line("qingming: 2026-04-04..")];
    let broken =
        shipped.replace("spring_festival: 2026-02-15..", "spring_festival: 2026-02-31..").replace("qingming: 2026-04-04..", "qingmin: 2026-04-04..");
    let folder = scratch("broken-calendar");
    write(&folder.join("calendars/china.yaml"), &broken);
    let deadline = Ran::of(command(["calendar", "deadline", "--from", "2026-02-13", "--working-days", "30", "--workflows"]).arg(&folder)).ended(2);
    assert_eq!(deadline.stdout, "");
    for (line, what) in [(at[0], "2026-02-31"), (at[1], "qingmin")] {
        let found = deadline.stderr.lines().find(|l| l.contains(what)).unwrap_or_else(|| panic!("{what} is not told: {}", deadline.stderr));
        assert!(found.contains("calendars/china.yaml") && found.contains(&line.to_string()) && found.contains("years.2026.days_off"), "{found}");
    }
    let said = refused_and_nothing_stored("calendar", 1, &|c| c.env("HEYI_WORKFLOWS", &folder));
    assert!(said.contains("2026-02-31"), "{said}");
}

#[test]
fn settings_that_cannot_be_used_are_named() {
    let folder = scratch("settings");
    let with = |name: &str, text: &str| {
        let path = folder.join(name);
        write(&path, text);
        Ran::of(command(["config", "--config"]).arg(&path)).ended(2).stderr
    };
    let said = with("unknown.toml", "listn = \"127.0.0.1:1\"\n");
    assert!(said.contains("listn") && said.contains("`listen`") && said.contains("unknown.toml"), "{said}");
    let said = with("wrong.toml", "listen = \"everywhere\"\n");
    assert!(said.contains("listen") && said.contains("wrong.toml"), "{said}");
    let said = with("no-toml.toml", "listen =\n");
    assert!(said.contains("line 1") && said.contains("no-toml.toml"), "{said}");
    let said = with("deep.toml", "[committee]\nfone = \"1\"\n");
    assert!(said.contains("fone"), "{said}");

    let env = |name: &str, value: &str, code: i32| Ran::of(command(["config"]).env(name, value)).ended(code);
    let said = env("HEYI_LISTEN", "everywhere", 2).stderr;
    assert!(said.contains("LISTEN") && said.contains("environment"), "{said}");
    let said = env("HEYI_CONFIG", "/no/such/heyi.toml", 2).stderr;
    assert!(said.contains("/no/such/heyi.toml"), "{said}");
    // A password is not repeated, neither when it is used nor when its setting cannot be.
    let shown = env("HEYI_SMTP_URL", "smtp+starttls://me:hush@mail.example", 0).stdout;
    assert!(shown.contains("mail.example") && !shown.contains("hush"), "{shown}");
    let said = refused_and_nothing_stored("smtp", 1, &|c| c.env("HEYI_SMTP_URL", "http://me:hush@mail.example"));
    assert!(said.contains("smtp_url") && said.contains("smtp+starttls://") && !said.contains("hush"), "{said}");
    let policy = folder.join("policy.toml");
    write(&policy, "[policy.medical-dispute]\nmediation_limt = \"20 working days\"\n");
    let said = refused_and_nothing_stored("policy", 1, &|c| c.arg("--config").arg(&policy));
    assert!(said.contains("mediation_limt"), "{said}");
}

#[test]
fn wrong_use_is_status_2_with_a_line_that_helps() {
    for (args, says) in [
        (&["bogus"][..], "bogus"),
        (&["demmo"], "demo"),
        (&["workflow", "graf"], "graf"),
        (&["config", "--bogus"], "--bogus"),
        (&["demo", "--language", "fr"], "zh-CN"),
        (&["verify"], "<BUNDLE>"),
        (&["verify", "/no/such/package.zip"], "/no/such/package.zip"),
        (&["calendar", "deadline", "--from", "2026-02-30", "--working-days", "1"], "2026-02-30"),
        (&["calendar", "deadline", "--from", "2026-02-13"], "--working-days"),
        (&["calendar", "deadline", "--from", "2026-02-13", "--working-days", "1", "--calendar-days", "1"], "cannot be used with"),
        (&["calendar", "deadline", "--from", "2026-02-13", "--working-days", "0"], "1 to 36500"),
        (&["calendar", "deadline", "--from", "2026-02-13", "--working-days", "1", "--calendar", "mars"], "mars"),
        (&["user", "add", "--role", "mediator"], "--name"),
        (&["serve", "--listen", "everywhere"], "everywhere"),
    ] {
        let ran = Ran::ending(&mut command(args)).ended(2);
        assert!(ran.stderr.contains(says), "{args:?}: `{says}` is not said: {}", ran.stderr);
        assert_eq!(ran.stdout, "", "{args:?}");
    }
    // Nothing at all shows what there is.
    let nothing = Ran::heyi([""; 0]).ended(2);
    assert!(nothing.stderr.contains("Usage") && nothing.stderr.contains("Examples"), "{}", nothing.stderr);
    let folder = scratch("user");
    let role = Ran::of(command(["user", "add", "--role", "medator", "--name", "陈安", "--data"]).arg(&folder)).ended(2);
    assert!(role.stderr.contains("did you mean `mediator`?"), "{}", role.stderr);
    let language = Ran::of(command(["user", "add", "--role", "mediator", "--name", "陈安", "--language", "fr", "--data"]).arg(&folder)).ended(2);
    assert!(language.stderr.contains("zh-CN"), "{}", language.stderr);
}

#[test]
fn a_deadline_says_its_last_day_and_why() {
    let deadline = |args: &[&str]| Ran::of(command(["calendar", "deadline"]).args(args));
    let json = |args: &[&str]| json_alone(&deadline(&[args, &["--json"]].concat()).ended(0));
    // domain.md §7.4: thirty working days over the Spring Festival, with the Saturday and the weekend worked in exchange.
    let spring = json(&["--from", "2026-02-13", "--working-days", "30"]);
    assert_eq!((&spring["deadline"], &spring["provisional"]), (&json!("2026-04-02"), &json!(false)));
    assert_eq!(spring["make_up"], json!(["2026-02-14", "2026-02-28"]));
    let skipped: Vec<(&str, &str)> =
        spring["skipped"].as_array().expect("a list").iter().filter_map(|s| Some((s["date"].as_str()?, s["reason"].as_str()?))).collect();
    assert!(
        skipped.contains(&("2026-02-16", "spring_festival"))
            && skipped.contains(&("2026-03-07", "weekend"))
            && !skipped.iter().any(|(d, _)| *d == "2026-02-14"),
        "{skipped:?}"
    );
    let rolled = json(&["--from", "2026-01-20", "--calendar-days", "30", "--roll"]);
    assert_eq!(rolled["deadline"], "2026-02-24", "the thirtieth day lies in the Spring Festival");
    let provisional = json(&["--from", "2026-11-20", "--working-days", "30"]);
    assert_eq!((&provisional["provisional"], &provisional["calendar"]["published_until"]), (&json!(true), &json!("2026-12-31")));

    let told = deadline(&["--from", "2026-02-13", "--working-days", "30"]).ended(0).stdout;
    assert!(
        told.starts_with("2026-04-02 ")
            && told.contains("2026-02-16 Mon  not counted: 春节")
            && told.contains("2026-02-14 Sat  counted")
            && told.contains("调休"),
        "{told}"
    );
    let told = deadline(&["--from", "2026-11-20", "--working-days", "30"]).ended(0).stdout;
    assert!(told.contains("Provisional") && told.contains("2026-12-31"), "{told}");
    for json in [false, true] {
        let mut early = command(["calendar", "deadline", "--from", "2023-12-01", "--working-days", "30"]);
        let refused = Ran::of(early.args(json.then_some("--json"))).ended(1);
        assert!(refused.stderr.contains("2024-01-01") && refused.stdout.is_empty(), "not guessed, and the first covered day is named: {refused:?}");
    }
}

#[test]
fn verify_answers_garbage_with_no() {
    let folder = scratch("garbage");
    let samples: [(&str, &[u8]); 5] = [
        ("empty.zip", b""),
        ("text.zip", b"no package"),
        ("half.zip", b"PK\x03\x04"),
        ("end.zip", b"PK\x05\x06\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"),
        ("zeros.zip", &[0; 4096]),
    ];
    for (name, bytes) in samples {
        let path = folder.join(name);
        std::fs::write(&path, bytes).expect("scratch can be written");
        let told = Ran::of(command(["verify"]).arg(&path)).ended(1);
        assert!(told.stdout.contains("NOT as it was signed."), "{name}: {}", told.stdout);
        let told = json_alone(&Ran::of(command(["verify", "--json"]).arg(&path)).ended(1));
        assert_eq!((&told["ok"], told["findings"].as_array().is_some_and(|f| !f.is_empty())), (&json!(false), true), "{name}");
    }
    let _ = Ran::of(command(["verify"]).arg(&folder)).ended(2);
    let path = folder.join("text.zip");
    let key = Ran::of(command(["verify"]).arg(&path).arg("--key").arg(&path)).ended(2);
    assert!(key.stderr.contains("PEM"), "{}", key.stderr);
}

#[test]
fn with_json_standard_output_holds_the_json_alone() {
    let folder = scratch("json");
    let config = json_alone(&Ran::of(command(["config", "--json", "--data"]).arg(&folder)).ended(0));
    assert!(config.to_string().contains("mail_from"), "{config}");
    let added = json_alone(&Ran::of(command(["user", "add", "--json", "--role", "mediator", "--name", "陈安", "--data"]).arg(&folder)).ended(0));
    assert_eq!((&added["role"], added["token"].as_str().is_some_and(|t| t.len() >= 32)), (&json!("mediator"), true));
    let checked = json_alone(&Ran::heyi(["workflow", "check", "--json"]).ended(0));
    assert_eq!(checked["findings"], json!([]));
    assert!(checked["workflows"].as_array().is_some_and(|all| all.contains(&json!("medical-dispute")) && all.len() >= 5), "{checked}");
    let tested = json_alone(&Ran::heyi(["workflow", "test", "--json"]).ended(0));
    assert_eq!(tested["failed"], 0, "{tested}");
    assert!(tested["scenarios"].as_array().is_some_and(|s| s.len() >= 6), "{tested}");
    let schema = json_alone(&Ran::heyi(["workflow", "schema"]).ended(0));
    assert!(schema["$schema"].is_string(), "it says which JSON Schema it is");
    // A log, however loud, goes elsewhere.
    let loud = Ran::of(command(["config", "--json"]).env("HEYI_LOG", "trace").env("RUST_LOG", "trace")).ended(0);
    let _ = json_alone(&loud);
}

#[test]
fn a_workflow_is_drawn_on_paper_and_into_files() {
    let drawn = Ran::heyi(["workflow", "graph", "medical-dispute", "--kind", "mediation", "--language", "zh-CN"]).ended(0);
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/mediation.svg");
    assert!(drawn.stdout == std::fs::read_to_string(kept).expect("it is committed"), "docs/mediation.svg is what the command draws");
    let dot = Ran::heyi(["workflow", "graph", "medical-dispute", "--format", "dot", "--language", "en"]).ended(0);
    assert!(dot.stdout.starts_with("digraph") && dot.stdout.contains("Mediation"), "{}", dot.stdout);
    let folder = scratch("graph");
    let listed = Ran::of(command(["workflow", "graph", "medical-dispute", "--format", "mermaid", "--out"]).arg(&folder)).ended(0);
    let files: Vec<&str> = listed.stdout.lines().collect();
    assert!(files.len() > 2 && files.last().is_some_and(|f| f.ends_with("whole.mmd")), "{files:?}");
    for file in files {
        assert!(std::fs::read_to_string(file).is_ok_and(|text| text.starts_with("flowchart")), "{file}");
    }
    let wrong = Ran::heyi(["workflow", "graph", "medical-dispute", "--kind", "meditation"]).ended(2);
    assert!(wrong.stderr.contains("did you mean `mediation`?"), "{}", wrong.stderr);
}

#[test]
fn a_failed_scenario_is_status_1_and_named() {
    let folder = scratch("failing");
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../workflows/medical-dispute/scenarios/withdrawn.yaml");
    let text = std::fs::read_to_string(shipped).expect("the scenario is shipped");
    let deadline = "mediation_limit: 2026-07-15";
    assert!(text.contains(deadline));
    write(&folder.join("medical-dispute/scenarios/withdrawn.yaml"), &text.replace(deadline, "mediation_limit: 2026-07-14"));
    let ran = Ran::of(command(["workflow", "test", "medical-dispute", "--workflows"]).arg(&folder)).ended(1);
    let failed: Vec<&str> = ran.stdout.lines().filter(|l| l.starts_with("FAILED")).collect();
    assert_eq!(failed, ["FAILED medical-dispute/withdrawn"]);
    assert!(ran.stdout.contains("the deadline mediation_limit is 2026-07-15, expected 2026-07-14"), "{}", ran.stdout);
}

/// Every subcommand that does something, as one would type it.
fn leaves(command: &clap::Command, path: &mut Vec<String>, out: &mut Vec<(Vec<String>, bool)>) {
    let mut inner = command.get_subcommands().filter(|c| c.get_name() != "help").peekable();
    if inner.peek().is_none() {
        let takes = command.get_arguments().any(|a| !["help", "version"].contains(&a.get_id().as_str()));
        out.push((path.clone(), takes));
    }
    for one in inner {
        path.push(one.get_name().to_owned());
        leaves(one, path, out);
        path.pop();
    }
}

#[test]
fn help_shows_an_example_wherever_there_are_arguments() {
    let mut all = Vec::new();
    leaves(&Cli::command(), &mut Vec::new(), &mut all);
    assert!(all.len() >= 8, "{all:?}");
    for (path, takes) in &all {
        let help = Ran::heyi(path.iter().map(String::as_str).chain(["--help"])).ended(0);
        assert!(help.stdout.contains("Usage: heyi "), "{path:?}: {}", help.stdout);
        let example = help.stdout.split("Example").nth(1).unwrap_or_default();
        assert!(!takes || example.contains(&format!("  heyi {}", path.join(" "))), "{path:?}: no example of its own:\n{}", help.stdout);
    }
    let top = Ran::heyi(["--help"]).ended(0).stdout;
    assert!(top.contains("Examples:\n  heyi demo\n"), "{top}");
    assert!(Ran::heyi(["--version"]).ended(0).stdout.starts_with("heyi "));
    let completions = Ran::heyi(["completions", "bash"]).ended(0).stdout;
    assert!(completions.contains("_heyi"), "{completions}");
}

#[test]
fn a_record_is_written_compared_and_counted() {
    let engine = Path::new(env!("CARGO_MANIFEST_DIR")).join("../engine/tests/data");
    let read = |name: &str| std::fs::read_to_string(engine.join(name)).expect("the tiny workflow is there");
    let folder = scratch("records");
    write(&folder.join("tiny/workflow.yaml"), &read("broken/good.yaml"));
    write(&folder.join("tiny/scenarios/reply-in-time.yaml"), &read("tiny/reply-in-time.yaml"));
    let test = |more: &[&str]| Ran::of(command(["workflow", "test", "tiny", "--workflows"]).arg(&folder).args(more));
    let nowhere = Ran::heyi(["workflow", "test", "--record"]).ended(2);
    assert!(nowhere.stderr.contains("--workflows DIR"), "{}", nowhere.stderr);
    // Nothing to compare with as yet; then exactly what the engine's own test has.
    let _ = test(&[]).ended(0);
    let written = test(&["--record"]).ended(0);
    assert!(written.stdout.contains("1 record(s) written"), "{}", written.stdout);
    let record = folder.join("tiny/records/reply-in-time.txt");
    assert_eq!(std::fs::read_to_string(&record).expect("a record"), read("tiny/reply-in-time.txt"));
    let _ = test(&[]).ended(0);
    let told = json_alone(&test(&["--coverage", "--json"]).ended(0));
    let covered = &told["coverage"][0];
    assert_eq!(
        (&covered["workflow"], &covered["transitions"]["percent"], &covered["transitions"]["all"]),
        (&json!("tiny"), &json!("69.2"), &json!(13))
    );
    assert_eq!(covered["exits"]["missing"], json!(["matter.done"]));
    assert_eq!(covered["alike"], json!([]));
    let told = test(&["--coverage"]).ended(0);
    assert!(told.stdout.contains("not taken: matter.hang"), "{}", told.stdout);
    // Who may drop the matter is in no expectation; the record knows.
    let changed =
        read("broken/good.yaml").replace("drop: {from: running, to: dropped, by: [clerk, asker]", "drop: {from: running, to: dropped, by: [clerk]");
    write(&folder.join("tiny/workflow.yaml"), &changed);
    let differs = test(&[]).ended(1);
    assert!(differs.stdout.contains("FAILED tiny/reply-in-time\n") && differs.stdout.contains("of the record says `"), "{}", differs.stdout);
    write(&folder.join("tiny/records/gone.txt"), "1 | nothing\n");
    assert!(test(&[]).ended(1).stdout.contains("a record of no scenario"));
}

#[test]
fn an_account_has_a_name_of_one_line() {
    for (flag, value) in [("--name", "王某\r\nBcc: everybody@example.org"), ("--organisation", "a\nb"), ("--email", "a@b.example\r"), ("--name", " ")]
    {
        let mut add = command(["user", "add", "--role", "mediator", "--data"]);
        add.arg(scratch("one-line").join("data"));
        if flag != "--name" {
            add.args(["--name", "王某"]);
        }
        let ran = Ran::ending(add.args([flag, value])).ended(2);
        assert!(ran.stderr.contains("one line") && !ran.stderr.contains("everybody"), "{}", ran.stderr);
    }
}

#[test]
fn the_doctor_answers_in_the_language_of_the_terminal_and_by_its_exit_status() {
    let folder = scratch("doctor").join("data");
    let doctor = |args: &[&str]| Ran::ending(command(["doctor", "--data"]).arg(&folder).args(args));
    assert!(doctor(&[]).ended(2).stderr.contains("no such folder"));
    std::fs::create_dir_all(&folder).expect("scratch can be written");
    // Nothing is there yet, so there is no database and no key; and nothing is made.
    let told = doctor(&[]).ended(1);
    assert!(told.stdout.contains("有误  数据库") && told.stdout.contains("有误  密钥") && !told.stdout.contains("WRONG"), "{}", told.stdout);
    let told = doctor(&["--language", "en"]).ended(1);
    assert!(told.stdout.contains("WRONG  database") && told.stdout.contains("[--data]") && !told.stdout.contains("有误"), "{}", told.stdout);
    let told = json_alone(&doctor(&["--json"]).ended(1));
    assert!(told["ok"] == json!(false) && told["findings"].as_array().is_some_and(|f| f.len() > 5), "{told}");
    assert_eq!(std::fs::read_dir(&folder).expect("a folder").count(), 0);
}
