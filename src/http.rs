//! The HTTP endpoint: `/metrics`, health, a read-only API and a status page.
//!
//! It sees [`Telemetry`] and a [`ReadView`] of the ledger, and changes nothing: the one verb it knows, reload, it hands on.
//! A daemon nobody can watch is worse than none, so [`serve`] fails loudly when a listener is lost, and [`serve_apart`]
//! answers whatever the rest of the process is busy with.

mod accept;
mod api;
mod guard;
mod page;
mod scrape;
mod seats;
mod server;
mod story;
mod timed;
mod trend;
mod view;
mod web;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::{get, post};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use self::page::Known;
use self::scrape::Scrapes;
use self::seats::Seats;
use self::server::{CONNECTIONS, Server};
pub use self::story::{PublishedAs, RejectedRow, Story, Turn};
use self::trend::Trend;
pub use self::view::{FileFilter, FileSummary, OutcomeCounts, ReadView, ViewError};
pub use self::web::{Protection, Web, WebConfigError, check_web_config};
use crate::telemetry::Telemetry;

/// How long a stop waits for answers that are being written.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Threads for what blocks: pages, questions to the ledger, one password. More than scrapes and questions can take.
const BLOCKING: usize = 32;

/// Questions to the ledger at once: a disk that hangs must not take the threads scrapes need.
const QUESTIONS: usize = 8;

/// Asks the daemon to reload its config; the answer says what came of it, in words.
pub type ReloadRequest = oneshot::Sender<Result<String, String>>;

/// What the endpoint shows, and to whom.
#[derive(Clone)]
pub struct Endpoint {
    /// What there is to tell.
    pub telemetry: Telemetry,
    /// What the ledger knows.
    pub view: Arc<dyn ReadView>,
    /// Who reloads; without, `POST /-/reload` answers 403.
    pub reload: Option<mpsc::Sender<ReloadRequest>>,
    /// TLS, users, headers; without, plain HTTP for everybody.
    pub web: Option<Arc<Web>>,
}

/// What the handlers share.
#[derive(Clone)]
struct App {
    telemetry: Telemetry,
    view: Arc<dyn ReadView>,
    reload: Option<mpsc::Sender<ReloadRequest>>,
    web: Option<Arc<Web>>,
    scrapes: Arc<Scrapes>,
    questions: Arc<Semaphore>,
    trend: Arc<Trend>,
    known: Arc<Known>,
    /// Bound to loopback: then the `Host` header must name this machine.
    local_only: bool,
}

/// Answers requests on every listener until `stop` is cancelled, then finishes the answers in progress.
///
/// # Errors
///
/// A listener is lost: it can accept no connection any more.
pub async fn serve(listeners: Vec<TcpListener>, endpoint: Endpoint, stop: CancellationToken) -> io::Result<()> {
    let (seats, scrapes) = (Seats::new(CONNECTIONS), Arc::new(Scrapes::default()));
    let (questions, trend) = (Arc::new(Semaphore::new(QUESTIONS)), Arc::new(Trend::default()));
    let known = Arc::new(Known::default());
    let sampling = Arc::clone(&trend).keep(endpoint.telemetry.clone());
    let mut servers = JoinSet::new();
    for listener in listeners {
        let Endpoint { telemetry, view, reload, web } = endpoint.clone();
        let local_only = listener.local_addr()?.ip().is_loopback();
        let (scrapes, seats, stop) = (Arc::clone(&scrapes), Arc::clone(&seats), stop.clone());
        let (questions, trend, known) = (Arc::clone(&questions), Arc::clone(&trend), Arc::clone(&known));
        let (told, locks) = (telemetry.clone(), web.clone());
        let app = App { telemetry: told, view, reload, web: locks, scrapes, questions, trend, known, local_only };
        servers.spawn(Server { router: router(app), telemetry, web, seats, stop }.serve(listener));
    }
    let all = async {
        while let Some(ended) = servers.join_next().await {
            ended.map_err(io::Error::other)??;
        }
        Ok(())
    };
    tokio::select! {
        ended = all => ended,
        () = sampling => Ok(()),
        () = async { stop.cancelled().await; tokio::time::sleep(LAST_WORDS).await } => Ok(()),
    }
}

/// Does what [`serve`] does on a thread and a runtime of its own: neither a full pool of blocking threads nor a stuck task
/// elsewhere keeps a scrape waiting.
pub async fn serve_apart(
    listeners: Vec<std::net::TcpListener>,
    endpoint: Endpoint,
    stop: CancellationToken,
) -> io::Result<()> {
    let (tell, ended) = oneshot::channel();
    // A caller that stops waiting stops the thread.
    let stop = stop.child_token();
    let _stop_with_us = stop.clone().drop_guard();
    let run = move || {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        let runtime = builder.max_blocking_threads(BLOCKING).thread_name("forebay-http").enable_all().build()?;
        let served = runtime.block_on(async {
            let listeners: io::Result<Vec<_>> = listeners.into_iter().map(TcpListener::from_std).collect();
            serve(listeners?, endpoint, stop).await
        });
        runtime.shutdown_background();
        served
    };
    // Nobody waits any more: then nobody needs to know.
    std::thread::Builder::new().name("forebay-http".to_owned()).spawn(move || drop(tell.send(run())))?;
    ended.await.map_err(io::Error::other)?
}

fn router(app: App) -> Router {
    Router::new()
        .route("/", get(page::index))
        .route("/files", get(page::list))
        .route("/files/{id}", get(page::story))
        .route("/static/page.css", get(page::style))
        .route("/static/page.js", get(page::script))
        .route("/static/icon.svg", get(page::icon))
        .route("/metrics", get(scrape::metrics))
        .route("/-/healthy", get(api::healthy))
        .route("/healthz", get(api::healthy))
        .route("/-/ready", get(api::ready))
        .route("/readyz", get(api::ready))
        .route("/-/reload", post(api::reload).put(api::reload))
        .route("/-/config", get(api::config))
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
