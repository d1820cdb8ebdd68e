//! `heyi demo`: the scenarios, played through the one door, told step by step, with letters and packages left behind.
//!
//! A play that was broken off goes on where it stopped. After each step the database notes at which version it left
//! the case. On the next start the noted steps are not asked again, as a step that was refused then might be allowed
//! now; the player is shown the case as it stood after each. A step that was committed but not noted is asked once
//! more, and its idempotency key finds what it did.

use super::story::Teller;
use super::{Failure, Language, Outcome, Place};
use crate::package::Recipient;
use crate::state::{App, Mode, StartError};
use crate::words::Words;
use crate::{deliver, forms, proofs, sandbox};
use chrono::{DateTime, FixedOffset};
use clap::Args;
use heyi_engine::case::clock::Run;
use heyi_engine::case::consequences::consequences;
use heyi_engine::case::evolve::evolve;
use heyi_engine::case::options::allowed;
use heyi_engine::case::refusal::Refusals;
use heyi_engine::case::{Account, Case, Outside};
use heyi_engine::definition::Definition;
use heyi_engine::ids::{CaseId, LegalTime};
use heyi_engine::scenario::file::StepFile;
use heyi_engine::scenario::{Door, Played, Player, Request, Scenario, StepReport};
use heyi_engine::store::outbox::LEASE_SECONDS;
use heyi_engine::submit::{self, SubmitError};
use indexmap::IndexMap;
use indicatif::{ProgressBar, ProgressStyle};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

/// Play the scenarios.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  heyi demo\n  heyi demo --data ./training --language en\n\nAfterwards: heyi serve --sandbox --data DIR goes on from there."
)]
pub struct Demo {
    /// The language of what is told; the terminal's when left out.
    #[arg(long)]
    language: Option<Language>,
    /// Only say what is left at the end.
    #[arg(long)]
    quiet: bool,
    #[command(flatten)]
    place: Place,
}

/// The folder when none is given.
const DEFAULT_FOLDER: &str = "heyi-demo";

/// One play of the demo.
struct Play {
    definition: std::sync::Arc<Definition>,
    scenario: Scenario,
}

/// How many leases of dead plays are waited for at most.
const MAX_LEASES: usize = 1_000;

impl Demo {
    /// Runs it.
    pub(super) async fn run(self) -> Outcome {
        let language = self.language.unwrap_or_else(Language::of_terminal);
        let mut place = self.place.clone();
        if place.data.is_none() && std::env::var_os("HEYI_DATA_DIR").is_none() {
            place.data = Some(PathBuf::from(DEFAULT_FOLDER));
        }
        let app = App::open(place.read(None)?, Mode::Sandbox).await?;
        let accounts = sandbox::prepare(&app).await?;
        let plays = plays(&app)?;
        let mut todo = Vec::new();
        for play in &plays {
            if app.engine.store().meta(&done_key(&play.scenario)).await?.is_none() {
                todo.push(play);
            }
        }
        if todo.is_empty() {
            println!("{}", language.pick("这个文件夹里的演示已经演完。", "The demo in this folder has been played to its end."));
        } else if todo.len() < plays.len() {
            println!("{}", language.pick("接着上次中断的地方继续。", "Going on where the play was broken off."));
        }
        let bar = progress(todo.iter().map(|p| p.scenario.steps.len()).sum());
        let mut failures = Vec::new();
        for play in todo {
            failures.extend(self.play(&app, play, &accounts, language, &bar).await?);
        }
        bar.finish_and_clear();
        proofs::take(&app).await?;
        ending(&app, language)?;
        if failures.is_empty() { Ok(()) } else { Err(Failure::negative(format!("not as the scenarios expect:\n{}", failures.join("\n")))) }
    }

