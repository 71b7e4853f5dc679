//! Decides, purely, what happens next to every file: look, claim, start, retry, give up, wait.
//!
//! [`State::apply`] takes one [`Event`] and the time and returns the [`Action`]s to carry out; the daemon carries them out
//! and tells their results as further events. Nothing here waits, reads a clock or touches a disk, so every order of
//! events can be tested. What holds in every order:
//!
//! - never more than `workers` files are worked on but for those nobody hears of (`state/silence.rs`), and no file is started
//!   twice at the same time;
//! - within a pipeline the oldest file goes first, between pipelines it is turn and turn about;
//! - nothing is forgotten: a candidate leaves the state only when it is gone, done, or in the ledger's care;
//! - a full disk costs no attempt and stops no other pipeline.

mod action;
mod disk;
mod disposition;
mod gather;
mod inbox;
mod looks;
mod memory;
mod state;
mod work;

pub use action::{Action, ClaimResult, Claimed, Event, Tell};
pub use disposition::{Disposition, RetryPolicy, Tally, dispose};
pub use state::{Backlog, Limits, Now, Rules, State};

#[cfg(test)]
mod tests;
