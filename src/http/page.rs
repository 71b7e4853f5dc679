//! The pages for people: what the person on call opens first. Made on the server, whole without a script; with it they
//! stay fresh.
//!
//! What telemetry knows is always shown. What the ledger knows is asked for with a bound, and a page says so when the ledger
//! does not answer: a disk that hangs is when somebody looks.

mod files;
mod health;
mod known;
mod overview;
mod parts;
mod shell;
mod story;
mod text;

use std::time::Duration;

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{AppendHeaders, Html, IntoResponse as _, Response};
use maud::{Markup, html};

pub(super) use self::known::Known;
use self::overview::Overview;
use super::App;
use super::api::{AGAIN, FilesQuery, Refusal, ask, within};
use super::view::{ReadView, ViewError};
use crate::job::FileId;
use crate::telemetry::Readiness;

/// Files on the first page.
const SHOWN: usize = 25;

/// Files in a list, unless more are asked for.
const LISTED: usize = 100;

/// How long a page waits for the ledger.
const PATIENCE: Duration = Duration::from_secs(5);

pub(super) async fn index(State(app): State<App>) -> Html<String> {
    let daemon = app.telemetry.daemon_now();
    let ledger = if daemon.readiness == Readiness::Starting {
        Err("The ledger is being opened, or the first scan is under way.".to_owned())
    } else {
        within(PATIENCE, app.known.ask(&app)).await.map_err(|refusal| refusal.message)
    };
    let pipelines = app.telemetry.now();
    let page = Overview { daemon: &daemon, pipelines: &pipelines, trend: &app.trend, ledger: ledger.as_deref() };
    Html(page.document().into_string())
}

pub(super) async fn list(State(app): State<App>, query: Result<Query<FilesQuery>, QueryRejection>) -> Response {
    let filter = match query {
        Ok(Query(query)) => query.filter(LISTED),
        Err(error) => Err(Refusal::new(StatusCode::BAD_REQUEST, error.body_text())),
    };
    let found = match filter {
        Ok(filter) => {
            let asked = filter.clone();
            let question = move |view: &dyn ReadView| Ok((view.files(&asked)?, view.pipelines()?));
            ask_soon(&app, question).await.map(|(files, pipelines)| (filter, files, pipelines))
        }
        Err(refusal) => Err(refusal),
    };
    match found {
        Ok((filter, files, pipelines)) => {
            answer(StatusCode::OK, &files::document(&app.telemetry.daemon_now(), &pipelines, &filter, &files))
        }
        Err(refusal) => refused(&app, &refusal),
    }
}

pub(super) async fn story(State(app): State<App>, id: Result<Path<String>, PathRejection>) -> Response {
    let absent = || Refusal::new(StatusCode::NOT_FOUND, "The ledger knows no file with this id.");
    let id = id.ok().and_then(|Path(id)| FileId::parse(&id)).ok_or_else(absent);
    let found = match id {
        Ok(id) => ask_soon(&app, move |view| view.story(&id)).await.and_then(|story| story.ok_or_else(absent)),
        Err(refusal) => Err(refusal),
    };
    match found {
        Ok(story) => answer(StatusCode::OK, &story::document(&app.telemetry.daemon_now(), &story)),
        Err(refusal) => refused(&app, &refusal),
    }
}

pub(super) async fn style() -> Response {
    asset("text/css; charset=utf-8", include_str!("page/page.css"))
}

pub(super) async fn script() -> Response {
    asset("text/javascript; charset=utf-8", include_str!("page/page.js"))
}

pub(super) async fn icon() -> Response {
    asset("image/svg+xml", include_str!("page/icon.svg"))
}

fn asset(kind: &'static str, text: &'static str) -> Response {
    ([(header::CONTENT_TYPE, kind)], text).into_response()
}

/// Asks the ledger, and gives up after a while.
async fn ask_soon<T: Send + 'static>(
    app: &App,
    question: impl FnOnce(&dyn ReadView) -> Result<T, ViewError> + Send + 'static,
) -> Result<T, Refusal> {
    within(PATIENCE, ask(app, question)).await
}

fn refused(app: &App, refusal: &Refusal) -> Response {
    let title = if refusal.code == StatusCode::NOT_FOUND { "No such file" } else { "This cannot be shown" };
    let main = html! {
        h1 { (title) }
        p { (refusal.message) }
        p { a href="/files" { "The last files" } " · " a href="/" { "The status page" } }
    };
    let page = shell::document(&format!("{title} – forebay"), &app.telemetry.daemon_now(), &main);
    let again = (refusal.code == StatusCode::SERVICE_UNAVAILABLE).then_some(AGAIN);
    (AppendHeaders(again.into_iter().flatten()), answer(refusal.code, &page)).into_response()
}

fn answer(code: StatusCode, page: &Markup) -> Response {
    (code, Html(page.0.clone())).into_response()
}
