//! forebay takes CSV drops in: each file once, every row accounted for.
//!
//! # A file's life, and the rooms it passes
//!
//! 1. [`discover`] finds it: a full scan is the truth, file events are hints, and it waits until the file has settled.
//! 2. [`engine`] decides, purely, what happens next: claim, start, retry, wait.
//! 3. [`admit`] claims it: an intent in the [`ledger`], then a rename into the work folder of its id.
//! 4. [`pipeline`] runs the job: load, parse ([`csv`]), clean ([`sql`]), aggregate, write, block by block into staging.
//! 5. [`publish`] makes it visible with one rename, archives the original, and tells the [`ledger`].
//! 6. [`telemetry`] turns every event into a log line and a metric, and [`http`] shows them; [`dashboards`] draws them in Grafana.
//!
//! [`job`] is the vocabulary of all rooms, [`config`] says what the user wants, [`clock`] and [`storage`] are the two
//! seams that tests replace, [`daemon`] wires it together, [`lifecycle`] ends it well, and only [`cli`] prints.

pub mod admit;
pub mod cli;
pub mod clock;
pub mod config;
pub mod csv;
pub mod daemon;
pub mod dashboards;
pub mod discover;
pub mod engine;
pub mod http;
pub mod job;
pub mod ledger;
pub mod lifecycle;
pub mod pipeline;
mod planted;
pub mod publish;
pub mod sql;
pub mod storage;
pub mod telemetry;
pub mod worker;