    async fn play(
        &self,
        app: &App,
        play: &Play,
        accounts: &IndexMap<String, Account>,
        language: Language,
        bar: &ProgressBar,
    ) -> Result<Vec<String>, Failure> {
        let everyone: Vec<Account> = accounts.values().cloned().collect();
        let words = Words::load(app.config.template_folder()).map_err(StartError::Templates)?;
        let teller = Teller { definition: &play.definition, accounts: &everyone, language, words: &words };
        let say = |line: String| {
            if !self.quiet {
                bar.suspend(|| println!("{line}"));
            }
        };
        let title = |text: &heyi_engine::definition::file::Localized| text.get(language.tag()).cloned().unwrap_or_default();
        say(format!("\n══ {} ══", title(&play.scenario.title)));
        let note = title(&play.scenario.note);
        if !note.is_empty() {
            say(format!("   {}", note.trim()));
        }
        let noted = app.engine.store().meta(&steps_key(&play.scenario)).await?;
        let steps: Steps = noted.map_or_else(|| Ok(Steps::default()), |text| serde_json::from_str(&text))?;
        let mut door = EngineDoor { app, accounts: &everyone, workflow: &play.scenario.workflow, resumed: false, before: steps, next: 0 };
        let mut player = Player::new(&play.scenario, &play.definition, accounts);
        let mut before: Vec<Run> = Vec::new();
        let mut failures = Vec::new();
        for step in &play.scenario.steps {
            let Some(report) = player.step(&mut door) else { break };
            let report = report.map_err(Failure::negative)?;
            deliver::letters(app).await?;
            if report.number > door.before.versions.len() {
                tell(&teller, &report, step, &title(&step.tell), &mut before, &say);
                door.before.note(player.case(), &report);
                app.engine.store().set_meta(&steps_key(&play.scenario), &serde_json::to_string(&door.before)?).await?;
            } else if let Ok(played) = &report.outcome {
                before.clone_from(&played.deadlines);
            }
            // What a broken play had already committed is not found again as letters, so it cannot be compared.
            if !door.resumed {
                failures.extend(report.failures.iter().map(|f| format!("  {}, step {}: {f}", play.scenario.scenario, report.number)));
            }
            bar.inc(1);
        }
        if door.resumed {
            // A letter that a broken play held when it died is free again once its lease has ended. A play that was broken
            // off here, again and again, has pushed that end further each time.
            for _ in 0..MAX_LEASES {
                if app.engine.store().letters_waiting().await? == 0 {
                    break;
                }
                app.clock.stop_at(app.engine.now() + chrono::TimeDelta::seconds(LEASE_SECONDS));
                deliver::letters(app).await?;
            }
        }
        if let Some(case) = player.case() {
            hand_over(app, play, case).await?;
        }
        app.engine.store().set_meta(&done_key(&play.scenario), "true").await?;
        Ok(failures)
    }
}

fn tell(teller: &Teller<'_>, report: &StepReport, step: &StepFile, told: &str, before: &mut Vec<Run>, say: &impl Fn(String)) {
    let at = teller.day(LegalTime::At(report.at));
    match &report.outcome {
        Ok(played) => {
            say(format!("{at}  [{}]", teller.stage(&played.case)));
            played.events.iter().filter_map(|e| teller.event(&played.case, e)).for_each(|line| say(format!("    {line}")));
            teller.deadlines(before, &played.deadlines).into_iter().for_each(|line| say(format!("    ⏱  {line}")));
            teller.notices(&played.notices).into_iter().for_each(|line| say(format!("    ✉  {line}")));
            before.clone_from(&played.deadlines);
        }
        Err(refusals) => {
            say(at);
            teller.refusals(step.do_.as_deref().unwrap_or_default(), refusals).into_iter().for_each(|line| say(format!("    ✗  {line}")));
        }
    }
    if !told.is_empty() {
        say(format!("    “{told}”"));
    }
}

fn done_key(scenario: &Scenario) -> String {
    format!("demo_done:{}", scenario.scenario)
}

fn steps_key(scenario: &Scenario) -> String {
    format!("demo_steps:{}", scenario.scenario)
}

/// How far a play has come.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Steps {
    /// Its case.
    case: Option<CaseId>,
    /// The version of the case after each step that is done.
    versions: Vec<u64>,
}

