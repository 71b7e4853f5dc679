//! Work that comes again and again in rounds. A piece that hangs keeps the thread of its round; the rounds after it leave that
//! piece out until it is back, so there are never more threads than pieces that hang, and one.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The pieces of work under way, by name.
#[derive(Debug, Default)]
pub(super) struct Apart(Mutex<BTreeSet<String>>);

impl Apart {
    /// Does a piece of work, unless it has not come back from an earlier round.
    pub(super) fn run<T>(&self, name: &str, act: impl FnOnce() -> T) -> Option<T> {
        if !self.under_way().insert(name.to_owned()) {
            return None;
        }
        let done = act();
        self.under_way().remove(name);
        Some(done)
    }

    fn under_way(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn a_piece_that_hangs_is_left_out_until_it_is_back() {
        let apart = Apart::default();
        let (begun, (let_go, held)) = (channel::<()>(), channel::<()>());
        std::thread::scope(|scope| {
            let hung = scope.spawn(|| {
                apart.run("hung", move || {
                    begun.0.send(()).unwrap();
                    held.recv().unwrap();
                })
            });
            begun.1.recv().unwrap();
            for round in 0..3 {
                let left_out: Option<()> = apart.run("hung", || panic!("twice at a time"));
                assert_eq!(left_out, None);
                assert_eq!(apart.run("quick", || round), Some(round));
            }
            let_go.send(()).unwrap();
            assert_eq!(hung.join().unwrap(), Some(()));
        });
        assert_eq!(apart.run("hung", || 7), Some(7));
    }
}
