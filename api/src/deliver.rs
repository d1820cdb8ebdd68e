//! The workers: letters leave the outbox, commands reach other cases, and deadlines that are due fire. Both only repeat what is stored, as often
//! as needed; they run from a background loop, from `drain`, and from the demo.

use crate::bounces;
use crate::clockwatch::ClockWatch;
use crate::mail::{Failure, Invitation, Mail};
use crate::measure;
use crate::state::{App, engine_account};
use crate::telemetry;
use crate::templates::{NoticeView, Recipient, Rendered};
use heyi_engine::case::consequences::{Errand, Notice};
use heyi_engine::case::decide::Command;
use heyi_engine::case::event::Who;
use heyi_engine::case::linked_case_account;
use heyi_engine::measures;
use heyi_engine::store::fault;
use heyi_engine::store::outbox::{Attempt, Leased};
use heyi_engine::submit::{Request, SubmitError};
use std::time::Duration;
use tracing::Instrument as _;

/// Minutes after which a command for another case is tried again when the database did not take it.
const ERRAND_RETRY_MINUTES: i64 = 1;
/// Letters leased at once.
const BATCH: u64 = 16;
/// Cases whose clock is looked at in one go.
const DUE_BATCH: u64 = 100;
/// How often the workers look without being woken.
const SCAN: Duration = Duration::from_secs(20);

/// Sends every letter that is due.
///
/// # Returns
/// How many left.
///
/// # Errors
/// When the database fails.
pub async fn letters(app: &App) -> Result<usize, SubmitError> {
    let mut sent = 0;
    loop {
        let leased = app.engine.store().lease_letters(app.engine.master(), app.engine.now(), BATCH).await?;
        if leased.is_empty() {
            return Ok(sent);
        }
        for one in leased {
            if !app.engine.store().renew_lease(&one, app.engine.now()).await? {
                tracing::warn!(notice = %one.notice.id, "a letter was taken over before its turn came");
                continue;
            }
            let span = tracing::info_span!("letter", notice = %one.notice.id);
            let attempt = standing({
                let (app, one) = (app.clone(), one.clone());
                async move { attempt(&app, &one).await }.instrument(span.clone())
            })
            .await;
            app.pulse.beat();
            measures::letter(attempt.outcome());
            telemetry::ended(&span, attempt.outcome());
            if matches!(attempt, Attempt::Delivered { .. }) {
                fault::point("mail_written");
                sent += 1;
            } else {
                tracing::warn!(notice = %one.notice.id, "a letter did not leave");
            }
            let held = app.engine.store().mark_letter(&one, &attempt, app.engine.now()).await?;
            if !held {
                tracing::warn!(notice = %one.notice.id, "the lease of a letter had ended before it was marked");
            }
        }
    }
}

/// An attempt that falls over is a letter's own fault: it is set aside, and delays no other.
async fn standing(attempt: impl Future<Output = Attempt> + Send + 'static) -> Attempt {
    match tokio::spawn(attempt).await {
        Ok(attempt) => attempt,
        Err(_) => Attempt::Permanent { problem: "the program fell over while it wrote or sent this letter".to_owned() },
    }
}

async fn attempt(app: &App, leased: &Leased) -> Attempt {
    let mail = match mail(app, &leased.notice) {
        Ok(mail) => mail,
        Err(problem) => return Attempt::Permanent { problem },
    };
    match app.post.deliver(&mail).await {
        Ok(delivered) => Attempt::Delivered { proof: delivered.proof },
        Err(Failure::Temporary(problem)) => Attempt::Temporary { problem },
        Err(Failure::Permanent(problem)) => Attempt::Permanent { problem },
    }
}

/// A letter in words: as a mail, or as it is printed.
fn in_words(app: &App, notice: &Notice, paper: bool) -> Result<Rendered, String> {
    let (side, role) = match notice.recipient.who {
        Who::Person(_) => (Some(notice.recipient.as_.clone()), None),
        _ => (None, Some(notice.recipient.as_.clone())),
    };
    let view = NoticeView {
        kind: notice.kind.clone(),
        code: notice.code.clone(),
        language: notice.recipient.language.clone(),
        recipient: Recipient { name: notice.recipient.name.clone(), side, role },
        committee: app.committee(),
        reference: notice.reference.clone(),
        issued_on: notice.at.date_naive().to_string(),
        data: notice.data.clone(),
        correction_of: notice.correction_of.clone(),
        paper,
    };
    app.templates.render(&view).map_err(|e| e.to_string())
}

/// The words of a letter as they are printed: without what only a mail says of itself.
///
/// # Errors
/// Why it cannot be written, without personal data.
pub fn printed(app: &App, notice: &Notice) -> Result<String, String> {
    Ok(in_words(app, notice, true)?.text)
}

/// A letter as a mail.
///
/// # Errors
/// Why it cannot be written, without personal data.
pub fn mail(app: &App, notice: &Notice) -> Result<Mail, String> {
    let rendered = in_words(app, notice, false)?;
    let to_address = notice.recipient.email.clone().ok_or("the recipient has no address")?;
    let invitation = notice.invitation.as_ref().map(|i| Invitation {
        uid: notice.id.clone(),
        at: i.at,
        minutes: i.minutes,
        place: i.place.clone(),
        title: rendered.subject.clone(),
        cancelled: false,
    });
    Ok(Mail {
        id: notice.id.clone(),
        to_name: notice.recipient.name.clone(),
        to_address,
        subject: rendered.subject,
        text: rendered.text,
        html: rendered.html,
        invitation,
        date: notice.at.to_utc(),
    })
}