impl Steps {
    fn note(&mut self, case: Option<CaseId>, report: &StepReport) {
        self.case = case;
        let unchanged = self.versions.last().copied().unwrap_or(0);
        self.versions.push(report.outcome.as_ref().map_or(unchanged, |played| played.case.version));
    }
}

/// The scenarios that have a place in the demo, in its order.
fn plays(app: &App) -> Result<Vec<Play>, StartError> {
    let mut out = Vec::new();
    let mut mistakes = Vec::new();
    for (name, source) in &app.sources.workflows {
        let Some(installed) = app.engine.library().workflow(name) else { continue };
        for (file, text) in &source.scenarios {
            match Scenario::parse(text, &installed.definition) {
                Ok(scenario) if scenario.demo.is_some() && !scenario.policy.is_empty() => {
                    mistakes.push(format!(
                        "{name}/scenarios/{file}.yaml: a scenario of the demo plays under the installation's policy; leave out `policy`"
                    ));
                }
                Ok(scenario) if scenario.demo.is_some() => out.push(Play { definition: installed.definition.clone(), scenario }),
                Ok(_) => {}
                Err(more) => mistakes.extend(more.0.iter().map(|m| format!("{name}/scenarios/{file}.yaml:{m}"))),
            }
        }
    }
    out.sort_by_key(|p| (p.scenario.demo, p.scenario.scenario.clone()));
    if mistakes.is_empty() { Ok(out) } else { Err(StartError::Sources(mistakes)) }
}

/// The agreement as PDF, and the packages that the scenario hands over.
async fn hand_over(app: &App, play: &Play, case: heyi_engine::ids::CaseId) -> Outcome {
    let name = &play.scenario.scenario;
    let has_agreement = app.engine.store().documents(case).await?.iter().any(|d| d.form == "agreement");
    if has_agreement {
        let pdf = forms::print(app, case, "agreement").await?;
        write(&app.config.below("documents"), &format!("{name}-agreement.pdf"), &pdf)?;
    }
    for recipient in &play.scenario.exports {
        let recipient = match recipient.as_str() {
            "court" => Recipient::Court,
            "notary" => Recipient::Notary,
            other => return Err(Failure::negative(format!("{name}: exports: `{other}` receives no packages; write court or notary"))),
        };
        let (row, bytes) = forms::export(app, case, recipient).await?;
        write(&app.config.below("exports"), &format!("{name}-{}.zip", row.recipient), &bytes)?;
    }
    Ok(())
}

/// Writes a file beside and renames it, so that nobody finds half of one.
fn write(folder: &Path, name: &str, bytes: &[u8]) -> Outcome {
    std::fs::create_dir_all(folder)?;
    let beside = folder.join(format!(".{name}.new"));
    std::fs::write(&beside, bytes)?;
    std::fs::rename(&beside, folder.join(name))?;
    Ok(())
}

fn progress(steps: usize) -> ProgressBar {
    if !std::io::stderr().is_terminal() || steps == 0 {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(steps as u64);
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} {eta}");
    style.map_or(bar.clone(), |style| bar.with_style(style))
}

fn ending(app: &App, language: Language) -> Outcome {
    let dir = app.config.data_dir.display();
    println!("\n{}", language.pick("留下的文件：", "Files left behind:"));
    for (folder, ending) in [("documents", "pdf"), ("exports", "zip")] {
        let mut names: Vec<PathBuf> = std::fs::read_dir(app.config.below(folder))
            .into_iter()
            .flatten()
            .flatten()
            .map(|e| e.path())
            .filter(|p| p.extension().is_some_and(|e| e == ending))
            .collect();
        names.sort();
        names.iter().for_each(|path| println!("  {}", path.display()));
    }
    let mails = std::fs::read_dir(app.config.below("mail"))
        .into_iter()
        .flatten()
        .flatten()
        .filter(|e| e.path().extension().is_some_and(|e| e == "eml"))
        .count();
    println!("  {}  ({mails} {})", app.config.below("mail").join("*.eml").display(), language.pick("封信", "letters"));
    println!("  {}", app.config.below("public-key.pem").display());
    println!("  {}", proofs::file(&app.config).display());
    println!("\n{}", language.pick("下一步：", "Next:"));
    let package = std::fs::read_dir(app.config.below("exports"))
        .into_iter()
        .flatten()
        .flatten()
        .map(|e| e.path())
        .find(|p| p.extension().is_some_and(|e| e == "zip"));
    if let Some(package) = package {
        println!("  heyi verify {} --key {}", package.display(), app.config.below("public-key.pem").display());
    }
    println!("  heyi verify --database --replay --data {dir}");
    println!("  heyi serve --sandbox --data {dir}");
    Ok(())
}

