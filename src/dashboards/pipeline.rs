//! What becomes of files and rows, and how long it takes.

use super::panel::{Limit, Panel};
use super::promql::{
    Unit, age, age_or_zero, buckets, count_rate, increase, max, of, over_range, quantile, record, series, sum, sum_rate,
};
use super::{Dashboard, Row};
use crate::telemetry::catalog::Name;

pub(super) fn dashboard() -> Dashboard {
    Dashboard {
        name: "pipeline",
        uid: "forebay-pipeline",
        title: "forebay: pipeline",
        about: "What becomes of the files and rows of one pipeline or more, how long it takes, and what is refused for which reason.",
        rows: vec![
            Row { title: "Time", panels: time() },
            Row { title: "Rows", panels: rows() },
            Row { title: "Files", panels: files() },
            Row { title: "Sizes", panels: sizes() },
            Row { title: "Trouble", panels: vec![failures()] },
        ],
    }
}

fn time() -> Vec<Panel> {
    let mean = format!("{} / ({} > 0)", sum("stage", &sum_rate(Name::StageDuration)), {
        sum("stage", &count_rate(Name::StageDuration))
    });
    let published = "arrival to published";
    vec![
        Panel::heatmap(
            "Arrival to published",
            Unit::of(Name::FileLatency),
            "Published files by how long they took from arrival on; a dot is one file, and leads to it. A band that moves up means waiting or slower work.",
        )
        .ask_with_exemplars(buckets(Name::FileLatency), "{{le}}")
        .empty("nothing published")
        .runbooks(&["ForebayLatencyBudgetBurn"])
        .wide(12),
        Panel::lines(
            "Waiting and working",
            Unit::of(Name::FileLatency),
            "What 95 % of the files kept: from arrival to the start, from the start to the end, and in all. Much waiting needs workers, much work is large or slow files.",
        )
        .ask_with_exemplars(quantile(0.95, "job", Name::FileWait), "waiting")
        .ask_with_exemplars(quantile(0.95, "job", Name::FileDuration), "working")
        .ask_with_exemplars(quantile(0.95, "job", Name::FileLatency), published)
        .measured_by(max("pipeline", &format!("{} > 0", of(Name::LatencyObjective))), "{{pipeline}} objective")
        .empty("no file came to an end")
        .runbooks(&["ForebayLatencyBudgetBurn", "ForebayOldestPendingTooOld"])
        .wide(12),
        Panel::stack(
            "Work per file, by stage",
            Unit::of(Name::StageDuration),
            "Mean busy time of each stage for one file, over all threads. The thickest layer is where time goes; a layer that grows tells what became slow.",
        )
        .ask(mean, "{{stage}}")
        .empty("no file came to an end")
        .wide(12),
        Panel::lines(
            "Longest in progress",
            Unit::of(Name::OldestInFlight),
            "How long the oldest file in progress has been worked on; 0 if none is. Half an hour and no bytes read: it is stuck, and a restart takes it up again.",
        )
        .ask(max("pipeline", &age_or_zero(Name::OldestInFlight)), "{{pipeline}}")
        .limits(&[Limit(1800.0, "orange")])
        .runbooks(&["ForebayFileStuck"])
        .wide(12),
    ]
}

