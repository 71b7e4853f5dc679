//! The handlers for machines: text for Prometheus, JSON for the rest.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{AppendHeaders, IntoResponse, Response};
use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::App;
use super::view::{FileFilter, OutcomeCounts, ReadView, ViewError, rfc3339};
use crate::job::{FileId, Outcome, Timestamp};
use crate::telemetry::event::Event;
use crate::telemetry::{BUILD, PipelineNow, Readiness};

/// How long `/api/v1/` waits for the ledger: as long as a scrape may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long a reload may take until whoever asked is sent to the log.
const RELOAD: Duration = Duration::from_mins(2);

/// What every 503 about the ledger or a reload carries.
pub(super) const AGAIN: [(HeaderName, &str); 1] = [(header::RETRY_AFTER, "5")];

/// Why a request was not answered as asked.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) code: StatusCode,
    pub(super) message: String,
}

impl Refusal {
    pub(super) fn new(code: StatusCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let again = (self.code == StatusCode::SERVICE_UNAVAILABLE).then_some(AGAIN);
        (self.code, AppendHeaders(again.into_iter().flatten()), axum::Json(json!({ "error": self.message })))
            .into_response()
    }
}

/// Asks the ledger where blocking is allowed.
pub(super) async fn ask<T: Send + 'static>(
    app: &App,
    question: impl FnOnce(&dyn ReadView) -> Result<T, ViewError> + Send + 'static,
) -> Result<T, Refusal> {
    let (view, seat) = (Arc::clone(&app.view), Arc::clone(&app.questions).acquire_owned().await);
    let failed = |message: String| {
        app.telemetry.emit(Event::Error { component: "http", kind: "view", message: &message });
        Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, message)
    };
    let answer = move || {
        // Held until the ledger has answered, also if nobody waits for it any more.
        let _seat = seat;
        question(&*view)
    };
    match tokio::task::spawn_blocking(answer).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(ViewError::Refused(message))) => Err(Refusal::new(StatusCode::BAD_REQUEST, message)),
        Ok(Err(error @ ViewError::Starting)) => Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string())),
        Ok(Err(error @ ViewError::Failed(_))) => Err(failed(error.to_string())),
        Err(panic) => Err(failed(panic.to_string())),
    }
}

/// Waits for an answer of the ledger, but not for ever.
pub(super) async fn within<T>(
    patience: Duration,
    answer: impl Future<Output = Result<T, Refusal>>,
) -> Result<T, Refusal> {
    tokio::time::timeout(patience, answer).await.unwrap_or_else(|_| {
        let words = format!("The ledger did not answer within {} s.", patience.as_secs());
        Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, words))
    })
}

/// Healthy: this answers, and the engine was alive a moment ago. Before its first sign of life it is starting, not sick: who is
/// killed for a long recovery begins it anew. That a start hangs is for people to see, by `forebay_ready`.
pub(super) async fn healthy(State(app): State<App>) -> (StatusCode, String) {
    let stuck = app.telemetry.stuck().map(|silent| unavailable(&format!("503: {}", no_sign_of_life(silent))));
    stuck.unwrap_or_else(|| (StatusCode::OK, "forebay is healthy\n".to_owned()))
}

pub(super) async fn ready(State(app): State<App>) -> (StatusCode, String) {
    match (app.telemetry.readiness(), app.telemetry.stuck()) {
        (Readiness::Starting, _) => unavailable("starting: the ledger is not open or the first scan is not done"),
        (Readiness::Draining, _) => unavailable("draining: files in progress are finished first"),
        (Readiness::Ready, Some(silent)) => unavailable(&format!("stuck: {}", no_sign_of_life(silent))),
        (Readiness::Ready, None) => (StatusCode::OK, "forebay is ready\n".to_owned()),
    }
}

fn no_sign_of_life(silent: Duration) -> String {
    format!("the engine has given no sign of life for {} s", silent.as_secs())
}

fn unavailable(words: &str) -> (StatusCode, String) {
    (StatusCode::SERVICE_UNAVAILABLE, format!("{words}\n"))
}

pub(super) async fn reload(State(app): State<App>) -> Response {
    let Some(requests) = &app.reload else {
        let words = "403: reload over HTTP is not enabled; set server.enable_lifecycle = true, or send SIGHUP\n";
        return (StatusCode::FORBIDDEN, words).into_response();
    };
    let (answer, answered) = oneshot::channel();
    let reloaded = async {
        // It waits for the reload before it, too.
        requests.send(answer).await.ok()?;
        answered.await.ok()
    };
    match tokio::time::timeout(RELOAD, reloaded).await {
        Ok(Some(Ok(words))) => (StatusCode::OK, format!("{words}\n")).into_response(),
        Ok(Some(Err(words))) => (StatusCode::INTERNAL_SERVER_ERROR, format!("500: {words}\n")).into_response(),
        Ok(None) => later("503: no reload now: forebay is starting or stopping\n"),
        Err(_) => later("503: the reload is under way and takes long: the log will tell what came of it\n"),
    }
}

