//! The drills: each does one kind of harm to a daemon of its own, or to some pipelines of one.

mod disks;
mod feeds;
mod late;
mod processes;
mod stuck;
mod watching;

use crate::range::Range;

/// A drill, or some that share a daemon. It tells why if this machine cannot do it.
#[derive(Debug)]
pub(crate) struct Exercise {
    pub(crate) name: &'static str,
    /// The alerts it proves.
    pub(crate) alerts: &'static [&'static str],
    /// It takes long, and is run with `FOREBAY_FIRE=full` only.
    pub(crate) full: bool,
    pub(crate) run: fn(&Range) -> Result<(), String>,
}

const fn short(name: &'static str, alerts: &'static [&'static str], run: fn(&Range) -> Result<(), String>) -> Exercise {
    Exercise { name, alerts, full: false, run }
}

const fn long(name: &'static str, alerts: &'static [&'static str], run: fn(&Range) -> Result<(), String>) -> Exercise {
    Exercise { name, alerts, full: true, run }
}

pub(crate) const DRILLS: &[Exercise] = &[
    short("the heartbeat", &["Watchdog"], watching::heartbeat),
    short("a job without targets", &["ForebayAbsent"], watching::absent),
    short("a broken configuration", &["ForebayConfigReloadFailed"], watching::reload),
    short("restarts", &["ForebayDown", "ForebayCrashLooping"], processes::restarts),
    short("a start that hangs", &["ForebayNotReady"], processes::hanging),
    short("little memory", &["ForebayMemoryNearLimit"], processes::memory),
    short("a stuck worker", &["ForebayFileStuck", "ForebayPipelineStalled"], stuck::stuck),
    short("silent senders", &["ForebayDataStale", "ForebayNeverSucceeded"], feeds::silent),
    short(
        "bad files",
        &[
            "ForebayOldestPendingTooOld",
            "ForebayQuarantineNotEmpty",
            "ForebayRejectRatioHigh",
            "ForebayWatcherUnhealthy",
        ],
        feeds::bad,
    ),
    short("a full disk", &["ForebayDiskFillingUp"], disks::full),
    short("a ledger without room", &["ForebayLedgerErrors"], disks::ledger),
    long("a disk that fills up", &["ForebayDiskFillingUp"], disks::filling),
    long("a changed header", &["ForebaySchemaDrift"], feeds::drift),
    long("late files", &["ForebayLatencyBudgetBurn"], late::late),
    long("crashes", &["ForebayWorkerCrashing", "ForebayFilesFailing"], processes::crashes),
    long("a miscount", &["ForebayRowsUnaccounted"], processes::miscount),
];
