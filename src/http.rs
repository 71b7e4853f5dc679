//! The HTTP endpoint: `/metrics`, health, a read-only API and a status page.
//!
//! It sees [`Telemetry`] and a [`ReadView`] of the ledger, and changes nothing: the one verb it knows, reload, it hands on.
//! A daemon nobody can watch is worse than none, so [`serve`] fails loudly when its listener is lost.

mod api;
mod guard;
mod listener;
mod page;
mod view;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::{get, post};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

pub use self::view::{FileFilter, FileSummary, OutcomeCounts, ReadView, ViewError};
use crate::telemetry::Telemetry;

/// How long a stop waits for answers that are being written.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Asks the daemon to reload its config; the answer says what came of it, in words.
pub type ReloadRequest = oneshot::Sender<Result<String, String>>;

/// What the handlers share.
#[derive(Clone)]
struct App {
    telemetry: Telemetry,
    view: Arc<dyn ReadView>,
    reload: Option<mpsc::Sender<ReloadRequest>>,
    /// Bound to loopback: then the `Host` header must name this machine.
    local_only: bool,
}

/// Answers requests until `stop` is cancelled, then finishes the answers in progress.
///
/// Without `reload`, `POST /-/reload` answers 403.
///
/// # Errors
///
/// The listener is lost: it can accept no connection any more.
pub async fn serve(
    listener: tokio::net::TcpListener,
    telemetry: Telemetry,
    view: Arc<dyn ReadView>,
    reload: Option<mpsc::Sender<ReloadRequest>>,
    stop: CancellationToken,
) -> std::io::Result<()> {
    let address: SocketAddr = listener.local_addr()?;
    let (dying, mut died) = mpsc::channel(1);
    let guarded = listener::Guarded::new(listener, telemetry.clone(), dying);
    let app = App { telemetry, view, reload, local_only: address.ip().is_loopback() };
    let stopped = stop.clone();
    let server = axum::serve(guarded, router(app)).with_graceful_shutdown(stop.cancelled_owned());
    tokio::select! {
        ended = async { server.await } => ended,
        Some(error) = died.recv() => Err(error),
        () = async { stopped.cancelled().await; tokio::time::sleep(LAST_WORDS).await } => Ok(()),
    }
}

fn router(app: App) -> Router {
    Router::new()
        .route("/", get(page::index))
        .route("/metrics", get(api::metrics))
        .route("/-/healthy", get(api::healthy))
        .route("/healthz", get(api::healthy))
        .route("/-/ready", get(api::ready))
        .route("/readyz", get(api::ready))
        .route("/-/reload", post(api::reload).put(api::reload))
        .route("/version", get(api::version))
        .route("/api/v1/status", get(api::status))
        .route("/api/v1/files", get(api::files))
        .route("/api/v1/files/{id}", get(api::file))
        .fallback(api::not_found)
        .layer(axum::middleware::from_fn_with_state(app.clone(), guard::guard))
        .with_state(app)
}

#[cfg(test)]
mod tests;
