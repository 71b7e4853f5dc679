//! The dashboard the alerts lead to: is data flowing, and are promises kept?

use super::panel::{Limit, Panel};
use super::promql::{
    UP, Unit, age, age_or_zero, alerts, increase, max, of, over_range, quantile, rate, record, series, sum,
};
use super::{Dashboard, Row};
use crate::telemetry::catalog::Name;

/// One is already too many.
const ANY: &[Limit] = &[Limit(1.0, "red")];
/// One is worth a look.
const SOME: &[Limit] = &[Limit(1.0, "orange")];
/// As much as was promised.
const PROMISE: &[Limit] = &[Limit(1.0, "red")];

pub(super) fn dashboard(runbooks: &str) -> Dashboard {
    Dashboard {
        name: "overview",
        uid: "forebay",
        title: "forebay: overview",
        about: "Is data flowing, and are the promises kept? From here: the files and rows of a pipeline, and what the process uses.",
        rows: vec![
            Row { title: "Now", panels: now() },
            Row { title: "Promises", panels: promises() },
            Row { title: "Files", panels: files() },
            Row { title: "Rows", panels: rows() },
            Row { title: "Which pipeline, which alert", panels: vec![pipelines(), firing(runbooks)] },
        ],
    }
}

fn now() -> Vec<Panel> {
    // All jobs are all that Prometheus has: those count that were forebay in the time shown.
    let up = format!("{} and on (job) last_over_time({}[$__range])", series(UP), of(Name::BuildInfo));
    let known = format!("{} or {}", of(Name::LastSuccess), series(record::FIRST_SEEN));
    let promised = format!("({} > 0)", series(record::FRESHNESS));
    let late = format!("sum(time() - ({known}) > bool on (job, instance, pipeline) {promised})");
    // The records are there as soon as the rules are loaded: without rules there is no "0 alerts".
    let none = format!("group({}) - 1", series(record::FRESHNESS));
    vec![
        Panel::stat(
            "Instances down",
            Unit::Count,
            "Instances Prometheus cannot scrape. Anything but 0: start it again; files wait in their inboxes meanwhile.",
        )
        .ask(format!("count({up}) - sum({up})"), "down")
        .limits(ANY)
        .empty("no target")
        .runbooks(&["ForebayDown", "ForebayAbsent"]),
        Panel::stat(
            "Alerts firing",
            Unit::Count,
            "Alerts that fire for what is chosen above. Anything but 0: the table at the end names them and leads to their runbooks.",
        )
        .ask(format!("count({}) or {none}", alerts("firing")), "firing")
        .limits(ANY)
        .empty("not scraped, or no rules loaded")
        .runbooks(&["Watchdog"]),
        Panel::stat(
            "Feeds late",
            Unit::Count,
            "Pipelines whose last success, or else first sight, is longer ago than their objective `freshness`. Anything but 0: ask whether a file arrived.",
        )
        .ask(late, "late")
        .limits(ANY)
        .empty("not scraped, or no objective")
        .runbooks(&["ForebayDataStale", "ForebayNeverSucceeded"]),
        Panel::stat(
            "Oldest file waiting",
            Unit::Seconds,
            "How long the oldest file that is not started has waited; 0 if none waits. More than minutes: look at back-pressure and busy workers.",
        )
        .ask(format!("max({})", age_or_zero(Name::OldestPending)), "waiting")
        .limits(&[Limit(3600.0, "orange")])
        .runbooks(&["ForebayOldestPendingTooOld", "ForebayPipelineStalled"]),
        Panel::stat(
            "In quarantine",
            Unit::Count,
            "Files that were refused and wait for a person; their rows are missing from the output. `forebay files -s quarantined` lists them.",
        )
        .ask(format!("sum({})", of(Name::FilesQuarantined)), "files")
        .limits(SOME)
        .runbooks(&["ForebayQuarantineNotEmpty"]),
        Panel::stat(
            "Rows unaccounted for",
            Unit::Count,
            "Rows read that were neither written, rejected nor dropped. Anything but 0 is a fault of forebay: keep the archive and read the runbook.",
        )
        .ask(format!("sum(abs({}))", series(record::UNACCOUNTED)), "rows")
        .limits(ANY)
        .empty("not scraped, or no rules loaded")
        .runbooks(&["ForebayRowsUnaccounted"]),
    ]
}

fn promises() -> Vec<Panel> {
    let freshness = format!("{} / ({} > 0)", age(Name::LastSuccess), of(Name::FreshnessObjective));
    let burn = |latency: &str| format!("{} / ({} > 0)", series(latency), series(record::LATENCY));
    vec![
        Panel::lines(
            "Freshness, of its objective",
            Unit::Share,
            "Time since the last success, as a part of the objective `freshness`. Above 100 % the feed is late: did a file arrive at all?",
        )
        .ask(max("pipeline", &freshness), "{{pipeline}}")
        .limits(PROMISE)
        .empty("not scraped, no objective or no success yet")
        .runbooks(&["ForebayDataStale"]),
        Panel::lines(
            "Arrival to published",
            Unit::of(Name::FileLatency),
            "The latency that half and 99 % of the files kept, beside the objective `latency`. Above it: see in Pipeline whether files wait or are slow.",
        )
        .ask_with_exemplars(quantile(0.5, "pipeline", Name::FileLatency), "{{pipeline}} half")
        .ask_with_exemplars(quantile(0.99, "pipeline", Name::FileLatency), "{{pipeline}} 99 %")
        .measured_by(max("pipeline", &format!("{} > 0", of(Name::LatencyObjective))), "{{pipeline}} objective")
        .empty("nothing published")
        .runbooks(&["ForebayLatencyBudgetBurn"]),
        Panel::lines(
            "Latency budget, of its objective",
            Unit::Share,
            "The latency at the edge of the budget, of an hour and of six, as a part of the objective. Above 100 % a month's budget of 1 % late files is gone in days.",
        )
        .ask(max("pipeline", &burn(record::LATENCY_HOUR)), "{{pipeline}} hour")
        .ask(max("pipeline", &burn(record::LATENCY_SIX_HOURS)), "{{pipeline}} six hours")
        .limits(PROMISE)
        .empty("not scraped, no objective or nothing published")
        .runbooks(&["ForebayLatencyBudgetBurn"]),
    ]
}

