//! `heyi serve`: the API.

use super::{Failure, Outcome, Place};
use crate::state::{App, Mode};
use crate::telemetry::Spans;
use crate::{logs, sandbox, server};
use clap::Args;
use std::net::SocketAddr;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

/// Serve the API.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  heyi serve --data /srv/heyi\n  heyi serve --sandbox --data ./training --listen 127.0.0.1:9000")]
pub struct Serve {
    /// The training room: made-up users with tokens in sandbox-tokens.json, and a clock that can be moved.
    #[arg(long)]
    sandbox: bool,
    /// Where to listen.
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,
    #[command(flatten)]
    place: Place,
}

impl Serve {
    /// Runs it until SIGTERM or Ctrl-C.
    pub(super) async fn run(self) -> Outcome {
        let config = self.place.read(self.listen)?;
        let spans = config.otlp_endpoint.as_deref().map(Spans::to).transpose().map_err(|e| Failure::usage(e.to_string()))?;
        logs::start(config.log_format, spans.as_ref());
        let app = App::open(config, if self.sandbox { Mode::Sandbox } else { Mode::Real }).await?;
        let _running = crate::backup::running::serving(&app.config.data_dir)?;
        if self.sandbox {
            sandbox::prepare(&app).await?;
        } else if let Some(weakness) = app.post.weakness() {
            tracing::warn!("{weakness}; set smtp_url");
        }
        let listener =
            TcpListener::bind(app.config.listen).await.map_err(|e| Failure::usage(format!("cannot listen on {}: {e}", app.config.listen)))?;
        let address = listener.local_addr()?;
        tracing::info!(%address, sandbox = self.sandbox, "ready");
        eprintln!(
            "Heyi listens on http://{address}{}",
            if self.sandbox { format!(" (training room; tokens in {})", sandbox::tokens_file(&app).display()) } else { String::new() }
        );
        let mut terminate = signal(SignalKind::terminate())?;
        let stop = async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = tokio::signal::ctrl_c() => {}
            }
        };
        server::run(app, listener, stop).await?;
        if let Some(spans) = spans {
            spans.end().await;
        }
        Ok(())
    }
}
