//! Telemetry.

pub mod event;
