//! `/`: how the daemon and its pipelines do, and what became of the last files.

use std::collections::BTreeMap;

use maud::{Markup, html};

use super::health::{Health, Reason, Verdict, judge};
use super::known::Answer;
use super::parts::{bar, counts, curve, files, state, sum};
use super::shell;
use super::text::{ago, bytes, count, counted, rate, span};
use crate::http::trend::Trend;
use crate::job::{Outcome, RejectReason};
use crate::telemetry::{DaemonNow, PipelineNow, Readiness};

/// Everything the page shows.
pub(super) struct Overview<'a> {
    /// The daemon itself.
    pub(super) daemon: &'a DaemonNow,
    /// Its pipelines, in the order of the config.
    pub(super) pipelines: &'a [PipelineNow],
    /// The last hour.
    pub(super) trend: &'a Trend,
    /// What the ledger knows, or why it does not say.
    pub(super) ledger: Result<&'a Answer, &'a String>,
}

impl Overview<'_> {
    /// Makes the page.
    pub(super) fn document(&self) -> Markup {
        let mut judged: Vec<(&PipelineNow, Verdict)> =
            self.pipelines.iter().map(|pipeline| (pipeline, judge(pipeline, self.daemon))).collect();
        let headline = headline(self.daemon, &judged);
        let title: Vec<&str> = headline.iter().map(|reason| reason.words.as_str()).collect();
        let title = title.join("; ");
        // The worst first; the order of the config stays among equals.
        judged.sort_by_key(|(_, verdict)| std::cmp::Reverse(verdict.health));
        let main = html! {
            div role="status" {
                h1 {
                    @for (at, part) in headline.iter().enumerate() { @if at > 0 { "; " } (part.shown()) }
                }
            }
            (self.itself())
            section aria-labelledby="pipelines" {
                h2 id="pipelines" { "Pipelines" }
                div class="cards" { @for (pipeline, verdict) in &judged { (self.card(pipeline, verdict)) } }
                p class="soft note" { "Rows are those published since this process started; files are all the ledger knows." }
            }
            section aria-labelledby="last" {
                h2 id="last" { "Last files" }
                @match self.ledger {
                    Ok((_, last)) => (files(last, self.daemon.at, "Last files")),
                    Err(why) => p class="trouble" { (why) },
                }
            }
        };
        shell::document(&format!("{title} – forebay"), self.daemon, &main)
    }

    /// The daemon's own state.
    fn itself(&self) -> Markup {
        let daemon = self.daemon;
        let resident = self.trend.resident();
        let memory = daemon.resident + daemon.workers_resident;
        html! {
            section aria-label="The daemon" {
                dl class="tiles" {
                    div {
                        dt { "Workers" }
                        dd { b { (daemon.workers_busy) } " of " (daemon.workers) " busy" }
                        @if daemon.worker_crashes > 0 {
                            dd class="bad" {
                                (count(daemon.worker_crashes)) " crash" @if daemon.worker_crashes > 1 { "es" }
                            }
                        }
                    }
                    div {
                        dt { "Memory" }
                        dd {
                            b { (bytes(memory)) }
                            @if let Some(budget) = daemon.memory_budget { " of " (bytes(budget)) }
                        }
                        dd { (curve(&resident, &format!("Resident memory over the last {}: now {}", span(resident.span), bytes(memory)))) }
                    }
                    div {
                        dt { "Waits for" }
                        @if daemon.waits_for.is_empty() { dd { "nothing" } }
                        @for resource in &daemon.waits_for { dd class="bad" { b { (resource) } } }
                    }
                    (configuration(daemon))
                    div {
                        dt { "Free disk" }
                        @for (names, free, size) in volumes(daemon) {
                            dd { b { (bytes(free)) } " of " (bytes(size)) }
                            dd class="soft" { (names) }
                        }
                        @if daemon.volumes.is_empty() { dd class="soft" { "not known yet" } }
                    }
                }
            }
        }
    }

    fn card(&self, now: &PipelineNow, verdict: &Verdict) -> Markup {
        let list = |state: &str| format!("/files?pipeline={}&state={state}", now.name);
        html! {
            article id={ "p-" (now.name) } class={ "card " (verdict.health.word()) } aria-labelledby={ "h-" (now.name) } {
                header {
                    h3 id={ "h-" (now.name) } { a href={ "/files?pipeline=" (now.name) } { (now.name) } }
                    (state(verdict.health))
                }
                @for reason in &verdict.reasons { p class="reason" { (reason.shown()) } }
                dl class="facts" {
                    div {
                        dt { "Last published" }
                        dd { @match now.last_success { Some(at) => b { (ago(self.daemon.at, at)) }, None => "never" } }
                        @if let Some(objective) = now.freshness { dd class="soft" { "objective " (span(objective)) } }
                    }
                    div {
                        dt { "Backlog" }
                        dd { b { (count(now.pending)) } @if now.pending > 0 { " · " (bytes(now.pending_bytes)) } }
                        @if let Some(at) = now.oldest_pending { dd class="soft" { "oldest " (span(self.daemon.at.since(at))) } }
                    }
                    div {
                        dt { "In progress" }
                        dd { b { (count(now.in_flight)) } }
                        @if let Some(at) = now.oldest_in_flight.filter(|_| now.in_flight > 0) {
                            dd class="soft" { "for " (span(self.daemon.at.since(at))) }
                        }
                    }
                    div {
                        dt { "Quarantine" }
                        @if now.quarantined > 0 {
                            dd class="bad" { a href=(list("quarantined")) { b { (count(now.quarantined)) } } }
                        } @else { dd { b { "0" } } }
                    }
                }
                (self.outcomes(&now.name))
                h4 { "Rows" }
                (sum(now.rows))
                (rejects(&now.rejects, &now.violations))
                (self.throughput(&now.name))
            }
        }
    }

    /// Files by outcome, each a way to them.
    fn outcomes(&self, pipeline: &str) -> Markup {
        let Ok((outcomes, _)) = self.ledger else { return html! {} };
        let of = |outcome: Outcome| outcomes.get(pipeline).and_then(|of| of.get(&outcome)).copied().unwrap_or(0);
        html! {
            h4 { "Files" }
            ul class="counts" {
                @for outcome in Outcome::ALL {
                    @let files = of(*outcome);
                    @let bad = files > 0 && matches!(outcome, Outcome::Quarantined | Outcome::Failed);
                    li class=[bad.then_some("bad")] {
                        a href={ "/files?pipeline=" (pipeline) "&state=" (outcome) } { (outcome) " " b { (count(files)) } }
                    }
                }
            }
        }
    }

    fn throughput(&self, pipeline: &str) -> Markup {
        let rows = self.trend.rows_per_second(pipeline);
        let now = rate(rows.points.last().copied().unwrap_or(0.0));
        let most = rate(rows.points.iter().copied().fold(0.0, f64::max));
        let words = format!("Rows read per second over the last {}: now {now}, at most {most}", span(rows.span));
        html! {
            figure {
                (curve(&rows, &words))
                figcaption class="soft" { "rows/s, last " (span(rows.span)) ": now " b { (now) } ", at most " b { (most) } }
            }
        }
    }
}

