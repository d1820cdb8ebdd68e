//! The API: routes, wire types and short handlers, and the layers around all of them.
//!
//! Here: what is asked and answered over HTTP. Not here: connections (`server`), who asks (`auth`), how problems look
//! (`error`), and every rule (the engine: handlers call `submit` to change and the store's views to read).
//!
//! The layers, outermost first: [`observe`] numbers and logs a request, `error::face` writes problems, [`own_task`] runs
//! the handler in a task of its own, so that neither a time limit nor an asker who hangs up tears database work apart.

mod actions;
mod case;
mod cases;
mod deadlines;
mod describe;
mod documents;
mod events;
mod exports;
mod files;
pub mod json;
mod notices;
mod operation;
pub mod query;
mod sandbox;
pub mod seen;
pub mod views;
mod work;
mod workflows;

use crate::auth;
use crate::error::{Asked, Language, Problem, ProblemCode, RequestId};
use crate::measure;
use crate::server::Limits;
use crate::state::App;
use crate::telemetry;
use crate::words::Words;
use axum::Router;
use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{CACHE_CONTROL, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use heyi_engine::store::seal::random;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Instant;
use tracing::Instrument as _;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use utoipa_swagger_ui::{Config, SwaggerUi};

/// Where everything that needs a token lives.
pub const PREFIX: &str = "/api/v1";
/// The header that numbers a request.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The longest number of a request that is taken from outside.
const REQUEST_ID_MAX: usize = 64;

/// What handlers work with, cheap to clone: each layer and each handler has one of its own.
#[derive(Clone)]
pub struct Api(Arc<Parts>);

impl std::ops::Deref for Api {
    type Target = Parts;
    fn deref(&self) -> &Parts {
        &self.0
    }
}

/// What [`Api`] is made of.
pub struct Parts {
    /// The application.
    pub app: App,
    /// Texts of refusals and problems.
    pub words: Arc<Words>,
    /// Limits of size and time.
    pub limits: Limits,
    /// Who showed a token a moment ago.
    pub known: auth::Known,
    /// `/openapi.json`
    openapi: Arc<[u8]>,
}

fn v1() -> OpenApiRouter<Api> {
    OpenApiRouter::default()
        .routes(routes!(cases::list, cases::open))
        .routes(routes!(case::read))
        .routes(routes!(actions::list))
        .routes(routes!(actions::act))
        .routes(routes!(events::list))
        .routes(routes!(deadlines::list))
        .routes(routes!(notices::list))
        .routes(routes!(notices::print))
        .routes(routes!(notices::retry))
        .routes(routes!(work::list))
        .routes(routes!(files::upload))
        .routes(routes!(files::download))
        .routes(routes!(documents::list))
        .routes(routes!(documents::print))
        .routes(routes!(exports::make))
        .routes(routes!(exports::fetch))
        .routes(routes!(workflows::list))
        .routes(routes!(workflows::read))
        .routes(routes!(workflows::graph))
        .routes(routes!(sandbox::clock))
        .routes(routes!(sandbox::drain))
}

fn root() -> OpenApiRouter<Api> {
    OpenApiRouter::with_openapi(describe::base())
        .routes(routes!(operation::healthz))
        .routes(routes!(operation::readyz))
        .routes(routes!(operation::metrics))
        .routes(routes!(operation::openapi))
        .routes(routes!(operation::key))
}

/// The description of every route, as OpenAPI 3.1.
#[must_use]
pub fn openapi() -> OpenApi {
    describe::complete(root().nest(PREFIX, v1()).into_openapi())
}

/// The whole application with the limits and words that it was made for.
pub fn router(app: App, words: Arc<Words>, limits: Limits) -> Router {
    let openapi = serde_json::to_vec(&openapi()).unwrap_or_default().into();
    let api = Api(Arc::new(Parts { app, words, limits, known: auth::Known::default(), openapi }));
    let (v1, _) = v1().split_for_parts();
    let v1 = v1.fallback(nothing).method_not_allowed_fallback(wrong_method).layer(from_fn_with_state(api.clone(), auth::authenticate));
    let (root, _) = root().split_for_parts();
    root.nest(PREFIX, v1)
        .merge(SwaggerUi::new("/docs").config(Config::from("/openapi.json")))
        .fallback(nothing)
        .method_not_allowed_fallback(wrong_method)
        .layer(from_fn_with_state(api.clone(), observe))
        .with_state(api)
}

/// The whole application.
///
/// # Panics
/// When the shipped words are wrong, which a test rules out. A folder's words are checked by `server::run` before it
/// listens; here a wrong one gives way to ours.
pub fn app(app: App) -> Router {
    let words = Words::load(app.config.template_folder()).or_else(|_| Words::load(None)).expect("the shipped words were read by a test");
    router(app, Arc::new(words), Limits::default())
}

async fn nothing() -> Problem {
    Problem::not_found()
}

async fn wrong_method() -> Problem {
    Problem::new(ProblemCode::Method)
}

/// Runs the handler in its own task, and answers in time whatever becomes of it.
async fn own_task(api: &Api, request: Request, next: Next) -> Response {
    // The task keeps the request's number for its log lines.
    let task = tokio::spawn(next.run(request).in_current_span());
    match tokio::time::timeout(api.limits.handler, task).await {
        Ok(Ok(response)) => response,
        Ok(Err(error)) => Problem::internal(&error).into_response(),
        Err(_) => Problem::new(ProblemCode::Overloaded).into_response(),
    }
}

/// Numbers the request, counts it, and logs it once: route, not address, as an address may name somebody. Every log
/// line that is written on its way bears the number. One layer with all that lies around every handler, as each costs a request
/// its own copy of the routes.
async fn observe(State(api): State<Api>, mut request: Request, next: Next) -> Response {
    let began = Instant::now();
    let id = request_id(request.headers().get(REQUEST_ID));
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().map_or_else(|| "(none)".to_owned(), |p| p.as_str().to_owned());
    request.extensions_mut().insert(RequestId(id.clone()));
    let span = telemetry::request(&id, &method, &route, request.headers());
    let asked = Asked::of(&request);
    let response = own_task(&api, request, next).instrument(span.clone()).await;
    let mut response = asked.face(&api.words, response);
    let status = response.status().as_u16();
    let took = began.elapsed();
    let ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
    telemetry::answered(&span, status);
    span.in_scope(|| tracing::info!(%method, route, status, ms, "request"));
    measure::request(method.as_str(), &route, status, took.as_secs_f64());
    response.extensions_mut().remove::<Language>();
    let headers = response.headers_mut();
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if route.starts_with(PREFIX) {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    if let Ok(id) = HeaderValue::from_str(&id) {
        headers.insert(REQUEST_ID, id);
    }
    response
}

/// The number that the asker gave, if it looks like one; else a new one.
fn request_id(given: Option<&HeaderValue>) -> String {
    let looks_right = |text: &&str| (1..=REQUEST_ID_MAX).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    match given.and_then(|v| v.to_str().ok()).filter(looks_right) {
        Some(text) => text.to_owned(),
        None => random::<12>().iter().fold(String::with_capacity(24), |mut id, byte| {
            let _ = write!(id, "{byte:02x}");
            id
        }),
    }
}