/// Lets the clock do what is due in every case.
///
/// # Returns
/// How many cases it touched.
///
/// # Errors
/// When the database fails.
pub async fn deadlines(app: &App) -> Result<usize, SubmitError> {
    if app.engine.clock_is_held() {
        return Ok(0);
    }
    let mut touched = 0;
    loop {
        let due = app.engine.store().cases_due(app.engine.now().timestamp_millis(), DUE_BATCH).await?;
        let before = touched;
        for id in due {
            app.pulse.beat();
            let Ok(id) = id.parse() else { continue };
            let request = Request { case: Some(id), workflow: None, me: engine_account(), command: None, key: None, expected: None, file: None };
            match app.submit("clock", request).await {
                Ok(committed) if committed.events.is_empty() => {}
                Ok(_) => touched += 1,
                Err(SubmitError::Refused(refusals)) => tracing::error!(case = %id, ?refusals, "a deadline could not fire: the workflow has a fault"),
                Err(error) => return Err(error),
            }
        }
        if touched == before {
            return Ok(touched);
        }
    }
}

/// Takes every command that one case sent to another there, and its answer back.
///
/// # Returns
/// How many were answered.
///
/// # Errors
/// When the database fails.
pub async fn errands(app: &App) -> Result<usize, SubmitError> {
    let mut answered = 0;
    loop {
        let due = app.engine.store().errands_due(app.engine.master(), app.engine.now(), BATCH).await?;
        if due.is_empty() {
            return Ok(answered);
        }
        for (case_id, errand) in due {
            match run_errand(app, &case_id, &errand).await {
                Ok(()) => {
                    app.engine.store().mark_errand(&case_id, &errand.id, None, None).await?;
                    answered += 1;
                }
                Err(SubmitError::Refused(refusals)) => {
                    let codes: Vec<String> = refusals.iter().map(|r| format!("{:?}", r.code)).collect();
                    tracing::error!(errand = %errand.id, refusals = codes.join(", "), "the answer of another case was refused: the workflow has a fault");
                    app.engine.store().mark_errand(&case_id, &errand.id, Some("the answer was refused"), None).await?;
                }
                Err(error) => {
                    let again = app.engine.now() + chrono::Duration::minutes(ERRAND_RETRY_MINUTES);
                    app.engine.store().mark_errand(&case_id, &errand.id, Some("the database did not take it"), Some(again)).await?;
                    return Err(error);
                }
            }
        }
    }
}

/// The command there, then the answer here. Both are known again by their keys, so a crash between them does neither twice.
async fn run_errand(app: &App, case_id: &str, errand: &Errand) -> Result<(), SubmitError> {
    let ask = |case, command, key| Request {
        case: Some(case),
        workflow: None,
        me: linked_case_account(),
        command: Some(command),
        key: Some(key),
        expected: None,
        file: None,
    };
    let there = Command::new(errand.action.clone(), serde_json::Value::Object(errand.input.clone()));
    let answer = match app.submit("errand", ask(errand.to, there, format!("errand:{}", errand.id))).await {
        Ok(_) => &errand.done,
        // No such case, or the rules there say no: that is an answer.
        Err(SubmitError::Refused(_) | SubmitError::NoCase) => &errand.refused,
        Err(error) => return Err(error),
    };
    let here = Command { proceeding: Some(errand.proceeding), ..Command::new(answer.clone(), serde_json::Value::Null) };
    let Ok(id) = case_id.parse() else { return Err(SubmitError::NoCase) };
    app.submit("errand", ask(id, here, format!("answer:{}", errand.id))).await.map(|_| ())
}

/// Runs all until nothing is left.
///
/// # Returns
/// Cases touched, letters sent.
///
/// # Errors
/// When the database fails.
pub async fn drain(app: &App) -> Result<(usize, usize), SubmitError> {
    let mut touched = deadlines(app).await?;
    touched += errands(app).await?;
    let sent = letters(app).await?;
    bounces::collect(app).await?;
    Ok((touched, sent))
}

/// Works until it is told to stop: woken by commits, and by a slow scan.
pub async fn run(app: App, mut stop: tokio::sync::watch::Receiver<bool>) {
    let mut watch = ClockWatch::start();
    loop {
        app.pulse.beat();
        measure::round();
        let round = async {
            watch.look(&app).await?;
            drain(&app).await
        };
        if let Err(error) = round.await {
            tracing::error!(%error, "the workers could not read the database; they try again");
        }
        tokio::select! {
            () = app.engine.woken() => {}
            () = tokio::time::sleep(SCAN) => {}
            _ = stop.changed() => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_attempt_that_falls_over_sets_its_letter_aside() {
        let fallen = standing(async { panic!("planted: a letter that cannot be written") }).await;
        assert!(matches!(fallen, Attempt::Permanent { problem } if !problem.contains("planted")));
        let fine = standing(async { Attempt::Delivered { proof: "250".to_owned() } }).await;
        assert!(matches!(fine, Attempt::Delivered { .. }));
    }
}