/// Not now, but in a moment.
fn later(words: &'static str) -> Response {
    (StatusCode::SERVICE_UNAVAILABLE, AGAIN, words).into_response()
}

/// The configuration in force, the defaults filled in. It holds no secret: those stand in files it names.
pub(super) async fn config(State(app): State<App>) -> Response {
    ([(header::CONTENT_TYPE, "application/toml; charset=utf-8")], app.view.config()).into_response()
}

pub(super) async fn version() -> axum::Json<Value> {
    let facts: serde_json::Map<String, Value> =
        BUILD.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
    axum::Json(Value::Object(facts))
}

pub(super) async fn status(State(app): State<App>) -> Result<axum::Json<Value>, Refusal> {
    let outcomes = within(PATIENCE, ask(&app, <dyn ReadView>::outcomes)).await?;
    let pipelines: Vec<Value> = app.telemetry.now().iter().map(|now| pipeline(now, &outcomes)).collect();
    let state = match app.telemetry.readiness() {
        Readiness::Starting => "starting",
        Readiness::Ready => "ready",
        Readiness::Draining => "draining",
    };
    Ok(axum::Json(json!({ "version": env!("CARGO_PKG_VERSION"), "state": state, "pipelines": pipelines })))
}

fn pipeline(now: &PipelineNow, outcomes: &OutcomeCounts) -> Value {
    let time = |at: Option<Timestamp>| at.map(rfc3339);
    let files: serde_json::Map<String, Value> = Outcome::ALL
        .iter()
        .map(|outcome| {
            let count = outcomes.get(&now.name).and_then(|of| of.get(outcome)).copied().unwrap_or(0);
            (outcome.as_str().to_owned(), count.into())
        })
        .collect();
    json!({
        "name": now.name,
        "pending": now.pending,
        "pending_bytes": now.pending_bytes,
        "oldest_pending": time(now.oldest_pending),
        "in_flight": now.in_flight,
        "quarantined": now.quarantined,
        "watching": now.watching,
        "files": files,
        "rows_since_start": now.rows,
        "last_success": time(now.last_success),
        "last_completion": time(now.last_completion),
        "last_failure": time(now.last_failure),
        "last_arrival": time(now.last_arrival),
    })
}

/// The query of `/api/v1/files` and `/files`.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FilesQuery {
    state: Option<String>,
    pipeline: Option<String>,
    limit: Option<usize>,
}

impl FilesQuery {
    /// Returns what is asked for; `limit` unless the query has one.
    pub(super) fn filter(self, limit: usize) -> Result<FileFilter, Refusal> {
        let limit = self.limit.unwrap_or(limit);
        if !(1..=1000).contains(&limit) {
            return Err(Refusal::new(StatusCode::BAD_REQUEST, format!("limit is {limit}, it must be 1 to 1000")));
        }
        let named = |text: Option<String>| text.filter(|text| !text.is_empty());
        Ok(FileFilter { state: named(self.state), pipeline: named(self.pipeline), limit })
    }
}

pub(super) async fn files(
    State(app): State<App>,
    query: Result<Query<FilesQuery>, QueryRejection>,
) -> Result<axum::Json<Value>, Refusal> {
    let Query(query) = query.map_err(|error| Refusal::new(StatusCode::BAD_REQUEST, error.body_text()))?;
    let filter = query.filter(100)?;
    let files = within(PATIENCE, ask(&app, move |view| view.files(&filter))).await?;
    Ok(axum::Json(json!({ "files": files })))
}

pub(super) async fn file(
    State(app): State<App>,
    id: Result<Path<String>, PathRejection>,
) -> Result<axum::Json<Value>, Refusal> {
    let absent = || Refusal::new(StatusCode::NOT_FOUND, "no file has this id");
    let id = id.ok().and_then(|Path(id)| FileId::parse(&id)).ok_or_else(absent)?;
    within(PATIENCE, ask(&app, move |view| view.file(&id))).await?.map(axum::Json).ok_or_else(absent)
}

pub(super) async fn not_found() -> (StatusCode, &'static str) {
    (StatusCode::NOT_FOUND, "404: nothing is here; / has the status page\n")
}
