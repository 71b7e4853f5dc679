//! `/files`: files by pipeline and state.

use maud::{Markup, html};

use super::parts::files;
use super::shell;
use crate::http::view::{FileFilter, FileSummary};
use crate::job::Outcome;
use crate::telemetry::DaemonNow;

/// States a file is in before it has an outcome; the ledger's words.
const ON_THE_WAY: [&str; 2] = ["claimed", "staged"];

/// Makes the page.
pub(super) fn document(daemon: &DaemonNow, pipelines: &[String], filter: &FileFilter, found: &[FileSummary]) -> Markup {
    let states = Outcome::ALL.iter().map(|outcome| outcome.as_str()).chain(ON_THE_WAY);
    let main = html! {
        h1 { "Files" }
        form class="filter" method="get" action="/files" {
            label { "Pipeline " (choice("pipeline", pipelines.iter().map(String::as_str), filter.pipeline.as_deref())) }
            label { "State " (choice("state", states, filter.state.as_deref())) }
            button type="submit" { "Show" }
        }
        (files(found, daemon.at, "Files"))
        @if found.len() == filter.limit {
            p class="soft note" {
                "The newest " (filter.limit) " are shown; " code { "forebay files -n 0" } " shows all."
            }
        }
    };
    shell::document("Files – forebay", daemon, &main)
}

fn choice<'w>(name: &str, words: impl Iterator<Item = &'w str>, chosen: Option<&str>) -> Markup {
    html! {
        select name=(name) {
            option value="" { "all" }
            @for word in words { option value=(word) selected[chosen == Some(word)] { (word) } }
        }
    }
}
