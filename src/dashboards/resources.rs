//! What the process and its workers use, and what holds them up.

use super::panel::{Limit, Panel};
use super::promql::{Unit, age, increase, max, of, of_those, quantile, rate, record, series, sum, sum_rate};
use super::{Dashboard, Row};
use crate::telemetry::catalog::Name;

pub(super) fn dashboard() -> Dashboard {
    Dashboard {
        name: "resources",
        uid: "forebay-resources",
        title: "forebay: resources",
        about: "Memory, processor and disks of daemon and workers, and the health of ledger, watcher and endpoint.",
        rows: vec![
            Row { title: "Memory", panels: memory() },
            Row { title: "Processor and workers", panels: workers() },
            Row { title: "Disks", panels: disks() },
            Row { title: "Ledger", panels: ledger() },
            Row { title: "Watcher", panels: watcher() },
            Row { title: "Endpoint and log", panels: [endpoint(), process()].concat() },
        ],
    }
}

fn memory() -> Vec<Panel> {
    vec![
        Panel::stack(
            "Memory against the budget",
            Unit::of(Name::ProcessResident),
            "Resident memory of daemon and workers, beside the budget and what jobs have set aside. Near the budget jobs wait, and beyond it the kernel may kill a worker.",
        )
        .ask(sum("instance", &of(Name::ProcessResident)), "{{instance}} daemon")
        .ask(sum("instance, worker", &of(Name::WorkerResident)), "{{instance}} worker {{worker}}")
        .measured_by(sum("instance", &of(Name::MemoryBudget)), "{{instance}} budget")
        .measured_by(sum("instance", &of(Name::MemoryReserved)), "{{instance}} set aside")
        .runbooks(&["ForebayMemoryNearLimit"]),
        Panel::lines(
            "Memory, of the budget",
            Unit::Share,
            "Daemon and workers together, as a part of the budget. Above 90 %: fewer `limits.workers`, or more memory.",
        )
        .ask(max("instance", &series(record::RESIDENT_RATIO)), "{{instance}}")
        .limits(&[Limit(0.9, "red")])
        .empty("not scraped, or no rules loaded")
        .runbooks(&["ForebayMemoryNearLimit"])
        .full_scale(),
        Panel::lines(
            "Highest memory, by stage",
            Unit::of(Name::StagePeakRss),
            "The highest resident memory of a worker while the stage ran, for the last file. The pipeline on top is the one that fills the budget.",
        )
        .ask(max("pipeline, stage", &of(Name::StagePeakRss)), "{{pipeline}} {{stage}}")
        .empty("no file yet")
        .runbooks(&["ForebayMemoryNearLimit"]),
    ]
}

fn workers() -> Vec<Panel> {
    vec![
        Panel::stack(
            "Busy, by stage",
            Unit::Share,
            "Threads at work, by stage; 100 % is one core. A file counts when it ends, so long files show as peaks; the largest layer is where more cores would help.",
        )
        .ask(sum("stage", &sum_rate(Name::StageDuration)), "{{stage}}"),
        Panel::lines(
            "Processor time",
            Unit::rate_of(Name::ProcessCpu),
            "Processor time of the daemon, and of its workers, which do nearly all of the work; 100 % is one core. Next to nothing when idle: much of it without files is worth a bug report.",
        )
        .ask(sum("instance", &rate(Name::WorkerCpu)), "{{instance}} workers")
        .ask(sum("instance", &rate(Name::ProcessCpu)), "{{instance}} daemon"),
        Panel::lines(
            "Workers busy",
            Unit::of(Name::WorkersBusy),
            "Files being processed, beside how many may be at once. All busy for long with a backlog: `limits.workers` is the limit, if memory and disks allow for more.",
        )
        .ask(sum("instance", &of(Name::WorkersBusy)), "{{instance}} busy")
        .measured_by(sum("instance", &of(Name::Workers)), "{{instance}} at most")
        .runbooks(&["ForebayOldestPendingTooOld"]),
        Panel::bars(
            "Crashes of workers",
            Unit::of(Name::WorkerCrashes),
            "Workers that came to a bad end, by cause; each costs one attempt of one file. Any of them: the log names the file, and `out_of_memory` needs fewer workers.",
        )
        .ask(sum("cause", &increase(Name::WorkerCrashes)), "{{cause}}")
        .runbooks(&["ForebayWorkerCrashing"]),
        Panel::bars(
            "Attempts to be repeated",
            Unit::of(Name::FileRetries),
            "Attempts that ended without an outcome, by reason. A few are normal after a crash or a full disk; a steady stream means the cause is still there.",
        )
        .ask(sum("reason", &increase(Name::FileRetries)), "{{reason}}")
        .runbooks(&["ForebayFilesFailing"]),
        Panel::lines(
            "Back-pressure",
            Unit::of(Name::Backpressure),
            "1 while work waits for this resource. Memory now and then is normal under load; disk means there is no room, so make some; output, that an output, archive or quarantine cannot be written: the log says why.",
        )
        .ask(max("instance, reason", &of(Name::Backpressure)), "{{instance}} {{reason}}")
        .limits(&[Limit(1.0, "orange")])
        .runbooks(&["ForebayDiskFillingUp", "ForebayMemoryNearLimit"])
        .full_scale(),
    ]
}

