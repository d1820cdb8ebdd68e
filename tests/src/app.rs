//! The whole application inside a test: a free port, a fresh folder and database, mail into files, a clock that moves,
//! and a memory of tokens. What is asked and answered goes over real HTTP.

use heyi_api::config::Config;
use heyi_api::sandbox::{TOKENS_FILE, prepare};
use heyi_api::server::{Limits, run_with};
use heyi_api::state::{App, Mode};
use reqwest::header::HeaderMap;
use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value as Json, json};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// The day on which every test's clock starts: a Monday of a year whose holidays are published.
pub const START: &str = "2026-03-02T09:00:00+08:00";

/// A running application.
pub struct TestApp {
    /// Its inside, for what HTTP does not show.
    pub app: App,
    /// Where it listens.
    pub address: SocketAddr,
    tokens: BTreeMap<String, String>,
    client: Client,
    stop: Option<oneshot::Sender<()>>,
    server: JoinHandle<std::io::Result<()>>,
    folder: TempDir,
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

impl Answer {
    /// The body as JSON; null when it is none.
    #[must_use]
    pub fn json(&self) -> Json {
        serde_json::from_slice(&self.bytes).unwrap_or_default()
    }

    /// A header's text.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default()
    }

    /// The body as JSON, if the status is this one.
    ///
    /// # Panics
    /// When it is another.
    #[track_caller]
    pub fn expect(self, status: u16) -> Json {
        assert_eq!(self.status, status, "{}", String::from_utf8_lossy(&self.bytes));
        self.json()
    }

    /// The problem document, if it is one with this status and code.
    ///
    /// # Panics
    /// When it is none, or another.
    #[track_caller]
    pub fn problem(self, status: u16, code: &str) -> Json {
        let kind = self.header("content-type").to_owned();
        let document = self.expect(status);
        assert_eq!(kind, "application/problem+json", "{document}");
        assert_eq!(document["code"], code, "{document}");
        assert_eq!(document["status"], status, "{document}");
        assert_eq!(document["type"], format!("urn:heyi:problem:{code}"));
        for field in ["title", "detail", "instance"] {
            assert!(document[field].as_str().is_some_and(|t| !t.is_empty()), "{field} of {document}");
        }
        document
    }
}

impl TestApp {
    /// A fresh training room with its clock at [`START`].
    pub async fn start() -> Self {
        Self::start_with(Limits::default()).await
    }

    /// A fresh training room with limits of one's own.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start_with(limits: Limits) -> Self {
        Self::start_as(limits, |_| {}).await
    }

    /// A fresh training room with limits and settings of one's own.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start_as(limits: Limits, settings: impl FnOnce(&mut Config)) -> Self {
        let started = Self::started(tempfile::tempdir().expect("a temporary folder"), limits, settings).await;
        started.clock(START).await;
        started
    }

    /// The training room that lies in a folder, with its clock as it stands.
    ///
    /// # Panics
    /// When it does not start.
    pub async fn start_in(folder: TempDir, limits: Limits) -> Self {
        Self::started(folder, limits, |_| {}).await
    }

    async fn started(folder: TempDir, limits: Limits, settings: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config { data_dir: folder.path().to_owned(), listen: SocketAddr::from(([127, 0, 0, 1], 0)), ..Config::default() };
        settings(&mut config);
        let app = App::open(config, Mode::Sandbox).await.expect("the application opens");
        prepare(&app).await.expect("the training room is prepared");
        let tokens = std::fs::read(folder.path().join(TOKENS_FILE)).expect("the tokens are there before anybody can ask");
        let tokens = serde_json::from_slice(&tokens).expect("the tokens are a JSON object");
        let listener = TcpListener::bind(app.config.listen).await.expect("a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let (stop, stopped) = oneshot::channel();
        let server = tokio::spawn(run_with(app.clone(), listener, async { drop(stopped.await) }, limits));
        let client = Client::builder().no_proxy().pool_max_idle_per_host(0).build().expect("a client");
        Self { app, address, tokens, client, stop: Some(stop), server, folder }
    }

    /// The names of all accounts that have a token.
    #[must_use]
    pub fn everybody(&self) -> Vec<&str> {
        self.tokens.keys().map(String::as_str).collect()
    }

    /// Remembers the token of one more.
    pub fn remember(&mut self, who: &str, token: &str) {
        self.tokens.insert(who.to_owned(), token.to_owned());
    }

    /// The data folder.
    #[must_use]
    pub fn folder(&self) -> PathBuf {
        self.folder.path().to_owned()
    }

    /// A request; `who` is a name of the token file, or nobody.
    pub fn request(&self, method: Method, who: Option<&str>, path: &str) -> RequestBuilder {
        let request = self.client.request(method, format!("http://{}{path}", self.address)).header("accept-language", "en");
        match who {
            Some(who) => request.bearer_auth(self.tokens.get(who).map_or(who, String::as_str)),
            None => request,
        }
    }

    /// Sends a request.
    ///
    /// # Panics
    /// When nothing answers.
    pub async fn send(&self, request: RequestBuilder) -> Answer {
        let response = request.send().await.expect("an answer");
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Answer { status, headers, bytes: response.bytes().await.expect("a whole answer").to_vec() }
    }

    /// Reads.
    pub async fn get(&self, who: &str, path: &str) -> Answer {
        self.send(self.request(Method::GET, Some(who), path)).await
    }

    /// Sends JSON.
    pub async fn post(&self, who: &str, path: &str, body: &Json) -> Answer {
        self.send(self.request(Method::POST, Some(who), path).json(body)).await
    }

    /// Hands in a page of text as a file.
    pub async fn upload(&self, who: &str, case: &str, query: &str) -> Answer {
        let request = self.request(Method::POST, Some(who), &format!("/api/v1/cases/{case}/files?{query}"));
        self.send(request.header("content-type", "text/plain").body("一份材料\n")).await
    }

    /// Opens an empty case.
    pub async fn open(&self) -> String {
        let opened = self.post("intake_officer", "/api/v1/cases", &json!({"workflow": "medical-dispute", "facts": {}})).await.expect(201);
        opened["id"].as_str().unwrap_or_default().to_owned()
    }

    /// Takes a step.
    pub async fn act(&self, who: &str, case: &str, action: &str, body: &Json) -> Answer {
        self.post(who, &format!("/api/v1/cases/{case}/actions/{action}"), body).await
    }

    /// Moves the clock.
    pub async fn clock(&self, now: &str) {
        self.post("director", "/api/v1/sandbox/clock", &json!({"now": now})).await.expect(200);
    }

    /// Lets everything happen that is due.
    pub async fn drain(&self) -> Json {
        self.post("director", "/api/v1/sandbox/drain", &json!({})).await.expect(200)
    }

    /// Stops the server, and looks whether anything was left in the queue.
    ///
    /// # Panics
    /// When it was, or the server does not stop.
    pub async fn stop(mut self) {
        self.drain().await;
        let left = self.app.engine.store().letters_waiting().await.expect("the database answers");
        assert_eq!(left, 0, "letters were left in the queue");
        self.begin_stop();
        self.ended().await;
    }

    /// Tells the server to stop, and does not wait for it.
    pub fn begin_stop(&mut self) {
        self.stop.take().map(|stop| stop.send(()));
    }

    /// Waits until the server has stopped.
    ///
    /// # Panics
    /// When it does not, or badly.
    pub async fn ended(self) {
        self.server.await.expect("the server ends").expect("the server ends well");
    }

    /// A token.
    #[must_use]
    pub fn token(&self, who: &str) -> &str {
        self.tokens.get(who).map_or("", String::as_str)
    }
}
