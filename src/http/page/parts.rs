//! Pieces that several pages share: badges, curves, bars, the table of files.

use maud::{Markup, PreEscaped, html};

use super::health::{Health, Reason};
use super::text::{ago, bytes, count};
use crate::http::trend::Curve;
use crate::http::view::FileSummary;
use crate::job::{Outcome, RowCounts, Timestamp};

/// Width and height of a curve, in its own units.
const WIDTH: f64 = 240.0;
const HEIGHT: f64 = 32.0;

/// A word with a sign and a colour.
pub(super) fn badge(class: &str, sign: &str, word: &str) -> Markup {
    html! { span class={ "badge " (class) } { span aria-hidden="true" { (sign) } " " (word) } }
}

/// How a file ended, or how far it is.
pub(super) fn ending(file: &FileSummary) -> Markup {
    if let Some(replay) = &file.replaced_by {
        return html! { (badge("plain", "–", "replaced")) " " a href={ "/files/" (replay) } { "by a replay" } };
    }
    match file.outcome {
        Some(outcome @ (Outcome::Quarantined | Outcome::Failed)) => badge("failing", "✕", outcome.as_str()),
        Some(outcome @ Outcome::Succeeded) => badge("ok", "✓", outcome.as_str()),
        Some(outcome @ (Outcome::Duplicate | Outcome::Empty)) => badge("plain", "–", outcome.as_str()),
        None => badge("paused", "…", &file.state),
    }
}

/// How a pipeline does.
pub(super) fn state(health: Health) -> Markup {
    badge(health.word(), health.sign(), health.word())
}

impl Reason {
    /// In words, which lead to more about it.
    pub(super) fn shown(&self) -> Markup {
        html! { @match &self.link { Some(link) => a href=(link) { (self.words) }, None => (self.words) } }
    }
}

/// A curve from 0 to its highest point, described in words.
pub(super) fn curve(curve: &Curve, words: &str) -> Markup {
    let top = curve.points.iter().copied().fold(1.0, f64::max);
    let last = u32::try_from(curve.points.len().saturating_sub(1)).unwrap_or(u32::MAX).max(1);
    let point = |(index, point): (u32, &f64)| {
        let (x, y) = (WIDTH * f64::from(index) / f64::from(last), HEIGHT - 1.0 - (HEIGHT - 2.0) * point / top);
        format!("{x:.1} {y:.1}")
    };
    let points: Vec<String> = (0..).zip(&curve.points).map(point).collect();
    let line = format!("M{}", points.join("L"));
    let area = format!("{line}L{WIDTH} {HEIGHT}L0 {HEIGHT}Z");
    html! {
        svg class="curve" viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } preserveAspectRatio="none" role="img" aria-label=(words) {
            @if curve.points.len() > 1 {
                path class="area" d=(PreEscaped(area)) {}
                path class="line" d=(PreEscaped(line)) {}
            } @else {
                path class="line" d=(PreEscaped(format!("M0 {y}L{WIDTH} {y}", y = HEIGHT - 1.0))) {}
            }
        }
    }
}

/// A bar filled to `share`, 0 to 1. Says nothing: the number stands beside it.
pub(super) fn bar(share: f64, class: &str) -> Markup {
    let width = format!("{:.1}", 100.0 * if share.is_finite() { share.clamp(0.0, 1.0) } else { 0.0 });
    html! {
        svg class={ "bar " (class) } viewBox="0 0 100 6" preserveAspectRatio="none" aria-hidden="true" {
            rect class="all" width="100" height="6" {}
            rect class="part" width=(width) height="6" {}
        }
    }
}

/// The law: read = written + rejected + dropped.
pub(super) fn sum(rows: RowCounts) -> Markup {
    html! {
        p class="sum" {
            span { b { (count(rows.read)) } " read" }
            span { "= " b { (count(rows.written)) } " written" }
            span class=[(rows.rejected > 0).then_some("bad")] { "+ " b { (count(rows.rejected)) } " rejected" }
            span { "+ " b { (count(rows.dropped)) } " dropped" }
        }
    }
}