/// The one door, as scenarios use it.
struct EngineDoor<'a> {
    app: &'a App,
    accounts: &'a [Account],
    workflow: &'a str,
    /// A step was found to have been played before.
    resumed: bool,
    /// What was played before.
    before: Steps,
    /// How many steps were asked for in this play.
    next: usize,
}

impl EngineDoor<'_> {
    /// The case as it stood after a step that was played before.
    async fn as_it_stood(&self, id: CaseId, after: u64, version: u64) -> Result<Played, SubmitError> {
        let (loaded, rules) = self.app.engine.read(id).await?;
        let mut case = Case { id: Some(id), vault: loaded.case.vault.clone(), ..Case::default() };
        let mut events = Vec::new();
        for (event, _) in self.app.engine.store().events(id, 0, version).await? {
            evolve(&mut case, &event);
            if event.seq > after {
                events.push(event);
            }
        }
        let now = consequences(rules.rules(), &case, &[], self.accounts);
        Ok(Played { case, events, notices: Vec::new(), deadlines: now.deadlines, work: now.work })
    }
}

impl Door for EngineDoor<'_> {
    type Error = SubmitError;

    fn submit(&mut self, request: Request) -> Result<Result<Played, Refusals>, SubmitError> {
        self.app.clock.stop_at(request.now.to_utc());
        let step = self.next;
        self.next += 1;
        let runtime = tokio::runtime::Handle::current();
        if let (Some(version), Some(case)) = (self.before.versions.get(step).copied(), self.before.case) {
            self.resumed = true;
            let after = step.checked_sub(1).and_then(|previous| self.before.versions.get(previous)).copied().unwrap_or(0);
            return tokio::task::block_in_place(|| runtime.block_on(self.as_it_stood(case, after, version))).map(Ok);
        }
        let ask = submit::Request {
            case: request.case,
            workflow: request.case.is_none().then(|| self.workflow.to_owned()),
            me: request.me,
            command: request.command,
            key: Some(format!("demo:{}", request.key)),
            expected: None,
            file: request.file,
        };
        let answer = tokio::task::block_in_place(|| {
            runtime.block_on(async {
                let committed = self.app.engine.submit(ask).await?;
                let id = committed.loaded.case.id.ok_or(SubmitError::NoCase)?;
                let (_, rules) = self.app.engine.read(id).await?;
                Ok::<_, SubmitError>((committed, rules))
            })
        });
        match answer {
            Ok((committed, rules)) => {
                self.resumed |= committed.repeated;
                let case = committed.loaded.case.clone();
                let now = consequences(rules.rules(), &case, &[], self.accounts);
                Ok(Ok(Played { case, events: committed.events, notices: committed.notices, deadlines: now.deadlines, work: now.work }))
            }
            Err(SubmitError::Refused(refusals)) => Ok(Err(refusals)),
            Err(error) => Err(error),
        }
    }

    fn allowed(&mut self, case: &Case, now: DateTime<FixedOffset>, me: &Account) -> Result<BTreeSet<String>, SubmitError> {
        let id = case.id.ok_or(SubmitError::NoCase)?;
        let runtime = tokio::runtime::Handle::current();
        let (_, rules) = tokio::task::block_in_place(|| runtime.block_on(self.app.engine.read(id)))?;
        // Nothing is decided, so no chance is needed.
        let outside = Outside { now, seed: [0; 32], me, accounts: self.accounts, printable: &|_| true, log: &[] };
        Ok(allowed(rules.rules(), case, &outside))
    }
}
