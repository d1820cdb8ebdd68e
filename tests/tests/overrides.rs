//! A folder of one's own laid over the shipped files, without a rebuild: a changed date in a scenario, and a workflow of
//! another field with its own letter.

use heyi_api::config::Config;
use heyi_api::state::{App, Mode};
use heyi_engine::case::event::{Event, What};
use heyi_engine::ids::CaseId;
use heyi_engine::store::rows::opening;
use heyi_tests::process::{Ran, Serving, command, files, scratch};
use mail_parser::MessageParser;
use sea_orm::{ColumnTrait as _, EntityTrait as _, QueryFilter as _};
use serde_json::{Value as Json, json};
use std::path::{Path, PathBuf};

/// The scenario whose date is changed, and the step: the patient side's withdrawal.
const SCENARIO: &str = "withdrawn";

/// What a demo left: the letters' recipients and texts, and the register of the scenario's case.
struct Played {
    letters: Vec<(String, String)>,
    events: Vec<Event>,
}

/// The texts of the letters in a folder, without the references that each play makes anew.
fn letters(folder: &Path) -> Vec<(String, String)> {
    let read = |path: &PathBuf| {
        let bytes = std::fs::read(path).expect("a letter can be read");
        let mail = MessageParser::default().parse(&bytes).expect("a mail");
        let to = mail.to().and_then(|to| to.first()).and_then(|a| a.address()).expect("a recipient").to_owned();
        let text = mail.body_text(0).expect("a text").lines().filter(|line| !line.contains("HY-")).collect::<Vec<_>>().join("\n");
        (to, text)
    };
    let mut all: Vec<(String, String)> = files(&folder.join("mail"), "eml").iter().map(read).collect();
    all.sort();
    all
}

fn played(name: &str, workflows: Option<&Path>) -> Played {
    let folder = scratch(name);
    let mut demo = command(["demo", "--quiet", "--data"]);
    demo.arg(&folder);
    if let Some(workflows) = workflows {
        demo.env("HEYI_WORKFLOWS", workflows);
    }
    let _ = Ran::of(&mut demo).ended(0);
    let events = async {
        let app = App::open(Config { data_dir: folder.clone(), ..Config::default() }, Mode::Sandbox).await.expect("the folder opens");
        let key = format!("demo:{SCENARIO}:1");
        let row = opening::Entity::find()
            .filter(opening::Column::Key.eq(key))
            .one(app.engine.store().db())
            .await
            .expect("the database answers")
            .expect("the scenario was played");
        let case: CaseId = row.case_id.parse().expect("a case id");
        app.engine.store().events(case, 0, 1_000).await.expect("the register can be read").into_iter().map(|(event, _)| event).collect()
    };
    let events = tokio::runtime::Builder::new_multi_thread().enable_all().build().expect("a runtime").block_on(events);
    Played { letters: letters(&folder), events }
}

/// The day on which a transition counts in law.
fn legal_day(events: &[Event], transition: &str) -> String {
    let event =
        events.iter().find(|e| matches!(&e.what, What::Moved(m) if m.transition == transition)).unwrap_or_else(|| panic!("nobody took {transition}"));
    event.legal_at.date().to_string()
}

#[test]
fn a_date_changed_in_a_scenario_changes_letters_and_register() {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../workflows/medical-dispute/scenarios/{SCENARIO}.yaml"));
    let text = std::fs::read_to_string(shipped).expect("the scenario is shipped");
    let (old, new) = ("at: 2026-06-09 14:10", "at: 2026-06-10 14:10");
    assert_eq!(text.matches(old).count(), 1, "one date is changed");
    let mine = scratch("mine");
    std::fs::create_dir_all(mine.join("medical-dispute/scenarios")).expect("scratch can be written");
    std::fs::write(mine.join(format!("medical-dispute/scenarios/{SCENARIO}.yaml")), text.replace(old, new)).expect("scratch can be written");

    let (before, after) = (played("as-shipped", None), played("as-changed", Some(&mine)));
    assert_eq!((legal_day(&before.events, "withdraw"), legal_day(&after.events, "withdraw")), ("2026-06-09".to_owned(), "2026-06-10".to_owned()));
    assert_eq!(before.events.len(), after.events.len());
    assert_eq!(legal_day(&before.events, "accept"), legal_day(&after.events, "accept"), "what came before stays");

    assert_eq!(before.letters.len(), after.letters.len());
    let only = |a: &Played, b: &Played| a.letters.iter().filter(|l| !b.letters.contains(l)).cloned().collect::<Vec<_>>();
    let (gone, come) = (only(&before, &after), only(&after, &before));
    // The letters about the withdrawal carry the day; no other letter of any scenario is another one.
    assert!(!gone.is_empty() && gone.len() == come.len(), "{} letters gone, {} come", gone.len(), come.len());
    for ((to, was), (to_now, is)) in gone.iter().zip(&come) {
        assert_eq!(to, to_now);
        assert!(was.contains("2026年6月9日") && !was.contains("2026年6月10日"), "{was}");
        assert_eq!(is, &was.replace("2026年6月9日（星期二）", "2026年6月10日（星期三）"), "only the day differs");
    }
    assert!(gone.iter().any(|(to, _)| to == "zheng@family.example"));
}

/// The folders of a committee that mediates between neighbours.
fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/overrides").join(name)
}

const NEIGHBOURS: &str = "neighbourhood-noise";

