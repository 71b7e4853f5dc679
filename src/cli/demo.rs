//! `forebay demo`: the feed.

mod feed;