fn disks() -> Vec<Panel> {
    vec![
        Panel::lines(
            "Free space",
            Unit::of(Name::FilesystemFree),
            "Bytes free for forebay on each volume. A steady fall ends in back-pressure: move published files away, or empty archive and quarantine.",
        )
        .ask(sum("instance, volume", &of(Name::FilesystemFree)), "{{instance}} {{volume}}")
        .runbooks(&["ForebayDiskFillingUp"]),
        Panel::lines(
            "Free space, of the size",
            Unit::Share,
            "Free space as a part of the volume. Below 40 % the alerts watch its pace, below 10 % it is urgent: make room.",
        )
        .ask(format!("min by (instance, volume) ({})", series(record::FREE_RATIO)), "{{instance}} {{volume}}")
        .limits(&[Limit(0.1, "red"), Limit(0.4, "orange")])
        .empty("not scraped, or no rules loaded")
        .runbooks(&["ForebayDiskFillingUp"])
        .full_scale(),
        Panel::lines(
            "Read and written",
            Unit::rate_of(Name::ReadBytes),
            "Input read and output written in a second, every attempt. Much more written than files explain: attempts are repeated, see Attempts to be repeated.",
        )
        .ask(sum("instance", &rate(Name::ReadBytes)), "{{instance}} read")
        .ask(sum("instance", &rate(Name::WrittenBytes)), "{{instance}} written"),
    ]
}

fn ledger() -> Vec<Panel> {
    vec![
        Panel::lines(
            "Time of operations",
            Unit::of(Name::LedgerDuration),
            "The time that 95 % of the ledger's operations took; most of it is the disk's sync. Seconds: the volume of the state folder is slow or shared.",
        )
        .ask(quantile(0.95, "op", Name::LedgerDuration), "{{op}}")
        .empty("no operation")
        .runbooks(&["ForebayLedgerErrors"])
        .wide(6),
        Panel::bars(
            "Operations that failed",
            Unit::of(Name::LedgerErrors),
            "Operations on the ledger that failed. Any: nothing is published without it, so look at the volume of the state folder at once.",
        )
        .ask(sum("op", &increase(Name::LedgerErrors)), "{{op}}")
        .runbooks(&["ForebayLedgerErrors"])
        .wide(6),
        Panel::stack(
            "Files under way, by the ledger",
            Unit::of(Name::LedgerFiles),
            "Files by state; those that are done, which hide all others, are left out. A state that keeps a number above 0 for long holds files that do not move on.",
        )
        .ask(sum("state", &of_those(Name::LedgerFiles, "state!=\"done\"")), "{{state}}")
        .runbooks(&["ForebayFileStuck"])
        .wide(6),
        Panel::lines(
            "Size of the ledger",
            Unit::of(Name::LedgerSize),
            "Size of the ledger's database. It grows slowly with the number of files; a sudden jump is worth a look at what arrived.",
        )
        .ask(sum("instance", &of(Name::LedgerSize)), "{{instance}}")
        .wide(6),
    ]
}

