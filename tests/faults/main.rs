//! The proof of the promise: whatever dies or fails, whenever, no file is lost, none is published twice, and nobody has to
//! help. Every suite runs the real program from outside and asks one oracle. See `docs/RELIABILITY.md`.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a broken test should stop at once, with the line that broke"
)]
#![expect(
    clippy::disallowed_methods,
    reason = "the harness stands outside: it plays producer, reader and misfortune, and waits for a program with a clock of its own"
)]

mod attempts;
mod controls;
mod daemon;
mod disk_full;
mod feed;
mod inventory;
mod ledger;
mod measure;
mod meddler;
mod mounts;
mod oracle;
mod planted;
mod poison;
mod power_loss;
mod producer;
mod random_kill;
#[path = "../it/support/scrape.rs"]
#[expect(dead_code, clippy::string_slice, reason = "shared with the other tests, which use all of it")]
mod scrape;
mod scraper;
mod short_writes;
mod site;
mod strace;
mod stuck;
mod sync_log;
mod syscalls;
mod watcher;
