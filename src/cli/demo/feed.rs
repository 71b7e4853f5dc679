//! The feed of the demo: made-up rides and readings, and every kind of file a partner may send. Pure: the same seed gives
//! the same bytes.
//!
//! The generator knows what it put into each file, so the demo can compare what forebay says with what is true.

mod content;

use std::collections::BTreeMap;
use std::io::Write as _;

use fastrand::Rng;

use crate::job::{Outcome, RejectReason, RowCounts};
use content::{Fault, RIDES_HEADER, Text, air, reordered, rides, stranger};

/// Pipeline of the rides.
pub(super) const RIDES: &str = "rides";
/// Pipeline of the air readings: another dialect, to show that one daemon speaks several.
pub(super) const AIR: &str = "air_quality";

/// How a file gets into its inbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Delivery {
    /// Under a name nobody takes, then renamed: it appears whole.
    Rename,
    /// The same by hand: `name.part`, visible for a while, then renamed.
    Part,
    /// Written in place, slowly: it is there long before it is whole.
    Slow,
    /// Not a file but a symbolic link to one.
    Symlink,
}

/// What must become of a file.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Truth {
    /// Its outcome; `None`: it is left alone.
    pub(super) outcome: Option<Outcome>,
    /// Its rows, if it is published.
    pub(super) rows: RowCounts,
    /// Its rejects by reason, if it is published.
    pub(super) rejects: BTreeMap<RejectReason, u64>,
}

/// One file of the feed.
#[derive(Debug, Clone)]
pub(super) struct Drop {
    /// The pipeline whose inbox it goes to.
    pub(super) pipeline: &'static str,
    /// Its name there.
    pub(super) name: String,
    /// Its bytes.
    pub(super) bytes: Vec<u8>,
    /// How it gets there.
    pub(super) delivery: Delivery,
    /// What is special about it, in a few words.
    pub(super) story: &'static str,
    /// What must become of it.
    pub(super) truth: Truth,
}

/// What a file holds.
#[derive(Debug, Clone, Copy)]
enum Content {
    /// Rides; in row `n` the fault whose `n % every == at`.
    Rides(&'static [(usize, usize, Fault)]),
    /// Rides with their columns in another order, and one more.
    Reordered,
    /// Readings, maybe from a broken sensor.
    Air { dirty: bool },
    /// The header of the rides, no rows.
    HeaderOnly,
    /// Another feed's header.
    Stranger,
    /// What the first file held.
    FirstAgain,
    /// 0 bytes.
    Nothing,
}

/// How the bytes are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Packing {
    Plain,
    Gzip,
    Zstd,
    /// gzip that ends half-way.
    HalfGzip,
}

/// One kind of file: one line of the table below.
#[derive(Debug, Clone, Copy)]
struct Kind {
    story: &'static str,
    content: Content,
    packing: Packing,
    delivery: Delivery,
    outcome: Outcome,
    /// Comes under the name of the first file.
    first_name: bool,
}

/// A sound file; the others are told by how they differ.
const GOOD: Kind = Kind {
    story: "a sound file",
    content: Content::Rides(&[]),
    packing: Packing::Plain,
    delivery: Delivery::Rename,
    outcome: Outcome::Succeeded,
    first_name: false,
};

/// Readings.
const AIR_GOOD: Kind =
    Kind { story: "semicolons, decimal commas, windows-1252", content: Content::Air { dirty: false }, ..GOOD };

