//! Staged files that wait for others to be published with. Pure.
//!
//! What is published in company shares the syncs of directories and the ledger's commits, and these are most of what a
//! small file costs.

use std::time::Duration;

use crate::job::FileId;

/// How long a staged file waits for company.
const PATIENCE: Duration = Duration::from_millis(20);

/// Files to be published, the first staged first, and until when each of them waits.
#[derive(Debug, Clone, Default)]
pub(super) struct Gathering {
    staged: Vec<(Duration, FileId)>,
}

impl Gathering {
    /// Takes in a file that is staged now; returns until when it waits.
    pub(super) fn add(&mut self, id: FileId, now: Duration) -> Duration {
        let until = now + PATIENCE;
        self.staged.push((until, id));
        until
    }

    /// Returns the files to publish: all, if they are `enough`, have waited long enough, or `nobody_comes`; else none.
    pub(super) fn publish(&mut self, now: Duration, enough: usize, nobody_comes: bool) -> Vec<FileId> {
        let due = self.staged.first().is_some_and(|(until, _)| *until <= now);
        if !due && !nobody_comes && self.staged.len() < enough {
            return Vec::new();
        }
        self.staged.drain(..).map(|(_, id)| id).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> FileId {
        FileId::parse(text).unwrap()
    }

    #[test]
    fn a_file_waits_for_company_but_not_for_long_and_not_in_vain() {
        let mut gathering = Gathering::default();
        let now = Duration::from_secs(1);
        let until = gathering.add(id("a"), now);
        assert!(gathering.publish(now, 2, false).is_empty(), "another may come");
        assert!(gathering.publish(until.saturating_sub(Duration::from_nanos(1)), 2, false).is_empty());
        assert_eq!(gathering.publish(until, 2, false), [id("a")], "none has come");
        gathering.add(id("b"), now);
        assert_eq!(gathering.publish(now, 2, true), [id("b")], "none can come");
        gathering.add(id("c"), now);
        gathering.add(id("d"), now);
        assert_eq!(gathering.publish(now, 2, false), [id("c"), id("d")], "they are enough");
        assert!(gathering.publish(until, 1, true).is_empty(), "each is published once");
    }
}
