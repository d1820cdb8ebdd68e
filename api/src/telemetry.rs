//! Spans of requests, commands and letters, sent to a collector by OTLP over HTTP when the setting `otlp_endpoint` names one.
//!
//! A span says what was done, how it ended and how long it took; like the log it names cases by id and nobody by name. A
//! request that carries a `traceparent` (W3C Trace Context) goes on with that trace. A collector that is away costs spans
//! and nothing else: they wait in a bounded queue, and what does not fit is dropped.

use axum::http::{HeaderMap, Method};
use opentelemetry::propagation::TextMapPropagator as _;
use opentelemetry::trace::{Status, TracerProvider as _};
use opentelemetry_http::hyper::HyperClient;
use opentelemetry_http::{Bytes, HeaderExtractor, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{Protocol, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::SdkTracerProvider;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::runtime::Handle;
use tracing::{Level, Span, Subscriber};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::registry::LookupSpan;

/// How long the collector may take to accept what it is sent.
const SEND_TIME: Duration = Duration::from_secs(5);
/// The name under which the server's spans stand.
const SERVICE: &str = "heyi";

/// Whether spans are sent.
static ON: AtomicBool = AtomicBool::new(false);

/// Why spans cannot be sent where the setting says.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("setting otlp_endpoint: {0}")]
pub struct WrongEndpoint(String);

/// The way to the collector. What is still in the queue leaves at [`Spans::end`].
#[derive(Debug)]
pub struct Spans(SdkTracerProvider);

impl Spans {
    /// Opens the way to a collector. Must be called within the runtime whose tasks will do the sending.
    ///
    /// # Arguments
    /// `endpoint`: `http://HOST:PORT`, with a path before `/v1/traces` if the collector has one.
    ///
    /// # Errors
    /// When it is no such address. `https` is refused: a collector stands beside the server, and passes on with what
    /// encryption it likes.
    pub fn to(endpoint: &str) -> Result<Self, WrongEndpoint> {
        let wanted = "write http://HOST:PORT of a collector that takes OTLP over HTTP";
        if !endpoint.starts_with("http://") {
            return Err(WrongEndpoint(wanted.to_owned()));
        }
        let exporter = opentelemetry_otlp::SpanExporter::builder()
            .with_http()
            .with_http_client(OnRuntime { runtime: Handle::current(), client: HyperClient::with_default_connector(SEND_TIME, None) })
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(format!("{}/v1/traces", endpoint.trim_end_matches('/')))
            .with_timeout(SEND_TIME)
            .build()
            .map_err(|_| WrongEndpoint(wanted.to_owned()))?;
        let resource = Resource::builder().with_service_name(SERVICE).build();
        ON.store(true, Ordering::Relaxed);
        Ok(Self(SdkTracerProvider::builder().with_resource(resource).with_batch_exporter(exporter).build()))
    }

    /// What collects the spans of this program; nothing of the libraries below it.
    pub fn layer<S: Subscriber + for<'a> LookupSpan<'a>>(&self) -> impl Layer<S> + use<S> {
        let ours = Targets::new().with_target("heyi_api", Level::INFO).with_target("heyi_engine", Level::INFO);
        let layer = tracing_opentelemetry::layer().with_tracer(self.0.tracer(SERVICE));
        layer.with_location(false).with_threads(false).with_target(false).with_filter(ours)
    }

    /// Sends what is left, and ends. Waits no longer than a collector may take.
    pub async fn end(self) {
        // The queue has a thread of its own, and its end is waited for outside of the runtime's threads.
        let ended = tokio::task::spawn_blocking(move || self.0.shutdown_with_timeout(SEND_TIME)).await;
        if !matches!(ended, Ok(Ok(()))) {
            tracing::warn!("the last spans could not be sent");
        }
    }
}

/// The span of a request, which every log line on its way stands in.
pub(crate) fn request(id: &str, method: &Method, route: &str, headers: &HeaderMap) -> Span {
    if !ON.load(Ordering::Relaxed) {
        return tracing::info_span!("request", request_id = %id);
    }
    let span = tracing::info_span!("request", request_id = %id, otel.name = format!("{method} {route}"), otel.kind = "server");
    // A header that says nothing of use begins a trace of its own.
    let _ = span.set_parent(TraceContextPropagator::new().extract(&HeaderExtractor(headers)));
    span.set_attribute("http.request.method", method.as_str().to_owned());
    span.set_attribute("http.route", route.to_owned());
    span
}

/// Says how a request ended.
pub(crate) fn answered(span: &Span, status: u16) {
    span.set_attribute("http.response.status_code", i64::from(status));
    if status >= 500 {
        span.set_status(Status::error(""));
    }
}

/// Says how something ended that is no request.
pub(crate) fn ended(span: &Span, outcome: &'static str) {
    span.set_attribute("outcome", outcome);
}

/// Sends from the server's runtime: the queue's own thread has none.
#[derive(Debug)]
struct OnRuntime {
    runtime: Handle,
    client: HyperClient,
}

#[async_trait::async_trait]
impl HttpClient for OnRuntime {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let client = self.client.clone();
        self.runtime.spawn(async move { client.send_bytes(request).await }).await?
    }
}