/// Words with counts, zeros left out; nothing if there are none.
pub(super) fn counts<'w>(counts: impl Iterator<Item = (&'w str, u64)>) -> Option<Markup> {
    let some: Vec<(&str, u64)> = counts.filter(|(_, count)| *count > 0).collect();
    if some.is_empty() {
        return None;
    }
    Some(html! {
        ul class="counts" { @for (word, number) in some { li { (word) " " b { (count(number)) } } } }
    })
}

/// A table of files, newest first.
pub(super) fn files(files: &[FileSummary], now: Timestamp, caption: &str) -> Markup {
    if files.is_empty() {
        return html! { p class="soft" { "None." } };
    }
    html! {
        div class="wide" tabindex="0" role="region" aria-label=(caption) {
            // The roles say what is said already: a narrow screen lays rows out as blocks, and would lose them.
            table class="files" role="table" {
                thead role="rowgroup" {
                    tr role="row" {
                        @for (name, class) in HEAD { th scope="col" role="columnheader" class=[class] { (name) } }
                    }
                }
                tbody role="rowgroup" { @for file in files { (line(file, now)) } }
            }
        }
    }
}

/// Columns of the table of files, with their classes.
const HEAD: [(&str, Option<&str>); 9] = [
    ("Arrived", None),
    ("Outcome", None),
    ("File", None),
    ("Pipeline", None),
    ("Size", Some("n opt")),
    ("Read", Some("n opt")),
    ("Written", Some("n opt")),
    ("Rejected", Some("n")),
    ("Dropped", Some("n opt")),
];

fn line(file: &FileSummary, now: Timestamp) -> Markup {
    let number = |pick: fn(RowCounts) -> u64| file.rows.map(pick).map(count).unwrap_or_default();
    let rejected = file.rows.is_some_and(|rows| rows.rejected > 0);
    html! {
        tr id={ "f-" (file.id) } role="row" {
            td class="when soft" role="cell" { (ago(now, file.arrived_at)) }
            td class="how" role="cell" { (ending(file)) }
            th class="name" scope="row" role="rowheader" {
                a href={ "/files/" (file.id) } { bdi { (file.name) } }
                @if let Some(message) = &file.message { p class="soft" { (message) } }
            }
            td class="of" role="cell" { (file.pipeline) }
            td class="n opt" role="cell" { (bytes(file.bytes)) }
            td class="n opt" role="cell" { (number(|rows| rows.read)) }
            td class="n opt" role="cell" { (number(|rows| rows.written)) }
            td class={ "n rejected" @if !rejected { " none" } } role="cell" {
                (number(|rows| rows.rejected)) span class="phone" { " rejected" }
                @if let Some(reasons) = counts(file.rejects.iter().map(|(reason, rows)| (reason.as_str(), *rows))) {
                    (reasons)
                }
            }
            td class="n opt" role="cell" { (number(|rows| rows.dropped)) }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn curves_stay_in_their_box() {
        let shown =
            |points: &[f64]| curve(&Curve { span: Duration::ZERO, points: points.to_vec() }, "rows").into_string();
        let html = shown(&[0.0, 500.0, 250.0]);
        assert!(html.contains("d=\"M0.0 31.0L120.0 1.0L240.0 16.0\""), "{html}");
        assert!(html.contains("role=\"img\" aria-label=\"rows\""), "{html}");
        for few in [&[][..], &[7.0]] {
            assert!(shown(few).contains("d=\"M0 31L240 31\"") && !shown(few).contains("NaN"), "{}", shown(few));
        }
        assert!(bar(f64::NAN, "x").into_string().contains("class=\"part\" width=\"0.0\""));
        assert!(bar(7.0, "x").into_string().contains("class=\"part\" width=\"100.0\""));
    }
}
