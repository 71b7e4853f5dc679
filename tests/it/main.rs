//! The integration tests: one binary, one module per topic, all against the real program.

mod architecture;
mod arrival;
mod cli;
mod config;
mod data;
mod flow;
mod hostile;
mod lifecycle;
mod metrics;
mod support;
