//! The engine against a small world of inboxes, workers and faults, in any order of events.

mod arrival;
mod kept;
mod limits;
mod properties;
mod retried;
mod scenarios;
mod silence;
mod world;
