//! The one judge of all suites: holds what lies at a site, what its ledger says and what its metrics say against what was
//! dropped there.

use std::fmt;
use std::time::{Duration, Instant};

use crate::daemon::{Daemon, PATIENCE, Waited};
use crate::inventory::{Inventory, difference, snapshot};
use crate::ledger;
use crate::site::Site;

mod books;
mod files;

pub(crate) use books::{Ask, metrics_agree, no_attempt_spent};

/// Published directories whose Parquet is read to the last cell at one check; of more, so many are drawn.
const READ: usize = 200;

/// How long tidying up may take after the last commit.
const TIDY: Duration = Duration::from_secs(1);

/// What is wrong, by the part of the promise it breaks.
#[derive(Debug, Default)]
pub(crate) struct Verdict {
    /// An input or a row is nowhere, or its bytes are not its own any more.
    pub(crate) lost: Vec<String>,
    /// An input, a content or a row is somewhere twice.
    pub(crate) doubled: Vec<String>,
    /// Somebody would have to act: not finished, in the wrong place, something left over.
    pub(crate) stuck: Vec<String>,
    /// Folders, manifests, ledger and metrics do not agree.
    pub(crate) contradicted: Vec<String>,
}

impl Verdict {
    pub(crate) fn is_sound(&self) -> bool {
        [&self.lost, &self.doubled, &self.stuck, &self.contradicted].iter().all(|faults| faults.is_empty())
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [
            ("lost", &self.lost),
            ("doubled", &self.doubled),
            ("needs a human", &self.stuck),
            ("contradiction", &self.contradicted),
        ];
        for (what, faults) in parts {
            for fault in faults.iter().take(10) {
                writeln!(f, "{what}: {fault}")?;
            }
            if faults.len() > 10 {
                writeln!(f, "{what}: and {} more", faults.len() - 10)?;
            }
        }
        Ok(())
    }
}

/// Stops the test if the verdict is not sound.
#[track_caller]
pub(crate) fn demand(verdict: &Verdict, when: &str) {
    assert!(verdict.is_sound(), "{when}:\n{verdict}");
}

/// Judges a site whose daemon is dead, before any recovery: every input is in one place only, nothing is put away before its
/// result is visible, and what is visible is whole and there once.
pub(crate) fn at_any_moment(site: &Site) -> Verdict {
    let mut verdict = Verdict::default();
    // The producer waits until the look is over.
    let dropped = site.dropped();
    let inventory = Inventory::of(site);
    let contents = files::contents(&dropped);
    files::places(site, &dropped, &inventory, &mut verdict);
    files::once(&inventory, &contents, &ledger::arrivals(&site.state), &mut verdict);
    files::published(&inventory, &contents, 0, &mut verdict);
    verdict
}

/// Judges a site where everything is done. The daemon may run or not; the empty work folder of its last file goes a moment
/// after the last commit.
pub(crate) fn settled(site: &Site) -> Verdict {
    let began = Instant::now();
    loop {
        let verdict = settled_now(site);
        let may_pass = [&verdict.lost, &verdict.doubled, &verdict.contradicted].iter().all(|faults| faults.is_empty());
        if verdict.is_sound() || !may_pass || began.elapsed() > TIDY {
            return verdict;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn settled_now(site: &Site) -> Verdict {
    let mut verdict = Verdict::default();
    let dropped = site.dropped();
    let inventory = Inventory::of(site);
    let contents = files::contents(&dropped);
    files::places(site, &dropped, &inventory, &mut verdict);
    files::once(&inventory, &contents, &[], &mut verdict);
    files::ends(site, &inventory, &contents, &mut verdict);
    files::published(&inventory, &contents, READ, &mut verdict);
    books::account(site, dropped.len(), &inventory, &mut verdict);
    verdict
}

/// Starts the daemon, waits until all is done, judges, and starts it once more, which must change nothing.
/// Returns how long each start took until it was ready.
#[track_caller]
pub(crate) fn recover(site: &Site, when: &str) -> [Duration; 2] {
    let before = ledger::arrivals(&site.state);
    let mut daemon = Daemon::spawn(site, &[]);
    let first = ready(&mut daemon, when);
    let waited = daemon.wait_done(site, PATIENCE);
    assert_eq!(waited, Waited::Done, "{when}: needs a human: not done after a restart\n{}", settled(site));
    demand(&settled(site), when);
    demand(&metrics_agree(site, &daemon, &before, Ask::Counters), when);
    assert!(daemon.stop().success(), "{when}: no clean stop");
    let after = snapshot(site);
    let before = ledger::arrivals(&site.state);
    let mut daemon = Daemon::spawn(site, &[]);
    let second = ready(&mut daemon, when);
    demand(&metrics_agree(site, &daemon, &before, Ask::All), when);
    assert!(daemon.stop().success(), "{when}: no clean stop");
    let changed = difference(&after, &snapshot(site));
    assert!(changed.is_empty(), "{when}: a second recovery changed something:\n{}", changed.join("\n"));
    [first, second]
}

#[track_caller]
fn ready(daemon: &mut Daemon, when: &str) -> Duration {
    let waited = daemon.wait_ready();
    assert_eq!(waited, Waited::Done, "{when}: needs a human: the daemon does not start\n{}", daemon.log());
    daemon.age()
}
