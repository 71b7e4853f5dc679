//! Files that are published later than they should be: most of them, and some.

use std::time::Duration;

use crate::alert::Alert;
use crate::daemon::Daemon;
use crate::drill::Drill;
use crate::inbox::COLUMNS;
use crate::range::Range;

/// A file becomes late by waiting for its marker.
pub(crate) fn late(range: &Range) -> Result<(), String> {
    let pipeline = |name| {
        format!(
            "[pipelines.{name}]\nsettle = \"50ms\"\nscan_interval = \"1s\"\ndone_marker = \"{{name}}.done\"\n{COLUMNS}\n\
             objectives = {{ latency = \"3s\" }}\n"
        )
    };
    let daemon = Daemon::start(range, "late", &(pipeline("most") + &pipeline("some")));
    for pipeline in ["most", "some"] {
        range.allow(Alert::warning("ForebayOldestPendingTooOld", "late").of(pipeline));
    }
    // What burns the budget of hours fast burns that of days, too, and longer.
    range.allow(Alert::warning("ForebayLatencyBudgetBurn", "late").of("most"));
    std::thread::scope(|scope| {
        scope.spawn(|| most(range, &daemon));
        some(range, &daemon);
    });
    Ok(())
}

fn most(range: &Range, daemon: &Daemon<'_>) {
    let inbox = daemon.inbox("most");
    let names: Vec<String> = (0..24).map(|number| format!("{number}.csv")).collect();
    for name in &names {
        inbox.drop_rows(name, 5, 0);
    }
    pause(6_000);
    let alert = Alert::critical("ForebayLatencyBudgetBurn", daemon.instance).of("most");
    let mut drill = Drill::begin(range, alert, "24 files, all late, latency 3 s");
    for name in &names {
        inbox.mark(name);
        pause(400);
    }
    drill.wait_page();
    drill.wait_resolved("no more late files");
}

/// One file in ten is late: too many for the budget of days, few enough for that of hours.
fn some(range: &Range, daemon: &Daemon<'_>) {
    let inbox = daemon.inbox("some");
    let late: Vec<String> = (0..5).map(|number| format!("late-{number}.csv")).collect();
    for name in &late {
        inbox.drop_rows(name, 5, 0);
    }
    pause(6_000);
    let alert = Alert::warning("ForebayLatencyBudgetBurn", daemon.instance).of("some");
    let mut drill = Drill::begin(range, alert, "one file in ten late, latency 3 s");
    for number in 0..48 {
        let name = format!("{number}.csv");
        // The marker first: then it is whole at once.
        inbox.mark(&name);
        inbox.drop_rows(&name, 5, 0);
        if number % 10 == 9 {
            inbox.mark(&late[number / 10]);
        }
        pause(500);
    }
    drill.wait_page();
    drill.wait_resolved("no more late files");
}

fn pause(milliseconds: u64) {
    std::thread::sleep(Duration::from_millis(milliseconds));
}
