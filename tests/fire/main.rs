//! Live fire: the real daemon, a real Prometheus and a real Alertmanager with the shipped rules and routes, sixty times
//! faster. Each alert's fault is caused, the page must arrive and say what it should, and it must be taken back once the
//! fault is gone. See `alerts/README.md`.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a broken test should stop at once, with the line that broke"
)]
#![expect(
    clippy::disallowed_methods,
    reason = "the harness stands outside: it plays producer, operator and misfortune, and waits for programs with clocks of their own"
)]
#![expect(clippy::format_collect, reason = "test data is written as it is read: one line after the other")]
#![expect(
    clippy::unnecessary_wraps,
    reason = "every drill may tell why it cannot be done here; most can always be done"
)]

mod alert;
mod control;
mod daemon;
mod drill;
mod drills;
mod inbox;
#[path = "../faults/mounts.rs"]
#[expect(dead_code, reason = "shared with the fault suites, which use all of it")]
mod mounts;
mod process;
mod range;
mod receiver;
mod report;
#[path = "../it/support/scrape.rs"]
#[expect(dead_code, clippy::string_slice, reason = "shared with the other tests, which use all of it")]
mod scrape;

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::{Duration, Instant};

use drills::{DRILLS, Exercise};
use range::Range;

/// How many times faster than in earnest everything happens.
const PACE: u32 = 60;

/// How long anything may take before a drill gives up. Generous: the machine may be busy.
const PATIENCE: Duration = Duration::from_mins(3);

/// Polls until there is something, and stops the drill after [`PATIENCE`] with what was waited for.
#[track_caller]
fn wait_for<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(began.elapsed() < PATIENCE, "waited {PATIENCE:?} in vain for {what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn every_alert_pages_and_is_taken_back() {
    if !report::has_tools() {
        return;
    }
    let began = Instant::now();
    let range = Range::open();
    let control = control::Control::start(&range);
    range.load_rules();
    let (runs, left_out): (Vec<_>, Vec<_>) = DRILLS.iter().partition(|drill| report::is_full() || !drill.full);
    let mut excused: BTreeSet<&str> = left_out.iter().flat_map(|drill| drill.alerts).copied().collect();
    let ended: Vec<_> = std::thread::scope(|scope| {
        let run = |drill: &'static Exercise| scope.spawn(|| catch_unwind(AssertUnwindSafe(|| (drill.run)(&range))));
        let running: Vec<_> = runs.into_iter().map(|drill| (drill, run(drill))).collect();
        running.into_iter().map(|(drill, run)| (drill, run.join().unwrap())).collect()
    });
    let report = range.report();
    report.print(began.elapsed());
    for drill in left_out {
        report::left_out(drill.name, "FOREBAY_FIRE=full runs it");
    }
    let mut broken = None;
    for (drill, result) in ended {
        match result {
            Ok(Ok(())) => {}
            Ok(Err(why)) => {
                report::left_out(drill.name, &why);
                excused.extend(drill.alerts);
            }
            Err(panic) => {
                report::tell(&format!("FAILED: fire: {}", drill.name));
                broken = Some(panic);
            }
        }
    }
    if let Some(panic) = broken {
        resume_unwind(panic);
    }
    control.expect_sound();
    range.expect_nothing_else();
    range.expect_groups();
    report.expect_all_alerts(&excused);
}