/// The kinds of files, in the order in which they are dropped the first time.
const KINDS: [Kind; 20] = [
    GOOD,
    AIR_GOOD,
    Kind { story: "compressed with gzip", packing: Packing::Gzip, ..GOOD },
    Kind { story: "numbers that are words", content: Content::Rides(&[(90, 7, Fault::Type)]), ..GOOD },
    Kind { story: "a .part file, renamed when it is whole", delivery: Delivery::Part, ..GOOD },
    Kind {
        story: "records with too few and too many fields",
        content: Content::Rides(&[(120, 11, Fault::Short), (120, 71, Fault::Long)]),
        ..GOOD
    },
    Kind { story: "stray quotes", content: Content::Rides(&[(400, 9, Fault::Quote)]), ..GOOD },
    Kind { story: "written in place, slowly: taken once it is whole", delivery: Delivery::Slow, ..GOOD },
    Kind { story: "bytes that are not UTF-8", content: Content::Rides(&[(300, 5, Fault::Encoding)]), ..GOOD },
    Kind {
        story: "rows that break rules",
        content: Content::Rides(&[(100, 3, Fault::NegativeFare), (100, 53, Fault::TestRide)]),
        ..GOOD
    },
    Kind {
        story: "the first file again, under another name",
        content: Content::FirstAgain,
        outcome: Outcome::Duplicate,
        ..GOOD
    },
    Kind { story: "another feed's header", content: Content::Stranger, outcome: Outcome::Quarantined, ..GOOD },
    Kind {
        story: "semicolons, decimal commas, and a sensor that is offline",
        content: Content::Air { dirty: true },
        ..GOOD
    },
    Kind { story: "compressed with zstd", packing: Packing::Zstd, ..GOOD },
    Kind { story: "a gzip file that ends early", packing: Packing::HalfGzip, outcome: Outcome::Quarantined, ..GOOD },
    Kind { story: "0 bytes", content: Content::Nothing, outcome: Outcome::Empty, ..GOOD },
    Kind { story: "a header and no rows", content: Content::HeaderOnly, ..GOOD },
    Kind { story: "columns in another order, and one nobody knows", content: Content::Reordered, ..GOOD },
    Kind {
        story: "one row in five is broken: too many to be accepted",
        content: Content::Rides(&[(5, 0, Fault::Type)]),
        outcome: Outcome::Quarantined,
        ..GOOD
    },
    Kind { story: "the first file's name with new content", first_name: true, ..GOOD },
];

/// Returns `files` drops that reach an outcome, every kind once before good ones fill up, and one symbolic link that does
/// not count.
pub(super) fn feed(files: usize, seed: u64) -> Vec<Drop> {
    let mut rng = Rng::with_seed(seed);
    let mut drops: Vec<Drop> = Vec::new();
    for index in 0..files {
        let filler = if index % 4 == 3 { AIR_GOOD } else { GOOD };
        let kind = KINDS.get(index).copied().unwrap_or(filler);
        let day = u32::try_from(index).unwrap_or(u32::MAX) % 28 + 1;
        let first = drops.first().cloned();
        drops.push(make(kind, index, day, first.as_ref(), &mut rng));
        if index == 4 {
            drops.push(Drop {
                pipeline: RIDES,
                name: "rides_link.csv".to_owned(),
                bytes: Vec::new(),
                delivery: Delivery::Symlink,
                story: "a symbolic link: never opened, left where it is",
                truth: Truth { outcome: None, rows: RowCounts::default(), rejects: BTreeMap::new() },
            });
        }
    }
    drops
}