/// What came of the last look at the configuration.
fn configuration(daemon: &DaemonNow) -> Markup {
    html! {
        div {
            dt { "Configuration" }
            @match &daemon.config {
                Some(config) => {
                    @if let Some((at, why)) = &config.refused {
                        dd class="bad" { b { "not taken up" } ", " (ago(daemon.at, *at)) }
                        dd class="soft" { (why) }
                    }
                    dd { "in force since " (ago(daemon.at, config.since)) }
                }
                None => dd class="soft" { "not known yet" },
            }
            @if let Some(budget) = daemon.memory_budget.filter(|_| daemon.memory_reserved > 0) {
                dd class="soft" { "memory set aside " (bytes(daemon.memory_reserved)) " " (bar(share(daemon.memory_reserved, budget), "")) }
            }
        }
    }
}

/// Rejected rows by reason, and what broke which rule.
fn rejects(by_reason: &BTreeMap<RejectReason, u64>, by_rule: &BTreeMap<String, u64>) -> Markup {
    let reasons = counts(by_reason.iter().map(|(reason, rows)| (reason.as_str(), *rows)));
    let rules = counts(by_rule.iter().map(|(rule, rows)| (rule.as_str(), *rows)));
    html! {
        @if let Some(reasons) = reasons { h4 { "Rejects by reason" } (reasons) }
        @if let Some(rules) = rules { h4 { "Rows that broke a rule" } (rules) }
    }
}

/// One sentence for whoever has one second: what is not well, worst first.
fn headline(daemon: &DaemonNow, judged: &[(&PipelineNow, Verdict)]) -> Vec<Reason> {
    let plain = |words: String| Reason { words, link: None };
    match (daemon.readiness, daemon.stuck) {
        (Readiness::Starting, _) => return vec![plain("Starting".to_owned())],
        (Readiness::Draining, _) => {
            return vec![plain("Draining: files in progress are finished, nothing new is begun".to_owned())];
        }
        (Readiness::Ready, Some(silent)) => {
            return vec![plain(format!("Stuck: the engine has given no sign of life for {}", span(silent)))];
        }
        (Readiness::Ready, None) => {}
    }
    let worse = [Health::Failing, Health::Late, Health::Attention, Health::Paused];
    let mut parts: Vec<Reason> = worse.into_iter().filter_map(|health| named(health, judged)).map(plain).collect();
    let quarantined: u64 = judged.iter().map(|(now, _)| now.quarantined).sum();
    if quarantined > 0 {
        let link = Some("/files?state=quarantined".to_owned());
        parts.push(Reason { words: format!("{} in quarantine", counted(quarantined, "file")), link });
    }
    if daemon.config.as_ref().is_some_and(|config| config.refused.is_some()) {
        parts.push(plain("the changed configuration is not in force".to_owned()));
    }
    match (parts.is_empty(), judged.len()) {
        (true, 1) => vec![plain("The pipeline is well".to_owned())],
        (true, all) => vec![plain(format!("All {all} pipelines are well"))],
        (false, _) => parts,
    }
}

