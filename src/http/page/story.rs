//! `/files/<id>`: one file's whole story, and what to do next.

use std::time::Duration;

use maud::{Markup, html};

use super::parts::{bar, ending, sum};
use super::shell;
use super::text::{ago, bytes, count, counted, moment, span, step, with_code};
use crate::http::story::{PublishedAs, RejectedRow, Story};
use crate::job::{Outcome, Timestamp};
use crate::telemetry::DaemonNow;

/// Makes the page.
pub(super) fn document(daemon: &DaemonNow, story: &Story) -> Markup {
    let file = &story.file;
    let main = html! {
        header class="title" {
            h1 { bdi { (file.name) } }
            (ending(file))
        }
        p class="soft" {
            a href={ "/files?pipeline=" (file.pipeline) } { (file.pipeline) }
            " · " code { (file.id) } " · " (bytes(file.bytes))
            " · arrived " (ago(daemon.at, file.arrived_at))
            @if let Some(reason) = file.reason { " · " b { (reason) } }
            " · " a href={ "/api/v1/files/" (file.id) } { "as JSON" }
        }
        @if let Some(message) = &file.message {
            @let harmless = matches!(file.outcome, Some(Outcome::Succeeded | Outcome::Duplicate | Outcome::Empty));
            p class={ @if harmless { "remark" } @else { "trouble" } } { (message) }
        }
        @if let Some(error) = &story.last_error { p class="trouble" { "The last attempt: " (error) } }
        (next(daemon, story))
        @if let Some(rows) = file.rows {
            section aria-labelledby="rows" {
                h2 id="rows" { "Rows" }
                (sum(rows))
                (reasons(story))
                (sample(&story.sample, rows.rejected))
            }
        }
        (timeline(story))
        @if let Some(published) = &story.published { (stages(published)) (outputs(published)) }
        @if let Some(error) = &story.unreadable { p class="trouble" { "Its " (error) } }
        section aria-labelledby="facts" {
            h2 id="facts" { "Facts" }
            dl class="pairs" {
                @for (name, value) in &story.facts { div { dt { (name) } dd { (value) } } }
            }
        }
    };
    shell::document(&format!("{} – forebay", file.name), daemon, &main)
}

/// What to do, if anything.
fn next(daemon: &DaemonNow, story: &Story) -> Markup {
    let steps = steps(daemon, story);
    html! {
        section aria-labelledby="next" {
            h2 id="next" { "What to do next" }
            @if !story.hint.is_empty() { p { (with_code(&story.hint)) } }
            ul class="steps" {
                @for step in &steps { li { (with_code(step)) } }
                @if let Some(first) = &story.duplicate_of {
                    li { "The same content was published as " a href={ "/files/" (first) } { code { (first) } } "." }
                }
                @if let Some(old) = &story.file.replaces {
                    li { "It is a replay of " a href={ "/files/" (old) } { code { (old) } } "." }
                }
                @if let Some(replay) = &story.file.replaced_by {
                    li { "Its result was replaced by that of " a href={ "/files/" (replay) } { code { (replay) } } "." }
                }
            }
        }
    }
}

/// Returns the steps; commands stand between backticks.
fn steps(daemon: &DaemonNow, story: &Story) -> Vec<String> {
    let id = &story.file.id;
    if !story.what_next.is_empty() {
        return story.what_next.clone();
    }
    match story.file.outcome {
        Some(Outcome::Succeeded) if story.file.rows.is_some_and(|rows| rows.rejected > 0) => vec![
            format!("`forebay rejects {id}` shows the rejected rows"),
            format!("`forebay rejects {id} --csv` gives them back, ready to mend and drop again"),
        ],
        Some(Outcome::Succeeded) => vec!["Nothing: every row is published or dropped by a rule.".to_owned()],
        Some(Outcome::Duplicate) => vec!["Nothing: its content is in the output already.".to_owned()],
        Some(Outcome::Empty) => vec!["Ask whoever sent it: the file has no bytes.".to_owned()],
        Some(Outcome::Quarantined | Outcome::Failed) => vec![format!("`forebay explain {id}` tells its whole story")],
        None => match (story.next_attempt_at, story.started_at) {
            (Some(at), _) if at > daemon.at => {
                vec![format!("Wait: attempt {} begins in {}.", story.file.attempts + 1, span(at.since(daemon.at)))]
            }
            (_, Some(at)) => vec![format!(
                "Wait: attempt {} has been under way for {}.",
                story.file.attempts,
                span(daemon.at.since(at))
            )],
            (_, None) => vec!["Wait: it is next in line for a worker.".to_owned()],
        },
    }
}

fn timeline(story: &Story) -> Markup {
    let befores = std::iter::once(story.file.arrived_at).chain(story.turns.iter().map(|turn| turn.at));
    html! {
        section aria-labelledby="timeline" {
            h2 id="timeline" { "Timeline" }
            div class="wide" tabindex="0" role="region" aria-label="Timeline" {
                // The roles say what is said already: a narrow screen lays rows out as blocks, and would lose them.
                table class="turns" role="table" {
                    thead role="rowgroup" {
                        tr role="row" {
                            th scope="col" role="columnheader" { "When" }
                            th scope="col" role="columnheader" class="n" { "After" }
                            th scope="col" role="columnheader" { "What" }
                            th scope="col" role="columnheader" { "Details" }
                        }
                    }
                    tbody role="rowgroup" {
                        (turn(story.file.arrived_at, None, "arrived", "first seen in its inbox"))
                        @for (one, before) in story.turns.iter().zip(befores) {
                            (turn(one.at, Some(before), &one.what, &one.message))
                        }
                    }
                }
            }
            @if let Some(end) = story.file.finished_at {
                p class="soft note" { "From arrival to the end: " (step(end.since(story.file.arrived_at))) "." }
            }
        }
    }
}

