//! The workers: letters leave the outbox, and deadlines that are due fire. Both only repeat what is stored, as often
//! as needed; they run from a background loop, from `drain`, and from the demo.

use crate::mail::{Failure, Invitation, Mail};
use crate::state::{App, engine_account};
use crate::templates::{NoticeView, Recipient};
use heyi_engine::case::consequences::Notice;
use heyi_engine::case::event::Who;
use heyi_engine::store::fault;
use heyi_engine::store::outbox::{Attempt, Leased};
use heyi_engine::submit::{Request, SubmitError};
use std::time::Duration;

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
            let attempt = attempt(app, &one).await;
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

/// A letter as a mail.
///
/// # Errors
/// Why it cannot be written, without personal data.
pub fn mail(app: &App, notice: &Notice) -> Result<Mail, String> {
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
        correction_of: None,
    };
    let rendered = app.templates.render(&view).map_err(|e| e.to_string())?;
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
    let mut touched = 0;
    loop {
        let due = app.engine.store().cases_due(app.engine.now().timestamp_millis(), DUE_BATCH).await?;
        let before = touched;
        for id in due {
            let Ok(id) = id.parse() else { continue };
            let request = Request { case: Some(id), workflow: None, me: engine_account(), command: None, key: None, expected: None, file: None };
            match app.engine.submit(request).await {
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

/// Runs both until nothing is left.
///
/// # Returns
/// Cases touched, letters sent.
///
/// # Errors
/// When the database fails.
pub async fn drain(app: &App) -> Result<(usize, usize), SubmitError> {
    let touched = deadlines(app).await?;
    let sent = letters(app).await?;
    Ok((touched, sent))
}

/// Works until it is told to stop: woken by commits, and by a slow scan.
pub async fn run(app: App, mut stop: tokio::sync::watch::Receiver<bool>) {
    loop {
        if let Err(error) = drain(&app).await {
            tracing::error!(%error, "the workers could not read the database; they try again");
        }
        tokio::select! {
            () = app.engine.woken() => {}
            () = tokio::time::sleep(SCAN) => {}
            _ = stop.changed() => return,
        }
    }
}