fn watcher() -> Vec<Panel> {
    vec![
        Panel::lines(
            "File events delivered",
            Unit::of(Name::WatchUp),
            "1 while file events of the inbox arrive. At 0 files are still found by scans, only later: the log says why, often a limit on inotify.",
        )
        .ask(format!("min by (instance, pipeline) ({})", of(Name::WatchUp)), "{{instance}} {{pipeline}}")
        .runbooks(&["ForebayWatcherUnhealthy"])
        .full_scale()
        .wide(6),
        Panel::lines(
            "Since the last scan",
            Unit::of(Name::WatchLastScan),
            "Time since the last full scan of the inbox, beside `scan_interval`. Well beyond it scans fail or hang, and the log says why.",
        )
        .ask(max("instance, pipeline", &age(Name::WatchLastScan)), "{{instance}} {{pipeline}}")
        .measured_by(max("instance, pipeline", &of(Name::ScanInterval)), "{{instance}} {{pipeline}} interval")
        .empty("no scan yet")
        .runbooks(&["ForebayWatcherUnhealthy"])
        .wide(6),
        Panel::stack(
            "File events",
            Unit::rate_of(Name::WatchEvents),
            "Events from the kernel in a second, by kind. Many `other` ones and few files: something else works in the inbox.",
        )
        .ask(sum("kind", &rate(Name::WatchEvents)), "{{kind}}")
        .wide(6),
        Panel::bars(
            "Missed by events",
            Unit::of(Name::WatchMissed),
            "Files only a scan found, and times the kernel dropped events. Nothing is lost; if it happens often, the inbox is on a network volume or very busy.",
        )
        .ask(sum("instance", &increase(Name::WatchMissed)), "{{instance}} missed files")
        .ask(sum("instance", &increase(Name::WatchOverflows)), "{{instance}} overflows")
        .runbooks(&["ForebayWatcherUnhealthy"])
        .wide(6),
    ]
}

fn endpoint() -> Vec<Panel> {
    vec![
        Panel::stack(
            "Requests",
            Unit::rate_of(Name::HttpRequests),
            "Requests answered in a second, by handler and code. `door` counts those refused at the door: many 401 or 403 mean a wrong password, or a stranger.",
        )
        .ask(format!("{} > 0", sum("handler, code", &rate(Name::HttpRequests))), "{{handler}} {{code}}"),
        Panel::stack(
            "Log lines",
            Unit::rate_of(Name::LogEvents),
            "Log lines in a second, by level. `warn` means nothing is lost, `error` that somebody must act: read them.",
        )
        .ask(sum("level", &rate(Name::LogEvents)), "{{level}}"),
        Panel::bars(
            "Errors",
            Unit::of(Name::Errors),
            "Failures that are no file's outcome, by where and what. One that goes on: the log has its words under the same component.",
        )
        .ask(sum("component", &increase(Name::Errors)), "{{component}}")
        .runbooks(&["ForebayWatcherUnhealthy", "ForebayLedgerErrors"]),
    ]
}

fn process() -> Vec<Panel> {
    let open_files = format!("{} / {}", of(Name::ProcessOpenFds), of(Name::ProcessMaxFds));
    vec![
        Panel::lines(
            "Open files of the daemon, of the limit",
            Unit::Share,
            "Open file descriptors as a part of the limit, which is high as a rule. A line that only climbs is a leak; at 100 % the daemon can open nothing more: raise `LimitNOFILE`.",
        )
        .ask(max("instance", &open_files), "{{instance}}"),
        Panel::lines(
            "Threads of the daemon",
            Unit::of(Name::ProcessThreads),
            "Threads of the daemon. A line that only climbs is a fault of forebay: worth a bug report.",
        )
        .ask(sum("instance", &of(Name::ProcessThreads)), "{{instance}}"),
        Panel::lines(
            "Ready, and configured",
            Unit::of(Name::Ready),
            "1 while it takes files in and its engine is alive, and 1 if the configuration was taken up whole when it was last loaded. Configured at 0: the log names what was refused.",
        )
        .ask(format!("min by (instance) ({})", of(Name::Ready)), "{{instance}} ready")
        .ask(format!("min by (instance) ({})", of(Name::ReloadSuccessful)), "{{instance}} configured")
        .runbooks(&["ForebayNotReady", "ForebayConfigReloadFailed"])
        .full_scale(),
        Panel::table(
            "Versions",
            Unit::of(Name::ProcessStart),
            "What runs where, and for how long. Different versions side by side, or a short time you do not know of, are worth a question.",
        )
        .ask_column(
            format!("{} * on (job, instance) group_left (version, revision, polars) {}", age(Name::ProcessStart), of(Name::BuildInfo)),
            "runs for",
            Unit::of(Name::ProcessStart),
        )
        .empty("no target")
        .runbooks(&["ForebayCrashLooping"]),
    ]
}