fn turn(at: Timestamp, before: Option<Timestamp>, what: &str, message: &str) -> Markup {
    html! {
        tr role="row" {
            td class="when" role="cell" { (moment(at)) }
            td class="n" role="cell" { @if let Some(before) = before { "+" (step(at.since(before))) } }
            th class="what" scope="row" role="rowheader" { (what) }
            td class="text" role="cell" { (message) }
        }
    }
}

/// Rejects by reason, and by rule.
fn reasons(story: &Story) -> Markup {
    let by_reason = story.file.rejects.iter().map(|(reason, rows)| (reason.as_str(), *rows));
    let nothing = std::collections::BTreeMap::new();
    let published = story.published.as_ref();
    let rules = published.map_or(&nothing, |published| &published.rejects_by_rule);
    let violations = published.map_or(&nothing, |published| &published.rule_violations);
    let drift = published.iter().flat_map(|of| of.drift.iter().map(|(kind, columns)| (kind.as_str(), *columns)));
    html! {
        div class="tables" {
            (tally("Rejected because", "Rows", by_reason))
            (tally("Rejected by rule", "Rows", rules.iter().map(|(rule, rows)| (rule.as_str(), *rows))))
            (tally("Rule broken", "Rows", violations.iter().map(|(rule, rows)| (rule.as_str(), *rows))))
            (tally("Header", "Columns", drift))
        }
    }
}

/// Words and counts as a table; nothing if all are 0.
fn tally<'w>(what: &str, unit: &str, counts: impl Iterator<Item = (&'w str, u64)>) -> Markup {
    let some: Vec<(&str, u64)> = counts.filter(|(_, number)| *number > 0).collect();
    if some.is_empty() {
        return html! {};
    }
    html! {
        table class="tally" {
            thead { tr { th scope="col" { (what) } th scope="col" class="n" { (unit) } } }
            tbody { @for (word, number) in some { tr { th scope="row" { (word) } td class="n" { (count(number)) } } } }
        }
    }
}

fn sample(rows: &[RejectedRow], rejected: u64) -> Markup {
    if rows.is_empty() {
        return html! {};
    }
    html! {
        h3 { "The first " (counted(u64::try_from(rows.len()).unwrap_or(0), "rejected row")) " of " (count(rejected)) }
        div class="wide" tabindex="0" role="region" aria-label="Rejected rows" {
            table class="sample" {
                thead {
                    tr {
                        th scope="col" class="n" { "Line" }
                        th scope="col" { "Reason" }
                        th scope="col" { "Column" }
                        th scope="col" { "Detail" }
                        th scope="col" { "As it came" }
                    }
                }
                tbody {
                    @for row in rows {
                        tr {
                            th scope="row" class="n" { (count(row.line)) }
                            td { (row.reason) @if !row.rule.is_empty() { " " b { (row.rule) } } }
                            td { bdi { (row.column) } }
                            td { bdi { (row.detail) } }
                            td { code class="raw" { (row.raw) } }
                        }
                    }
                }
            }
        }
    }
}

fn stages(published: &PublishedAs) -> Markup {
    let all: f64 = published.stages.values().map(|cost| cost.busy_seconds).sum();
    html! {
        section aria-labelledby="stages" {
            h2 id="stages" { "Stages" }
            div class="wide" tabindex="0" role="region" aria-label="Stages" {
                table class="narrow" {
                    thead {
                        tr {
                            th scope="col" { "Stage" }
                            th scope="col" class="n" { "Busy" }
                            th scope="col" { "Share" }
                            th scope="col" class="n" { "Peak memory" }
                        }
                    }
                    tbody {
                        @for (stage, cost) in &published.stages {
                            tr {
                                th scope="row" { (stage) }
                                td class="n" { (step(Duration::try_from_secs_f64(cost.busy_seconds).unwrap_or_default())) }
                                td { (bar(cost.busy_seconds / all, "share")) }
                                td class="n" { @if cost.peak_rss_bytes > 0 { (bytes(cost.peak_rss_bytes)) } }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn outputs(published: &PublishedAs) -> Markup {
    html! {
        section aria-labelledby="outputs" {
            h2 id="outputs" { "Outputs" }
            p { code { (published.directory) } }
            div class="wide" tabindex="0" role="region" aria-label="Outputs" {
                table {
                    thead {
                        tr {
                            th scope="col" { "File" }
                            th scope="col" class="n" { "Rows" }
                            th scope="col" class="n" { "Size" }
                            th scope="col" class="opt" { "BLAKE3" }
                        }
                    }
                    tbody {
                        @for (name, file) in &published.outputs {
                            tr {
                                th scope="row" { (name) }
                                td class="n" { (count(file.rows)) }
                                td class="n" { (bytes(file.bytes)) }
                                td class="opt" { code class="raw" { (file.blake3) } }
                            }
                        }
                    }
                }
            }
        }
    }
}
