//! The accept loop: connections with limits, and a stop that lets requests in flight finish.
//!
//! Here: what `axum::serve` leaves open (a header that never ends, connections without number; dependencies M2), and the
//! background worker that starts and stops with the server. Not here: routes (`rest`), signals (the command).

use crate::bounces;
use crate::clockwatch;
use crate::deliver;
use crate::measure;
use crate::proofs;
use crate::rest;
use crate::stall::Patient;
use crate::state::App;
use crate::words::Words;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;
use tower::ServiceExt as _;

/// Limits of size, time and number.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How long the header of a request may take; also how long a connection may stay open in silence.
    pub header: Duration,
    /// How long a body may take.
    pub body: Duration,
    /// How long a body may pause.
    pub pause: Duration,
    /// How long nothing of an answer may be taken by who asked for it.
    pub write: Duration,
    /// How long an answer may take. What was begun goes on.
    pub handler: Duration,
    /// How long requests in flight may go on after the stop.
    pub stop: Duration,
    /// How long the workers may give no sign of life before the server is not ready. A letter may take them a minute and a half.
    pub worker_silence: Duration,
    /// Connections at once; more wait to be accepted.
    pub connections: usize,
    /// The largest JSON body, in bytes.
    pub json_bytes: usize,
    /// The largest file, in bytes.
    pub file_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            header: Duration::from_secs(10),
            body: Duration::from_secs(25),
            pause: Duration::from_secs(10),
            write: Duration::from_secs(30),
            handler: Duration::from_secs(30),
            stop: Duration::from_secs(8),
            worker_silence: Duration::from_secs(300),
            connections: 1024,
            json_bytes: 1024 * 1024,
            file_bytes: 12 * 1024 * 1024,
        }
    }
}

/// How long workers that fell over lie, so that a fault which comes back at once does not keep a core busy.
const WORKER_PAUSE: Duration = Duration::from_secs(1);
/// How long to wait when the system gives no more connections.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves until `stop` resolves, with the usual limits.
///
/// # Errors
/// When the texts are wrong: each mistake, with file and key.
pub async fn run(app: App, listener: TcpListener, stop: impl Future<Output = ()> + Send + 'static) -> io::Result<()> {
    run_with(app, listener, stop, Limits::default()).await
}

/// Serves until `stop` resolves.
///
/// # Errors
/// When the texts are wrong: each mistake, with file and key.
pub async fn run_with(app: App, listener: TcpListener, stop: impl Future<Output = ()> + Send + 'static, limits: Limits) -> io::Result<()> {
    let words = Words::load(app.config.template_folder()).map_err(|mistakes| io::Error::other(mistakes.join("\n")))?;
    measure::start();
    clockwatch::at_start(&app).await.map_err(io::Error::other)?;
    let router = rest::router(app.clone(), Arc::new(words), limits);
    let (stop_workers, stopped) = watch::channel(false);
    let hourly = tokio::spawn(proofs::run(app.clone(), stopped.clone()));
    let (mailbox, until) = (app.clone(), stopped.clone());
    let fetching = tokio::spawn(stand_up_again(move || bounces::fetch(mailbox.clone(), until.clone()), stopped.clone()));
    let told = stopped.clone();
    let working = app.clone();
    let workers = tokio::spawn(stand_up_again(move || deliver::run(working.clone(), stopped.clone()), told));
    let connections = GracefulShutdown::new();
    let slots = Arc::new(Semaphore::new(limits.connections));
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(limits.header);
    let mut stop = std::pin::pin!(stop);
    loop {
        let accepted = async {
            let slot = slots.clone().acquire_owned().await;
            (slot, listener.accept().await)
        };
        let (slot, accepted) = tokio::select! {
            accepted = accepted => accepted,
            () = &mut stop => break,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "no connection could be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "a connection keeps its delay");
        }
        let service = router.clone().map_request(|request: Request<Incoming>| request.map(axum::body::Body::new));
        let connection = builder.serve_connection(TokioIo::new(Patient::new(stream, limits.write)), TowerToHyperService::new(service));
        let connection = connections.watch(connection);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a connection broke off");
            }
            drop(slot);
        });
    }
    drop(listener);
    let _ = stop_workers.send(true);
    let finish = async {
        connections.shutdown().await;
        // Whatever it was about to fetch is still in the mailbox.
        fetching.abort();
        let ended = workers.await.and(hourly.await);
        // What was committed since the last hour is under a checkpoint before the end.
        proofs::take_and_log(&app).await;
        ended
    };
    match timeout(limits.stop, finish).await {
        Ok(Ok(())) => tracing::info!("stopped; nothing was in flight any more"),
        Ok(Err(error)) => tracing::error!(%error, "the background worker ended badly"),
        Err(_) => tracing::warn!("stopped with requests or letters in flight; what was not committed is not lost, it was never acknowledged"),
    }
    Ok(())
}

/// Does work in a task of its own, and again when it fell over, until it is done or told to stop.
pub async fn stand_up_again<W, F>(work: W, mut stop: watch::Receiver<bool>)
where
    W: Fn() -> F,
    F: Future<Output = ()> + Send + 'static,
{
    while let Err(error) = tokio::spawn(work()).await {
        // What a panic says may hold what it was about.
        tracing::error!(panicked = error.is_panic(), "the background workers fell over; they are stood up again");
        let stopped = tokio::time::timeout(WORKER_PAUSE, stop.wait_for(|stop| *stop)).await;
        if stopped.is_ok() {
            return;
        }
    }
}
