//! `/sandbox`: the training room's clock, and letting everything that is due happen. Nothing here outside a training room.
//!
//! The clock may be moved back too, so that a trainer begins the next exercise where the last one began. A case that has
//! entries from later then takes no step until the clock has passed them ([`Seen::in_time`](super::seen::Seen::in_time)),
//! so no log ever runs backwards.

use super::Api;
use super::cases::moment;
use super::json::{Body, Fields, Strict};
use crate::auth::Actor;
use crate::deliver;
use crate::error::{Problem, ProblemDocument};
use crate::sandbox;
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use chrono::{DateTime, Datelike as _, FixedOffset};
use chrono_tz::Tz;
use serde::Serialize;
use std::time::{Duration, Instant};
use utoipa::ToSchema;

/// The years that the clock may stand in.
const YEARS: std::ops::RangeInclusive<i32> = 2000..=2100;
/// How long `drain` waits for letters that another worker holds.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often it looks.
const LOOK: Duration = Duration::from_millis(20);

/// The moment that the clock is to show.
#[derive(ToSchema)]
pub struct ClockBody {
    /// The moment, with its offset.
    pub now: DateTime<FixedOffset>,
}

impl Body for ClockBody {
    const FIELDS: &'static [&'static str] = &["now"];
    fn read(fields: &mut Fields) -> Result<Self, Problem> {
        let moment = |json: &serde_json::Value| DateTime::parse_from_rfc3339(json.as_str()?).ok().filter(|at| YEARS.contains(&at.year()));
        Ok(Self { now: fields.required("now", "2026-03-02T09:00:00+08:00", moment)? })
    }
}

/// What the clock shows.
#[derive(Serialize, ToSchema)]
pub struct ClockView {
    /// Now.
    pub now: String,
}

fn only_in_training(api: &Api) -> Result<(), Problem> {
    if api.app.sandbox { Ok(()) } else { Err(Problem::not_found()) }
}

/// Move the training room's clock. It goes on from there, and keeps its time over restarts.
#[utoipa::path(post, operation_id = "move_clock", path = "/sandbox/clock", tag = "sandbox", request_body = ClockBody,
    responses((status = 200, body = ClockView), (status = 404, body = ProblemDocument, content_type = "application/problem+json", description = "This is no training room")))]
pub async fn clock(State(api): State<Api>, _actor: Actor, body: Result<Strict<ClockBody>, Problem>) -> Result<Response, Problem> {
    only_in_training(&api)?;
    let Strict(body) = body?;
    sandbox::set_clock(&api.app, body.now.to_utc()).await?;
    let zone = api.app.engine.library().workflows().next().map_or(Tz::UTC, |w| w.definition.zone);
    Ok(Json(ClockView { now: moment(api.app.engine.now(), zone) }).into_response())
}

/// What draining did.
#[derive(Serialize, ToSchema)]
pub struct DrainView {
    /// Cases whose clock moved.
    pub cases: usize,
    /// Letters that left.
    pub letters: usize,
}

/// Run what is due and deliver mail until nothing is left.
#[utoipa::path(post, operation_id = "drain", path = "/sandbox/drain", tag = "sandbox",
    responses((status = 200, body = DrainView), (status = 404, body = ProblemDocument, content_type = "application/problem+json", description = "This is no training room")))]
pub async fn drain(State(api): State<Api>, _actor: Actor) -> Result<Response, Problem> {
    only_in_training(&api)?;
    let (mut cases, mut letters) = (0, 0);
    let since = Instant::now();
    loop {
        let (touched, sent) = deliver::drain(&api.app).await?;
        cases += touched;
        letters += sent;
        // The background worker may hold letters that this round could not take: nothing is left only when it is done too.
        let held = api.app.engine.store().letters_on_lease(api.app.engine.now()).await?;
        if (held == 0 && touched == 0 && sent == 0) || since.elapsed() > PATIENCE {
            return Ok(Json(DrainView { cases, letters }).into_response());
        }
        if touched == 0 && sent == 0 {
            tokio::time::sleep(LOOK).await;
        }
    }
}
