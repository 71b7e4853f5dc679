//! One sync of a directory for everybody who asked for it before it began.
//!
//! A sync that is under way when somebody asks may have begun before his change, so it is none of his: he waits for the next
//! one, together with everybody else who comes meanwhile, and one of them does it for all. Whoever is alone does not wait.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use rustix::io::Errno;

/// A directory: its device and its inode.
pub(super) type Dir = (u64, u64);

/// How long a sync waits for the others who are on their way to one: about what a sync costs.
const PATIENCE: Duration = Duration::from_millis(2);

/// The syncs of directories, under way and asked for.
#[derive(Debug, Default)]
pub(super) struct Together {
    state: Mutex<Syncs>,
    /// All who are on the path wait, or somebody has left it.
    all: Condvar,
}

#[derive(Debug, Default)]
struct Syncs {
    dirs: BTreeMap<Dir, Queue>,
    /// Threads on the durable path.
    company: usize,
    /// Those of them who wait for a sync, or need not be waited for.
    waiting: usize,
}

#[derive(Debug, Default)]
struct Queue {
    /// A sync is under way, or somebody is about to begin it.
    busy: bool,
    /// The one that has not begun.
    next: Arc<Round>,
}

/// One sync, and those who wait for it.
#[derive(Debug, Default)]
struct Round {
    answer: OnceLock<Result<(), Errno>>,
    turn: Condvar,
}

/// Somebody is on the durable path, until this is dropped.
#[derive(Debug)]
pub struct Company<'a>(Option<&'a Together>);

impl Company<'_> {
    /// Somebody who shares nothing.
    pub(super) const ALONE: Self = Self(None);
}

impl Drop for Company<'_> {
    fn drop(&mut self) {
        if let Some(together) = self.0 {
            let mut syncs = together.syncs();
            syncs.company -= 1;
            together.look_whether_all_wait(&syncs);
        }
    }
}

/// Somebody on the path does something long, until this is dropped.
#[derive(Debug)]
pub(super) struct Away<'a>(&'a Together);

impl Drop for Away<'_> {
    fn drop(&mut self) {
        self.0.syncs().waiting -= 1;
    }
}

impl Together {
    pub(super) const fn new() -> Self {
        Self { state: Mutex::new(Syncs { dirs: BTreeMap::new(), company: 0, waiting: 0 }), all: Condvar::new() }
    }