fn make(kind: Kind, index: usize, day: u32, first: Option<&Drop>, rng: &mut Rng) -> Drop {
    let (pipeline, mut name) = match kind.content {
        Content::Air { .. } => (AIR, format!("air_{index:03}.csv")),
        Content::Rides(_)
        | Content::Reordered
        | Content::HeaderOnly
        | Content::Stranger
        | Content::FirstAgain
        | Content::Nothing => (RIDES, format!("rides_2026-03-{day:02}_{index:03}.csv")),
    };
    if let Some(first) = first
        && kind.first_name
    {
        name.clone_from(&first.name);
    }
    let rows = rng.usize(1_500..4_000);
    let text = match kind.content {
        Content::Rides(faults) => {
            rides(rows, day, rng, |n| faults.iter().find(|(every, at, _)| n % every == *at).map(|(_, _, fault)| *fault))
        }
        Content::Reordered => reordered(rows, day, rng),
        Content::Air { dirty } => air(dirty, day, rng),
        Content::HeaderOnly => Text::new(RIDES_HEADER),
        Content::Stranger => stranger(),
        Content::FirstAgain => Text::of(first.map(|first| first.bytes.clone()).unwrap_or_default()),
        Content::Nothing => Text::of(Vec::new()),
    };
    let bytes = match kind.packing {
        Packing::Plain => text.bytes,
        Packing::Gzip => gzip(&text.bytes),
        Packing::Zstd => zstd::encode_all(text.bytes.as_slice(), 3).unwrap_or_default(),
        Packing::HalfGzip => {
            let mut bytes = gzip(&text.bytes);
            bytes.truncate(bytes.len() / 2);
            bytes
        }
    };
    name.push_str(match kind.packing {
        Packing::Plain => "",
        Packing::Gzip | Packing::HalfGzip => ".gz",
        Packing::Zstd => ".zst",
    });
    let published = kind.outcome == Outcome::Succeeded;
    let truth = Truth {
        outcome: Some(kind.outcome),
        rows: if published { text.rows } else { RowCounts::default() },
        rejects: if published { text.rejects } else { BTreeMap::new() },
    };
    Drop { pipeline, name, bytes, delivery: kind.delivery, story: kind.story, truth }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    // Writing to memory cannot fail.
    drop(encoder.write_all(bytes));
    encoder.finish().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_bytes() {
        let bytes = |seed| feed(24, seed).into_iter().map(|drop| drop.bytes).collect::<Vec<_>>();
        assert_eq!(bytes(1), bytes(1));
        assert_ne!(bytes(1), bytes(2));
    }

    #[test]
    fn as_many_files_as_asked_for_and_every_kind_among_24() {
        for files in [0, 1, 5, 24, 60] {
            let drops = feed(files, 1);
            assert_eq!(drops.iter().filter(|drop| drop.truth.outcome.is_some()).count(), files);
        }
        let drops = feed(24, 1);
        for outcome in [Outcome::Succeeded, Outcome::Duplicate, Outcome::Empty, Outcome::Quarantined] {
            assert!(drops.iter().any(|drop| drop.truth.outcome == Some(outcome)), "{outcome}");
        }
        for delivery in [Delivery::Rename, Delivery::Part, Delivery::Slow, Delivery::Symlink] {
            assert!(drops.iter().any(|drop| drop.delivery == delivery), "{delivery:?}");
        }
        let mut stories: Vec<&str> = drops.iter().map(|drop| drop.story).collect();
        stories.sort_unstable();
        stories.dedup();
        assert_eq!(stories.len(), KINDS.len() + 1);
    }

    #[test]
    fn the_truth_adds_up_and_dirty_files_are_dirty() {
        let drops = feed(24, 1);
        let mut reasons = std::collections::BTreeSet::new();
        for drop in &drops {
            assert!(drop.truth.rows.conserved(), "{}", drop.name);
            assert_eq!(drop.truth.rows.rejected, drop.truth.rejects.values().sum::<u64>(), "{}", drop.name);
            reasons.extend(drop.truth.rejects.keys().copied());
        }
        assert_eq!(reasons.len(), 6, "{reasons:?}");
        assert!(drops.iter().any(|drop| drop.truth.rows.dropped > 0));
    }

    #[test]
    fn accepted_files_stay_below_the_limits_of_accept() {
        for seed in 0..20 {
            for drop in feed(24, seed) {
                let rows = drop.truth.rows;
                assert!(rows.rejected * 100 <= rows.read * 5, "{}: {rows:?}", drop.name);
            }
        }
    }

    #[test]
    fn names_are_unique_but_for_the_one_that_returns() {
        let drops = feed(60, 1);
        let mut names: Vec<&str> = drops.iter().map(|drop| drop.name.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), drops.len() - 1);
    }
}