#[test]
fn a_workflow_of_another_field_is_checked_and_played() {
    let run = |what: &str| {
        let mut run = command(["workflow", what, "--json", "--workflows"]);
        Ran::of(run.arg(data("workflows")).env("HEYI_TEMPLATES", data("templates"))).ended(0)
    };
    // Its letters are its own, and without them it is not sound.
    let wordless = Ran::of(command(["workflow", "check", NEIGHBOURS, "--workflows"]).arg(data("workflows")).env_remove("HEYI_TEMPLATES")).ended(1);
    assert!(wordless.stdout.contains("templates/mail/"), "{}", wordless.stdout);
    let checked: Json = serde_json::from_str(&run("check").stdout).expect("JSON alone");
    assert_eq!(checked["findings"], json!([]));
    let known = checked["workflows"].as_array().expect("a list");
    assert!(["medical-dispute", NEIGHBOURS].iter().all(|name| known.contains(&json!(name))), "it joins the shipped ones: {known:?}");
    let tested: Json =
        serde_json::from_str(&Ran::of(command(["workflow", "test", NEIGHBOURS, "--json", "--workflows"]).arg(data("workflows"))).ended(0).stdout)
            .expect("JSON alone");
    assert_eq!(tested["failed"], 0);
    let names: Vec<&str> = tested["scenarios"].as_array().expect("a list").iter().filter_map(|s| s["scenario"].as_str()).collect();
    assert_eq!(names, ["promised", "silence"]);
    // Without the folder nobody knows it.
    let unknown = Ran::heyi(["workflow", "check", NEIGHBOURS]).ended(2);
    assert!(unknown.stderr.contains(NEIGHBOURS), "{}", unknown.stderr);
}

#[test]
fn a_workflow_of_another_field_runs_through_the_api() {
    let folder = scratch("neighbours");
    let serving = Serving::sandbox(&folder, |serve| serve.env("HEYI_WORKFLOWS", data("workflows")).env("HEYI_TEMPLATES", data("templates")));
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(neighbours(&serving, &folder));
    serving.stop();
}

async fn neighbours(serving: &Serving, folder: &Path) {
    let clock = async |now: &str| {
        assert_eq!(serving.post("caseworker", "/api/v1/sandbox/clock", &json!({"now": now})).await.0, 200);
        assert_eq!(serving.post("caseworker", "/api/v1/sandbox/drain", &json!({})).await.0, 200);
    };
    // The Friday before the Spring Festival of 2026: of the two weeks that follow only the last four days are worked,
    // and Saturday the 14th, in exchange.
    clock("2026-02-13T09:00:00+08:00").await;
    let installed = serving.get("caseworker", "/api/v1/workflows").await;
    assert!(installed.to_string().contains(NEIGHBOURS), "{installed}");

    let (status, opened) = serving.post("caseworker", "/api/v1/cases", &json!({"workflow": NEIGHBOURS, "facts": {"place": "三号楼"}})).await;
    assert_eq!(status, 201, "{opened}");
    let case = format!("/api/v1/cases/{}", opened["id"].as_str().expect("an id"));
    let act = async |who: &str, action: &str, body: Json| serving.post(who, &format!("{case}/actions/{action}"), &body).await;
    let done = async |who: &str, action: &str, body: Json| {
        let (status, answer) = act(who, action, body).await;
        assert_eq!(status, 200, "{action}: {answer}");
        answer
    };
    done("caseworker", "case.person", json!({"input": {"side": "neighbour", "name": "楼上住户", "email": "upstairs@quarter.example"}})).await;
    // Its rules are enforced like those of the shipped one: wrong role, wrong input.
    let (status, refused) = act("complainant", "talk.ask", json!({})).await;
    assert_eq!((status, refused["refusals"][0]["code"].as_str()), (409, Some("role")), "{refused}");
    done("caseworker", "talk.ask", json!({})).await;
    done("caseworker", "measurement.plan", json!({})).await;
    let (status, refused) = act("caseworker", "measurement.measure", json!({"input": {"decibels": 900}})).await;
    assert_eq!((status, refused["refusals"][0]["code"].as_str()), (409, Some("input")), "{refused}");
    done("caseworker", "measurement.measure", json!({"input": {"decibels": 61}})).await;

    let deadlines = serving.get("caseworker", &format!("{case}/deadlines")).await.to_string();
    assert!(deadlines.contains("2026-02-27"), "{deadlines}");
    assert_eq!(serving.post("caseworker", "/api/v1/sandbox/drain", &json!({})).await.0, 200);
    let letters = letters(&folder.join("."));
    let [(to, text)] = letters.as_slice() else { panic!("{} letters", letters.len()) };
    assert_eq!(to, "upstairs@quarter.example");
    assert!(text.contains("有邻居反映夜间声响（三号楼）") && text.contains("请于2026年2月27日（星期五）24时之前答复。"), "{text}");

    // The last day is still in time; then the clock does what the file says.
    clock("2026-02-27T23:59:00+08:00").await;
    assert_eq!(serving.get("caseworker", &case).await["state"], "asked");
    clock("2026-02-28T00:00:30+08:00").await;
    let ended = serving.get("caseworker", &case).await;
    assert_eq!(ended["state"], "unanswered", "{ended}");
    let (status, refused) = act("neighbour", "talk.promise_quiet", json!({})).await;
    assert_eq!(status, 409, "{refused}");
    let events = serving.get("caseworker", &format!("{case}/events")).await.to_string();
    assert!(events.contains("deadline_fired") && events.contains("give_up"), "{events}");
}
