//! Keeps Polars' work on the thread that asks for it.
//!
//! Polars hands every step to its pool of threads and waits for it. Here each thread has a batch or a small file of its own:
//! handing over costs more than the step, and the cores are busy anyway.

use polars_async::executor::ALLOW_RAYON_THREADS;

/// While it lives, Polars works on the thread that made it.
#[must_use]
pub(super) struct Alone {
    before: bool,
}

impl Alone {
    /// Begins, on this thread.
    pub(super) fn begin() -> Self {
        Self { before: ALLOW_RAYON_THREADS.replace(false) }
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        ALLOW_RAYON_THREADS.set(self.before);
    }
}