fn rows() -> Vec<Panel> {
    vec![
        Panel::bars(
            "Rows by fate",
            Unit::of(Name::RowsRead),
            "What became of the rows that were read. Quarantined ones are in no output until a person mends the file; rejected ones are in rejects.parquet.",
        )
        .ask(format!("sum({})", increase(Name::RowsWritten)), "written")
        .ask(format!("sum({})", increase(Name::RowsDropped)), "dropped by a rule")
        .ask(format!("sum({})", increase(Name::RowsRejected)), "rejected")
        .ask(format!("sum({})", increase(Name::RowsQuarantined)), "quarantined")
        .runbooks(&["ForebayRowsUnaccounted", "ForebayQuarantineNotEmpty"])
        .wide(12),
        Panel::lines(
            "Rejected, of the rows read",
            Unit::Share,
            "Rows refused within an hour, of the rows read. Above 2 % the sender has probably changed something: the reasons are below.",
        )
        .ask(max("pipeline", &series(record::REJECT_RATIO)), "{{pipeline}}")
        .limits(&[Limit(0.02, "red")])
        .empty("nothing read within an hour")
        .runbooks(&["ForebayRejectRatioHigh"])
        .wide(12),
        Panel::bars(
            "Rejects by reason",
            Unit::of(Name::RowsRejected),
            "Rows refused in published files, by the first thing wrong with them. One reason that jumps up: `forebay rejects ID` shows the rows themselves.",
        )
        .ask(sum("reason", &increase(Name::RowsRejected)), "{{reason}}")
        .runbooks(&["ForebayRejectRatioHigh"])
        .wide(12),
        Panel::bars(
            "Violations by rule",
            Unit::of(Name::RuleViolations),
            "Rows for which a rule was false, whatever its action. A rule that suddenly fires tells of changed data, or of a rule that no longer fits.",
        )
        .ask(sum("pipeline, rule", &increase(Name::RuleViolations)), "{{pipeline}} {{rule}}")
        .empty("no rules in the configuration")
        .runbooks(&["ForebayRejectRatioHigh"])
        .wide(12),
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
        Panel::bars(
            "Files found, by how",
            Unit::of(Name::FilesDiscovered),
            "Files seen for the first time: told by an event, found by a scan, or there at the start. Nothing for long: ask the sender; scans only: see the watcher in Resources.",
        )
        .ask(sum("source", &increase(Name::FilesDiscovered)), "{{source}}")
        .runbooks(&["ForebayDataStale", "ForebayWatcherUnhealthy"]),
        Panel::bars(
            "Headers that differ",
            Unit::of(Name::SchemaDrift),
            "Files whose header differed from the configured columns, by how. The first bars after a quiet time: the sender changed the format, so ask whether it is meant.",
        )
        .ask(sum("pipeline, kind", &increase(Name::SchemaDrift)), "{{pipeline}} {{kind}}")
        .runbooks(&["ForebaySchemaDrift"]),
    ]
}

fn sizes() -> Vec<Panel> {
    vec![
        Panel::heatmap(
            "Size of files",
            Unit::of(Name::FileSize),
            "Files taken in, by their size as they arrived. A new band far above the others explains slow files and memory; far below, look for cut-off files.",
        )
        .ask(buckets(Name::FileSize), "{{le}}")
        .empty("no file taken in"),
        Panel::heatmap(
            "Rows of files",
            Unit::of(Name::FileRows),
            "Published files by their number of records. A band that drops means senders deliver less than they did, though every file is sound.",
        )
        .ask(buckets(Name::FileRows), "{{le}}")
        .empty("nothing published"),
        Panel::lines(
            "In progress",
            Unit::of(Name::InFlightRows),
            "Records read so far of the files in progress. It grows while work goes on; a flat line above 0 is a file that is stuck.",
        )
        .ask(sum("pipeline", &of(Name::InFlightRows)), "{{pipeline}}")
        .runbooks(&["ForebayFileStuck"]),
    ]
}

fn failures() -> Panel {
    let by = "job, instance, pipeline";
    let ended = |outcome: &str| sum(by, &over_range(Name::FilesProcessed, &format!("outcome=\"{outcome}\"")));
    Panel::table(
        "Recent failures",
        Unit::Count,
        "What went wrong in the time shown, pipeline by pipeline. For the files behind it: `forebay files -p PIPELINE -s quarantined`, then `forebay explain ID`.",
    )
    .ask_column(max(by, &age(Name::LastFailure)), "since last failure", Unit::of(Name::LastFailure))
    .ask_column(ended("quarantined"), "quarantined", Unit::of(Name::FilesProcessed))
    .ask_column(ended("failed"), "given up", Unit::of(Name::FilesProcessed))
    .ask_column(sum(by, &over_range(Name::FileRetries, "")), "tried again", Unit::of(Name::FileRetries))
    .ask_column(sum(by, &of(Name::FilesQuarantined)), "in quarantine now", Unit::of(Name::FilesQuarantined))
    .ask_column(sum(by, &over_range(Name::RowsQuarantined, "")), "rows in them", Unit::of(Name::RowsQuarantined))
    .empty("no pipeline")
    .runbooks(&["ForebayFilesFailing", "ForebayQuarantineNotEmpty"])
}
