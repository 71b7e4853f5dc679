//! What every page has around its content.

use maud::{DOCTYPE, Markup, html};

use super::text::{clock, span};
use crate::telemetry::{DaemonNow, Readiness};

/// Returns a whole document.
pub(super) fn document(title: &str, daemon: &DaemonNow, main: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                title { (title) }
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                link rel="icon" type="image/svg+xml" href="/static/icon.svg";
                link rel="stylesheet" href="/static/page.css";
                script src="/static/page.js" defer {}
                noscript { meta http-equiv="refresh" content="10"; }
            }
            body {
                a class="skip" href="#main" { "Skip to the content" }
                (top(daemon))
                p id="lost" class="lost" role="status" {}
                main id="main" tabindex="-1" { (main) }
                (bottom(daemon))
            }
        }
    }
}

/// The daemon's name, state and links.
fn top(daemon: &DaemonNow) -> Markup {
    let (class, sign, word) = match (daemon.readiness, daemon.stuck) {
        (Readiness::Starting, _) => ("paused", "…", "starting"),
        (Readiness::Ready, None) => ("ok", "✓", "ready"),
        (Readiness::Ready, Some(_)) => ("failing", "✕", "stuck"),
        (Readiness::Draining, _) => ("late", "‖", "draining"),
    };
    html! {
        header id="top" {
            a class="home" href="/" {
                img src="/static/icon.svg" alt="" width="22" height="22";
                "forebay"
            }
            span class={ "badge " (class) } { span aria-hidden="true" { (sign) } " " (word) }
            span class="soft" {
                (env!("CARGO_PKG_VERSION")) ", up " (span(daemon.up))
                @if !daemon.draining.is_empty() { ", stopping: " (daemon.draining) }
            }
            nav aria-label="Pages" {
                a href="/files" { "Files" }
                a href="/metrics" { "Metrics" }
                a href="/-/config" { "Config" }
                a href="/api/v1/status" { "API" }
            }
        }
    }
}

fn bottom(daemon: &DaemonNow) -> Markup {
    html! {
        footer {
            p {
                "As of " (clock(daemon.at)) " UTC. At a shell: "
                code { "forebay files" } ", " code { "forebay explain ID" } ", " code { "forebay rejects ID" } ", "
                code { "forebay retry ID" } ". What to do about an alert: " code { "docs/runbooks/" }
                ", endpoints: " code { "docs/OPERATING.md" } "."
            }
        }
    }
}