fn files() -> Vec<Panel> {
    vec![
        Panel::bars(
            "Files by outcome",
            Unit::of(Name::FilesProcessed),
            "Files that came to an end, by how. Quarantined or failed ones need a person: `forebay explain ID` tells why.",
        )
        .ask(sum("outcome", &increase(Name::FilesProcessed)), "{{outcome}}")
        .runbooks(&["ForebayFilesFailing", "ForebayQuarantineNotEmpty"]),
        Panel::stack(
            "Backlog",
            Unit::of(Name::FilesPending),
            "Files seen and not started. A backlog that only grows means too few workers, or work that waits for memory or disk: see Resources.",
        )
        .ask(sum("pipeline", &of(Name::FilesPending)), "{{pipeline}}")
        .runbooks(&["ForebayPipelineStalled"]),
        Panel::lines(
            "Oldest file waiting",
            Unit::of(Name::OldestPending),
            "How long the oldest file that is not started has waited, beside the objective `latency`. Beyond it the file is late already.",
        )
        .ask(max("pipeline", &age_or_zero(Name::OldestPending)), "{{pipeline}}")
        .measured_by(max("pipeline", &format!("{} > 0", of(Name::LatencyObjective))), "{{pipeline}} objective")
        .runbooks(&["ForebayOldestPendingTooOld"]),
    ]
}

fn rows() -> Vec<Panel> {
    vec![
        Panel::stack(
            "Rows read",
            Unit::rate_of(Name::RowsRead),
            "Rows of published files in a second; they count when their file is published. None for long, with files waiting: see Backlog.",
        )
        .ask(sum("pipeline", &rate(Name::RowsRead)), "{{pipeline}}")
        .runbooks(&["ForebayPipelineStalled"]),
        Panel::stack(
            "Bytes read",
            Unit::rate_of(Name::ReadBytes),
            "Input read in a second, block by block, every attempt. If this stands still while files are in progress, one of them is stuck.",
        )
        .ask(sum("pipeline", &rate(Name::ReadBytes)), "{{pipeline}}")
        .runbooks(&["ForebayFileStuck"]),
        Panel::lines(
            "Rejected, of the rows read",
            Unit::Share,
            "Rows refused within an hour, of the rows read. Above 2 % the sender has probably changed something: see the reasons in Pipeline.",
        )
        .ask(max("pipeline", &series(record::REJECT_RATIO)), "{{pipeline}}")
        .limits(&[Limit(0.02, "red")])
        .empty("nothing read within an hour")
        .runbooks(&["ForebayRejectRatioHigh"]),
    ]
}

fn pipelines() -> Panel {
    let by = "job, instance, pipeline";
    let url = "/d/forebay-pipeline?${datasource:queryparam}&${job:queryparam}&${instance:queryparam}\
               &var-pipeline=${__value.raw}&${__url_time_range}";
    Panel::table(
        "Pipelines",
        Unit::Count,
        "Each pipeline as it is now, and what it did in the time shown. Look for a long time since the last success, and for files in quarantine; a click on the name leads on.",
    )
    .leading_to("pipeline", "pipeline", "Its files and rows", url.to_owned())
    .ask_column(max(by, &age(Name::LastSuccess)), "since last success", Unit::of(Name::LastSuccess))
    .ask_column(sum(by, &of(Name::FilesPending)), "waiting", Unit::of(Name::FilesPending))
    .ask_column(sum(by, &of(Name::FilesInFlight)), "in progress", Unit::of(Name::FilesInFlight))
    .ask_column(sum(by, &of(Name::FilesQuarantined)), "in quarantine", Unit::of(Name::FilesQuarantined))
    .ask_column(sum(by, &over_range(Name::FilesProcessed, "")), "files", Unit::of(Name::FilesProcessed))
    .ask_column(sum(by, &over_range(Name::RowsRead, "")), "rows read", Unit::of(Name::RowsRead))
    .ask_column(sum(by, &over_range(Name::RowsRejected, "")), "rows rejected", Unit::of(Name::RowsRejected))
    .empty("no pipeline")
}

fn firing(runbooks: &str) -> Panel {
    Panel::table(
        "Alerts",
        Unit::Count,
        "Alerts that fire, or will if it goes on like this, for what is chosen above. A click on the name opens its runbook.",
    )
    .leading_to("alertname", "alert", "Runbook", format!("{runbooks}/${{__value.raw}}.md"))
    .ask(alerts("firing|pending"), "{{alertname}}")
    .without(&["Value"])
    .empty("no alert")
}
