//! A panic costs one attempt of one file, and says where it was but quotes no data.

use std::cell::RefCell;
use std::panic::{AssertUnwindSafe, Location, PanicHookInfo, catch_unwind};
use std::sync::Once;

use crate::job::{JobError, RetryReason};

/// Runs `act` and turns a panic into [`RetryReason::Crash`].
pub(super) fn contain<T>(act: impl FnOnce() -> Result<T, JobError>) -> Result<T, JobError> {
    LAST_PANIC.take();
    // Nothing that `act` leaves half done is used again: its staging is thrown away, and the rest is its own.
    catch_unwind(AssertUnwindSafe(act)).unwrap_or_else(|_payload| {
        let place = LAST_PANIC.take().unwrap_or_else(|| "a helper thread".to_owned());
        let message = format!("the code that runs this file crashed (panic at {place})");
        Err(JobError::Retry { reason: RetryReason::Crash, message })
    })
}

thread_local! {
    /// Where this thread panicked last.
    static LAST_PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Makes panics log lines that say where, and say what only if it was ours: texts of other crates quote cell contents.
pub fn log_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            on_panic(info);
            // Without a log the line above went nowhere.
            if !tracing::dispatcher::has_been_set() {
                before(info);
            }
        }));
    });
}

fn on_panic(info: &PanicHookInfo<'_>) {
    let place = info.location().map(ToString::to_string).unwrap_or_default();
    let message = if info.location().is_some_and(is_ours) { info.payload_as_str() } else { None };
    let message = message.unwrap_or("not shown: it may quote data");
    tracing::error!(place, message, "a thread panicked");
    LAST_PANIC.set(Some(place));
}

/// Paths of our own files are relative; those of other crates and of the standard library are absolute.
fn is_ours(location: &Location<'_>) -> bool {
    location.file().starts_with("src/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_a_crash_of_one_attempt_and_quotes_nothing() {
        let crashed = contain(|| -> Result<(), JobError> { panic!("secret cell") }).unwrap_err();
        let JobError::Retry { reason, message } = crashed else { panic!("{crashed:?}") };
        assert_eq!(reason, RetryReason::Crash);
        assert!(!message.contains("secret"), "{message}");
        assert_eq!(contain(|| Ok(7)), Ok(7), "the thread goes on");
    }

    #[test]
    fn errors_pass_through() {
        assert_eq!(contain(|| -> Result<(), JobError> { Err(JobError::Cancelled) }), Err(JobError::Cancelled));
    }
}
