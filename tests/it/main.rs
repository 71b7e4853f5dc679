//! The integration tests: one binary, one module per topic, all against the real program.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a broken test should stop at once, with the line that broke"
)]
#![expect(clippy::format_collect, reason = "test data is written as it is read: one line after the other")]
#![expect(clippy::print_stderr, reason = "what is left out is said loudly")]
#![expect(
    clippy::disallowed_methods,
    reason = "tests stand outside: they play producer and reader, and wait for a program that has its own clock"
)]

mod alerts;
mod architecture;
mod arrival;
mod backlog;
mod checker;
mod cli;
mod config;
mod dashboards;
mod data;
mod deploy;
mod docs;
mod endpoint;
mod exact;
mod flow;
mod hostile;
mod lifecycle;
mod metrics;
mod oneshot;
mod page;
mod prometheus;
mod reload;
mod restart;
mod support;
mod workers;
