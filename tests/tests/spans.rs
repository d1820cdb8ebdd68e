//! Spans for a collector (OTLP over HTTP): a request goes on with the trace it came with, holds its command, says how it
//! ended, and names nobody. A collector that is away changes nothing for anybody.

use axum::Router;
use axum::body::Bytes;
use axum::routing::post;
use heyi_tests::process::{Ran, Serving, command, scratch};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use serde_json::json;
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;

const TRACE: [u8; 16] = *b"\x4b\xf9\x2f\x35\x77\xb3\x4d\xa6\xa3\xce\x92\x9d\x0e\x0e\x47\x36";
const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// A collector that keeps what it is sent.
async fn collector() -> (String, Arc<Mutex<Vec<Span>>>) {
    let kept: Arc<Mutex<Vec<Span>>> = Arc::default();
    let keep = kept.clone();
    let take = move |body: Bytes| async move {
        let sent = ExportTraceServiceRequest::decode(body).expect("OTLP");
        let spans = sent.resource_spans.into_iter().flat_map(|r| r.scope_spans).flat_map(|s| s.spans);
        keep.lock().expect("nobody fell").extend(spans);
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move { axum::serve(listener, Router::new().route("/v1/traces", post(take))).await });
    (format!("http://{address}"), kept)
}

fn attribute(span: &Span, key: &str) -> String {
    let found = span.attributes.iter().find(|a| a.key == key).and_then(|a| a.value.as_ref());
    found.map_or_else(String::new, |value| format!("{value:?}"))
}

/// Opens a case as the intake officer, within a trace.
async fn open(server: &Serving, name: &str) -> u16 {
    let (base, tokens) = server.address();
    let client = reqwest::Client::builder().no_proxy().build().expect("a client");
    let facts = json!({"workflow": "medical-dispute", "facts": {"patient_name": name}});
    let request = client.post(format!("{base}/api/v1/cases")).bearer_auth(&tokens["intake_officer"]).header("traceparent", PARENT);
    request.json(&facts).send().await.expect("an answer").status().as_u16()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_and_its_command_stand_in_the_trace_they_came_with() {
    let (endpoint, kept) = collector().await;
    let server = Serving::sandbox(&scratch("spans"), |serve| serve.env("HEYI_OTLP_ENDPOINT", &endpoint));
    let status = open(&server, "童有良").await;
    // What is still in the queue leaves when the server stops.
    tokio::task::spawn_blocking(|| server.stop()).await.expect("it stops");
    let spans = kept.lock().expect("nobody fell").clone();
    let request = spans.iter().find(|s| s.name == "POST /api/v1/cases").expect("the request's span");
    assert_eq!(request.trace_id, TRACE, "the trace that it came with");
    assert_eq!(attribute(request, "http.response.status_code"), format!("AnyValue {{ value: Some(IntValue({status})) }}"));
    assert!(!attribute(request, "request_id").is_empty());
    let command = spans.iter().find(|s| s.name == "command" && s.trace_id == TRACE).expect("the command's span");
    assert_eq!(command.parent_span_id, request.span_id);
    assert!(attribute(command, "from").contains("open") && !attribute(command, "outcome").is_empty());
    assert!(!format!("{spans:?}").contains("童有良"), "a span names somebody");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_is_away_changes_nothing() {
    let server = Serving::sandbox(&scratch("spans-away"), |serve| serve.env("HEYI_OTLP_ENDPOINT", "http://127.0.0.1:1"));
    let without = Serving::sandbox(&scratch("spans-none"), |serve| serve);
    assert_eq!(open(&server, "x").await, open(&without, "x").await);
    tokio::task::spawn_blocking(|| server.stop()).await.expect("it stops in time");
}

#[test]
fn what_is_no_collector_s_address_is_refused_at_the_start() {
    for wrong in ["https://collector.example:4318", "127.0.0.1:4318", "http://"] {
        let ran = Ran::ending(command(["serve", "--sandbox", "--data"]).arg(scratch("spans-wrong")).env("HEYI_OTLP_ENDPOINT", wrong)).ended(2);
        assert!(ran.stderr.contains("otlp_endpoint") && ran.stderr.contains("http://HOST:PORT"), "{}", ran.stderr);
    }
}
