//! A scenario played through the one door of a running server, so that its letters, work and figures are there to be
//! looked at over HTTP.

use crate::app::TestApp;
use chrono::{DateTime, FixedOffset};
use heyi_engine::case::consequences::consequences;
use heyi_engine::case::options::allowed;
use heyi_engine::case::refusal::Refusals;
use heyi_engine::case::{Account, Case, Outside};
use heyi_engine::ids::CaseId;
use heyi_engine::scenario::{Door, Played, Player, Request as Step, Scenario};
use heyi_engine::submit::{Committed, Engine, Request, SubmitError};
use std::collections::BTreeSet;
use std::path::Path;
use tokio::runtime::Handle;
use tokio::task::block_in_place;

struct Entrance<'a> {
    app: &'a TestApp,
    accounts: Vec<Account>,
}

impl Door for Entrance<'_> {
    type Error = SubmitError;

    fn submit(&mut self, step: Step) -> Result<Result<Played, Refusals>, SubmitError> {
        let app = &self.app.app;
        // Several steps may be of one moment, so time stands still between them.
        app.clock.stop_at(step.now.to_utc());
        let request = Request {
            case: step.case,
            workflow: step.case.is_none().then(|| "medical-dispute".to_owned()),
            me: step.me,
            command: step.command,
            key: Some(step.key),
            expected: None,
            file: step.file,
        };
        block_in_place(|| Handle::current().block_on(async { played(&app.engine, &self.accounts, app.submit("act", request).await).await }))
    }

    fn allowed(&mut self, case: &Case, now: DateTime<FixedOffset>, me: &Account) -> Result<BTreeSet<String>, SubmitError> {
        block_in_place(|| Handle::current().block_on(permitted(&self.app.app.engine, &self.accounts, case, now, me)))
    }
}

/// An answer of the one door, as a play looks at it.
///
/// # Errors
/// When the door failed; a refusal is an answer.
pub async fn played(engine: &Engine, accounts: &[Account], answer: Result<Committed, SubmitError>) -> Result<Result<Played, Refusals>, SubmitError> {
    let committed = match answer {
        Ok(committed) => committed,
        Err(SubmitError::Refused(refusals)) => return Ok(Err(refusals)),
        Err(error) => return Err(error),
    };
    let case = committed.loaded.case.clone();
    let (_, rules) = engine.read(case.id.ok_or(SubmitError::NoCase)?).await?;
    let now = consequences(rules.rules(), &case, &[], accounts);
    Ok(Ok(Played { case, events: committed.events, notices: committed.notices, deadlines: now.deadlines, work: now.work }))
}

/// What somebody may do in a case, as a play asks it.
///
/// # Errors
/// When the case cannot be read.
pub async fn permitted(
    engine: &Engine,
    accounts: &[Account],
    case: &Case,
    now: DateTime<FixedOffset>,
    me: &Account,
) -> Result<BTreeSet<String>, SubmitError> {
    let (_, rules) = engine.read(case.id.ok_or(SubmitError::NoCase)?).await?;
    let outside = Outside { now, seed: [0; 32], me, accounts, printable: &|_| true, log: &[] };
    Ok(allowed(rules.rules(), case, &outside))
}

/// Plays a shipped scenario of the committee's own procedure, to its end or up to the first step that does `until`.
///
/// # Returns
/// The scenario, and the case that it opened.
///
/// # Panics
/// When there is no such scenario, or it does not go as it expects.
pub fn play(app: &TestApp, name: &str, until: Option<&str>) -> (Scenario, CaseId) {
    let definition = app.app.engine.library().workflow("medical-dispute").expect("it is shipped").definition.clone();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../workflows/medical-dispute/scenarios").join(format!("{name}.yaml"));
    let source = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut scenario = Scenario::parse(&source, &definition).unwrap_or_else(|mistakes| panic!("{mistakes}"));
    if let Some(action) = until {
        let last = scenario.steps.iter().position(|s| s.do_.as_deref() == Some(action)).unwrap_or_else(|| panic!("{name} never does {action}"));
        scenario.steps.truncate(last + 1);
    }
    let accounts = heyi_api::sandbox::accounts(&app.app).expect("the shipped casts are good");
    let mut door = Entrance { app, accounts: accounts.values().cloned().collect() };
    let mut player = Player::new(&scenario, &definition, &accounts);
    while let Some(step) = player.step(&mut door) {
        assert_eq!(step.expect("the play goes on").failures, [""; 0], "{name}");
    }
    app.app.clock.set(app.app.engine.now());
    let case = player.case().expect("a case was opened");
    (scenario.clone(), case)
}
