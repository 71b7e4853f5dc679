//! What is dropped, and what must become of it.

use std::fmt::Write as _;
use std::sync::Arc;

/// What kind of file an input is; it decides where it must end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// Every row is sound: published, or archived as a duplicate of a file with the same bytes.
    Good,
    /// Some rows are rejected, some dropped: published all the same.
    Dirty,
    /// No byte: archived.
    Empty,
    /// The header does not fit: quarantined.
    Broken,
    /// Too many rows are rejected: quarantined, with those rows beside it.
    Refused,
}

/// The bytes of an input and what they hold. Two inputs may share one.
#[derive(Debug)]
pub(crate) struct Content {
    pub(crate) kind: Kind,
    pub(crate) bytes: Vec<u8>,
    /// BLAKE3 of the bytes, lower-case hex.
    pub(crate) hash: String,
    /// Rows read, written, rejected, dropped.
    pub(crate) rows: [u64; 4],
    /// The rows that must be written, in order. No other content has their ids.
    pub(crate) written: Vec<Row>,
    /// The records that must be rejected, in order.
    pub(crate) rejected: Vec<Reject>,
}

/// A sound row; its `amount` is [`AMOUNT`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) id: i64,
    /// The number in its `word`.
    pub(crate) word: u8,
}

/// A record that is not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reject {
    /// Its number, from 1.
    pub(crate) record: u64,
    pub(crate) byte_offset: u64,
    pub(crate) reason: &'static str,
    pub(crate) raw: String,
}

/// What every sound row has.
pub(crate) const AMOUNT: f64 = 7.25;

/// One file as it is dropped.
#[derive(Debug, Clone)]
pub(crate) struct Input {
    pub(crate) name: String,
    pub(crate) content: Arc<Content>,
}

/// Rows a refused file has at least: nine in ten of them are more rejects than any pipeline lets pass without asking.
const REFUSED: usize = 20;

/// Rows a content may have, so that no two contents share an id.
const MOST: i64 = 100_000;

/// The pipeline all suites run: typed columns, a rule that rejects, one that drops, one aggregate.
pub(crate) const PIPELINE: &str = r#"
[pipelines.p.columns]
id = { type = "int64", nullable = false }
amount = "float64"
word = "string"

[pipelines.p.rules]
positive = "amount > 0"
worth_it = { check = "amount >= 1", action = "drop" }

[pipelines.p.accept]
max_reject_ratio = 0.5

[pipelines.p.aggregates.words]
sql = "SELECT word, COUNT(*) AS n, SUM(amount) AS total FROM rows GROUP BY word ORDER BY word"
"#;

impl Content {
    /// Makes a content of its own for every `serial`.
    pub(crate) fn new(kind: Kind, serial: usize, rows: usize) -> Arc<Self> {
        assert!(rows < usize::try_from(MOST).unwrap());
        Self::long(kind, serial, rows)
    }

    /// Makes one of any length; no other serial that follows within its rows may be used.
    pub(crate) fn long(kind: Kind, serial: usize, rows: usize) -> Arc<Self> {
        let first = i64::try_from(serial).unwrap() * MOST;
        let mut text = "id,amount,word\n".to_owned();
        let (mut written, mut rejected, mut dropped) = (Vec::new(), Vec::new(), 0);
        for (id, record) in (first..).zip(1..=u64::try_from(rows).unwrap()) {
            let at = record - 1;
            let amount = match at % 10 {
                0..9 if kind == Kind::Refused => "much",
                3 if kind == Kind::Dirty => "much",
                5 if kind == Kind::Dirty => "-1.5",
                7 if kind == Kind::Dirty => "0.5",
                _ => "7.25",
            };
            let word = u8::try_from(at % 13).unwrap();
            let raw = format!("{id},{amount},word {word}");
            let byte_offset = text.len() as u64;
            writeln!(text, "{raw}").unwrap();
            match amount {
                "much" => rejected.push(Reject { record, byte_offset, reason: "bad_type", raw }),
                "-1.5" => rejected.push(Reject { record, byte_offset, reason: "rule", raw }),
                "0.5" => dropped += 1,
                _ => written.push(Row { id, word }),
            }
        }
        let [read, out, bad] = [rows, written.len(), rejected.len()].map(|count| u64::try_from(count).unwrap());
        match kind {
            Kind::Good | Kind::Dirty | Kind::Refused => {
                Self::of(kind, text.into_bytes(), [read, out, bad, dropped], written, rejected)
            }
            Kind::Empty => Self::of(kind, Vec::new(), [0; 4], Vec::new(), Vec::new()),
            Kind::Broken => {
                Self::of(kind, format!("another;feed\n{serial};1\n").into_bytes(), [0; 4], Vec::new(), Vec::new())
            }
        }
    }

    fn of(kind: Kind, bytes: Vec<u8>, rows: [u64; 4], written: Vec<Row>, rejected: Vec<Reject>) -> Arc<Self> {
        let hash = blake3::hash(&bytes).to_hex().to_string();
        Arc::new(Self { kind, bytes, hash, rows, written, rejected })
    }
}

/// Makes inputs of every kind, for as long as it is asked.
#[derive(Debug)]
pub(crate) struct Feed {
    rng: fastrand::Rng,
    serial: usize,
    /// The last good content: what a duplicate repeats.
    last: Option<Arc<Content>>,
}

impl Feed {
    pub(crate) const fn new(rng: fastrand::Rng) -> Self {
        Self { rng, serial: 0, last: None }
    }

    /// The small workload of the system call suites: one of each kind, and a duplicate.
    pub(crate) fn one_of_each() -> Vec<Input> {
        let good = Content::new(Kind::Good, 1, 20);
        let input = |name: &str, content| Input { name: name.to_owned(), content };
        vec![
            input("good.csv", Arc::clone(&good)),
            input("dirty.csv", Content::new(Kind::Dirty, 2, 40)),
            input("again.csv", good),
            input("empty.csv", Content::new(Kind::Empty, 3, 0)),
            input("broken.csv", Content::new(Kind::Broken, 4, 0)),
            input("refused.csv", Content::new(Kind::Refused, 5, REFUSED)),
        ]
    }

    /// Returns the next input: half of them good, the others of every kind; one in eight carries a name used before.
    pub(crate) fn next(&mut self) -> Input {
        self.serial += 1;
        let rows = if self.rng.u8(..16) == 0 { self.rng.usize(1_000..9_000) } else { self.rng.usize(1..100) };
        let content = match self.rng.u8(..16) {
            0..8 => Content::new(Kind::Good, self.serial, rows),
            8..11 => Content::new(Kind::Dirty, self.serial, rows),
            11 => Content::new(Kind::Empty, self.serial, 0),
            12 => Content::new(Kind::Broken, self.serial, 0),
            13 => Content::new(Kind::Refused, self.serial, rows + REFUSED),
            _ => self.last.clone().unwrap_or_else(|| Content::new(Kind::Good, self.serial, rows)),
        };
        if content.kind == Kind::Good {
            self.last = Some(Arc::clone(&content));
        }
        let name = if self.rng.u8(..8) == 0 { "report.csv".to_owned() } else { format!("{:06}.csv", self.serial) };
        Input { name, content }
    }
}