    /// Joins those who are on the durable path.
    pub(super) fn join(&self) -> Company<'_> {
        self.syncs().company += 1;
        Company(Some(self))
    }

    /// Tells that nobody need wait for the caller, who is on the path.
    pub(super) fn step_aside(&self) -> Away<'_> {
        let mut syncs = self.syncs();
        syncs.waiting += 1;
        self.look_whether_all_wait(&syncs);
        Away(self)
    }

    /// Returns what a sync of `dir` said that began after this call did: by `sync`, or by somebody else's.
    pub(super) fn sync(&self, dir: Dir, sync: impl FnOnce() -> Result<(), Errno>) -> Result<(), Errno> {
        let mut syncs = self.syncs();
        syncs.waiting += 1;
        self.look_whether_all_wait(&syncs);
        let round = Arc::clone(&syncs.dirs.entry(dir).or_default().next);
        let wait =
            |syncs: &mut Syncs| round.answer.get().is_none() && syncs.dirs.get(&dir).is_some_and(|queue| queue.busy);
        syncs = round.turn.wait_while(syncs, wait).unwrap_or_else(PoisonError::into_inner);
        if let Some(answer) = round.answer.get() {
            syncs.waiting -= 1;
            return *answer;
        }
        // Nobody is about to begin this one: it is ours. Until it begins, others may still come to share it.
        syncs.dirs.entry(dir).or_default().busy = true;
        syncs = self.gather(syncs);
        syncs.waiting -= 1;
        syncs.dirs.entry(dir).or_default().next = Arc::default();
        drop(syncs);
        let answer = sync();
        self.end(dir, &round, answer);
        answer
    }

    /// Waits until all who are on the path wait, or for as long as it pays.
    fn gather<'a>(&self, syncs: MutexGuard<'a, Syncs>) -> MutexGuard<'a, Syncs> {
        let others = |syncs: &mut Syncs| syncs.waiting < syncs.company;
        let waited = self.all.wait_timeout_while(syncs, PATIENCE, others);
        waited.unwrap_or_else(PoisonError::into_inner).0
    }

    fn look_whether_all_wait(&self, syncs: &Syncs) {
        if syncs.waiting >= syncs.company {
            self.all.notify_all();
        }
    }

    fn end(&self, dir: Dir, round: &Round, answer: Result<(), Errno>) {
        let mut syncs = self.syncs();
        let next = syncs.dirs.remove(&dir).map(|queue| queue.next).unwrap_or_default();
        round.tell(answer);
        if answer.is_err() {
            // What they changed may have been lost with this one, and the next would not know of it any more.
            next.tell(answer);
        } else if Arc::strong_count(&next) > 1 {
            next.turn.notify_one();
            drop(syncs.dirs.insert(dir, Queue { busy: false, next }));
        }
    }

    fn syncs(&self) -> MutexGuard<'_, Syncs> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Round {
    fn tell(&self, answer: Result<(), Errno>) {
        // A round is told once: by the one who did it, or by the failure before it.
        self.answer.get_or_init(|| answer);
        self.turn.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::thread;

    use super::*;
    use crate::clock::{Clock as _, SystemClock};

    const DIR: Dir = (1, 2);

    /// A disk whose syncs tell when they begin and end when they are told to.
    struct Slow {
        together: Together,
        begun: Sender<()>,
        end: Mutex<Receiver<Result<(), Errno>>>,
        syncs: AtomicU32,
    }

    impl Slow {
        fn new() -> (Self, Receiver<()>, Sender<Result<(), Errno>>) {
            let ((begun, begins), (ends, end)) = (channel(), channel());
            let slow = Self { together: Together::new(), begun, end: Mutex::new(end), syncs: AtomicU32::new(0) };
            (slow, begins, ends)
        }

        fn sync(&self) -> Result<(), Errno> {
            self.together.sync(DIR, || {
                self.syncs.fetch_add(1, Ordering::SeqCst);
                self.begun.send(()).unwrap();
                self.end.lock().unwrap().recv().unwrap()
            })
        }

        /// Waits until so many wait for the next sync.
        fn until_waiting(&self, wanted: usize) {
            let waiting = || self.together.syncs().dirs.get(&DIR).map_or(0, |queue| Arc::strong_count(&queue.next) - 1);
            while waiting() != wanted {
                thread::yield_now();
            }
        }
    }

    #[test]
    fn who_asks_while_one_is_under_way_waits_for_the_next_and_shares_it() {
        let (slow, begins, ends) = Slow::new();
        thread::scope(|scope| {
            let first = scope.spawn(|| slow.sync());
            begins.recv().unwrap();
            let others: Vec<_> = (0..5).map(|_| scope.spawn(|| slow.sync())).collect();
            slow.until_waiting(5);
            ends.send(Ok(())).unwrap();
            assert_eq!(first.join().unwrap(), Ok(()));
            // One of the five has begun the second, and nobody is answered before it has ended.
            begins.recv().unwrap();
            assert!(others.iter().all(|other| !other.is_finished()));
            assert_eq!(slow.syncs.load(Ordering::SeqCst), 2);
            ends.send(Ok(())).unwrap();
            for other in others {
                assert_eq!(other.join().unwrap(), Ok(()));
            }
        });
        assert_eq!(slow.syncs.load(Ordering::SeqCst), 2);
        assert!(slow.together.syncs().dirs.is_empty(), "nothing is kept of a directory nobody syncs");
    }

    #[test]
    fn a_failure_is_told_to_all_who_asked_before_it_ended_and_to_nobody_else() {
        let (slow, begins, ends) = Slow::new();
        thread::scope(|scope| {
            let first = scope.spawn(|| slow.sync());
            begins.recv().unwrap();
            let second = scope.spawn(|| slow.sync());
            slow.until_waiting(1);
            ends.send(Err(Errno::IO)).unwrap();
            assert_eq!(first.join().unwrap(), Err(Errno::IO));
            assert_eq!(second.join().unwrap(), Err(Errno::IO), "a sync after a failed one says nothing");
            assert_eq!(slow.syncs.load(Ordering::SeqCst), 1);
            ends.send(Ok(())).unwrap();
            assert_eq!(slow.sync(), Ok(()));
        });
    }

    #[test]
    fn directories_do_not_wait_for_each_other() {
        let (slow, begins, ends) = Slow::new();
        thread::scope(|scope| {
            let first = scope.spawn(|| slow.sync());
            begins.recv().unwrap();
            assert_eq!(slow.together.sync((1, 3), || Ok(())), Ok(()));
            ends.send(Ok(())).unwrap();
            assert_eq!(first.join().unwrap(), Ok(()));
        });
    }

    #[test]
    fn those_on_the_path_share_a_sync_and_wait_for_each_other_but_not_for_ever() {
        let together = Together::new();
        let syncs = AtomicU32::new(0);
        let sync = || {
            together.sync(DIR, || {
                syncs.fetch_add(1, Ordering::SeqCst);
                Ok(())
            })
        };
        // Both have joined before either asks: the first waits, and one sync serves both.
        let (one, other) = (together.join(), together.join());
        let waits = |wanted: usize| {
            while together.syncs().waiting != wanted {
                thread::yield_now();
            }
        };
        let began = SystemClock.monotonic();
        thread::scope(|scope| {
            scope.spawn(|| sync().unwrap());
            waits(1);
            sync().unwrap();
        });
        assert!(syncs.load(Ordering::SeqCst) == 1 || SystemClock.monotonic().saturating_sub(began) >= PATIENCE);
        // The other one does not come.
        let began = SystemClock.monotonic();
        sync().unwrap();
        assert!(SystemClock.monotonic().saturating_sub(began) >= PATIENCE, "nobody knows that he does not come");
        // He is busy with something long, and says so.
        let aside = together.step_aside();
        let began = SystemClock.monotonic();
        sync().unwrap();
        assert!(SystemClock.monotonic().saturating_sub(began) < PATIENCE, "nobody waits for him");
        drop(aside);
        // He has left.
        drop(other);
        sync().unwrap();
        drop(one);
        let syncs = together.syncs();
        assert_eq!((syncs.company, syncs.waiting), (0, 0));
        assert!(syncs.dirs.is_empty());
    }

    /// Whatever the interleaving: a sync that answers somebody has seen his change.
    #[test]
    fn no_one_is_answered_by_a_sync_that_began_before_his_change() {
        let together = Together::new();
        let (written, synced) = (AtomicU32::new(0), AtomicU32::new(0));
        let change = || {
            let mine = written.fetch_add(1, Ordering::SeqCst) + 1;
            let sync = || {
                let seen = written.load(Ordering::SeqCst);
                thread::yield_now();
                synced.fetch_max(seen, Ordering::SeqCst);
                Ok(())
            };
            together.sync(DIR, sync).unwrap();
            assert!(synced.load(Ordering::SeqCst) >= mine);
        };
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| (0..500).for_each(|_| change()));
            }
        });
    }
}