/// Names the pipelines that do so; `None` if none does.
fn named(health: Health, judged: &[(&PipelineNow, Verdict)]) -> Option<String> {
    let alike = judged.iter().filter(|(_, verdict)| verdict.health == health);
    let names: Vec<&str> = alike.map(|(now, _)| now.name.as_str()).collect();
    let shown = if names.len() > 4 { format!("{} pipelines", names.len()) } else { names.join(", ") };
    let words = match (health, names.len()) {
        (_, 0) => return None,
        (Health::Attention, 1) => "needs attention",
        (Health::Attention, _) => "need attention",
        (Health::Ok | Health::Paused | Health::Late | Health::Failing, _) => health.word(),
    };
    Some(format!("{shown} {words}"))
}

/// Returns room on the volumes; those that are the same are named together.
fn volumes(daemon: &DaemonNow) -> Vec<(String, u64, u64)> {
    let mut rooms: Vec<(String, u64, u64)> = Vec::new();
    for (name, (free, size)) in &daemon.volumes {
        match rooms.iter_mut().find(|(_, f, s)| f == free && s == size) {
            Some((names, ..)) => names.extend([", ", *name]),
            None => rooms.push(((*name).to_owned(), *free, *size)),
        }
    }
    rooms
}

#[expect(clippy::cast_precision_loss, reason = "a bar is a few pixels wide")]
fn share(part: u64, all: u64) -> f64 {
    part as f64 / all.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_headline_names_what_is_not_well() {
        let verdict = |health| Verdict { health, reasons: Vec::new() };
        let named = |name: &str| PipelineNow { name: name.to_owned(), ..PipelineNow::default() };
        let mut daemon = DaemonNow { readiness: Readiness::Ready, ..DaemonNow::default() };
        let told = |daemon: &DaemonNow, of: &[(&str, Health)]| {
            let pipelines: Vec<PipelineNow> = of.iter().map(|(name, _)| named(name)).collect();
            let judged: Vec<_> = pipelines.iter().zip(of.iter().map(|(_, health)| verdict(*health))).collect();
            let parts: Vec<String> = headline(daemon, &judged).into_iter().map(|part| part.words).collect();
            parts.join("; ")
        };
        assert_eq!(told(&daemon, &[("a", Health::Ok)]), "The pipeline is well");
        assert_eq!(told(&daemon, &[("a", Health::Ok), ("b", Health::Ok)]), "All 2 pipelines are well");
        let mixed = [("a", Health::Late), ("b", Health::Ok), ("c", Health::Failing), ("d", Health::Late)];
        assert_eq!(told(&daemon, &mixed), "c failing; a, d late");
        let many = ["a", "b", "c", "d", "e"].map(|name| (name, Health::Paused));
        assert_eq!(told(&daemon, &many), "5 pipelines paused");
        assert_eq!(told(&daemon, &[("a", Health::Attention)]), "a needs attention");
        let two = [("a", Health::Attention), ("b", Health::Paused), ("c", Health::Attention)];
        assert_eq!(told(&daemon, &two), "a, c need attention; b paused");
        daemon.stuck = Some(std::time::Duration::from_mins(2));
        assert_eq!(told(&daemon, &mixed), "Stuck: the engine has given no sign of life for 2 min");
        daemon.readiness = Readiness::Draining;
        assert!(told(&daemon, &mixed).starts_with("Draining"));
    }

    #[test]
    fn the_headline_counts_the_quarantine_and_tells_of_a_refused_configuration() {
        let mut daemon = DaemonNow { readiness: Readiness::Ready, ..DaemonNow::default() };
        let now =
            |quarantined| PipelineNow { name: "a".to_owned(), watching: true, quarantined, ..PipelineNow::default() };
        let told = |daemon: &DaemonNow, now: &PipelineNow| {
            let parts = headline(daemon, &[(now, judge(now, daemon))]);
            parts.into_iter().map(|part| part.shown().into_string()).collect::<Vec<_>>().join("; ")
        };
        let link = "<a href=\"/files?state=quarantined\">2 files in quarantine</a>";
        assert_eq!(told(&daemon, &now(2)), format!("a needs attention; {link}"));
        assert_eq!(told(&daemon, &now(0)), "The pipeline is well");
        let refused = Some((daemon.at, "no".to_owned()));
        daemon.config = Some(crate::telemetry::ConfigNow { since: daemon.at, refused });
        assert_eq!(told(&daemon, &now(0)), "the changed configuration is not in force");
    }

    #[test]
    fn volumes_that_are_the_same_are_named_once() {
        let daemon = DaemonNow {
            volumes: BTreeMap::from([("input", (5, 10)), ("output", (7, 10)), ("state", (5, 10))]),
            ..DaemonNow::default()
        };
        let told = volumes(&daemon);
        assert_eq!(told, [("input, state".to_owned(), 5, 10), ("output".to_owned(), 7, 10)]);
    }
}
