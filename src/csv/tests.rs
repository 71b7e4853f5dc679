//! The reader against a slow reference written from the contract, and its values against other parsers.

mod agree;
mod case;
mod days;
mod duckdb;
mod floats;
mod generate;
mod header;
mod limits;
mod numbers;
mod pieces;
mod reader;
mod real;
mod reference;
mod sweep;
mod values;
mod whole;
mod zones;
