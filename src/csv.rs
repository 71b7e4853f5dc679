//! The CSV reader: bytes in, typed frames and exact rejects out.
//!
//! Ours, because no library gives Polars users typed columns *and* says which record failed, where and why. It never
//! pads, cuts, guesses or skips: every record of the input is a row of a [`Batch`] or a [`Reject`] of it.
//!
//! ```text
//! bytes ──[block]──► Chunk of whole records ──[index]──► field positions ──[column]──► Column ──[batch]──► Batch
//!            └────────────── both ask [record] where a record ends ──────────┘
//! ```
//!
//! A [`block::Blocks`] cuts the text into chunks that end where a record ends, so chunks can be parsed on any thread in
//! any order ([`Parser::parse`]); positions in a batch are relative to its chunk until [`Position`] of the chunk is added.
//! Block size and thread count never change a result. What counts as a record, and how values are read, is written down
//! in `docs/CSV.md`.

pub mod batch;
pub mod block;
pub mod builder;
pub mod column;
pub mod header;
pub mod index;
pub mod marks;
pub mod record;
pub mod reject;
pub mod value;

pub use batch::{Batch, Parser};
pub use block::{Blocks, Chunk};
pub use header::{Header, HeaderError, Layout, Source};
pub use record::Dialect;
pub use reject::{Position, Reject};

#[cfg(test)]
mod tests;
