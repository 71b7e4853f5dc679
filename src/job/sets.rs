//! The closed sets: each one enum with one spelling per value, which is the word in code, config, metric label, ledger,
//! manifest and log.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Defines a closed set: an enum, its one spelling per value, and the list of all values.
macro_rules! closed_set {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum $name { $($(#[$vdoc])* #[serde(rename = $text)] $variant),+ }

        impl $name {
            /// Every value, in declaration order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// Returns the one spelling of this value, as used in labels, logs, the ledger and the manifest.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, String> {
                Self::ALL.iter().copied().find(|value| value.as_str() == text).ok_or_else(|| {
                    let all: Vec<_> = Self::ALL.iter().map(|value| value.as_str()).collect();
                    format!("'{text}' is none of: {}", all.join(", "))
                })
            }
        }
    };
}

closed_set! {
    /// The steps of one job, in order. Labels of `stage_duration_seconds` and `stage_peak_rss_bytes`.
    Stage {
        /// Reading, decompressing, decoding and hashing the input.
        Load = "load",
        /// Bytes into typed columns.
        Parse = "parse",
        /// Derived columns and rules.
        Clean = "clean",
        /// SQL over the clean rows.
        Aggregate = "aggregate",
        /// Encoding the outputs into the staging directory.
        Write = "write",
        /// Sync, manifest, rename, archive.
        Publish = "publish",
    }
}

closed_set! {
    /// How a file ended. Every file that was whole in an inbox ends in exactly one of these.
    Outcome {
        /// Published.
        Succeeded = "succeeded",
        /// Same content as a file published before; archived, nothing published.
        Duplicate = "duplicate",
        /// 0 bytes; archived, nothing published.
        Empty = "empty",
        /// Refused for its content; in quarantine with an explanation.
        Quarantined = "quarantined",
        /// Given up after its attempts; in quarantine with an explanation.
        Failed = "failed",
    }
}

closed_set! {
    /// Why a record was rejected: the `reason` column of `rejects.parquet`. Order is the order in which a record with
    /// several faults is judged.
    RejectReason {
        /// Longer than `csv.max_record_bytes`.
        RecordTooLarge = "record_too_large",
        /// Text after a closing quote, or no closing quote.
        BadQuote = "bad_quote",
        /// Bytes that are not valid in the file's encoding.
        InvalidEncoding = "invalid_encoding",
        /// Fewer fields than the header.
        TooFewFields = "too_few_fields",
        /// More fields than the header.
        TooManyFields = "too_many_fields",
        /// A field is not of its column's type.
        BadType = "bad_type",
        /// A null in a column with `nullable = false`.
        NullValue = "null_value",
        /// A rule with `action = "reject"` was false.
        Rule = "rule",
    }
}

closed_set! {
    /// Why an attempt is tried again. Label of `file_retries_total`.
    RetryReason {
        /// An input/output error other than a full disk.
        Io = "io",
        /// The disk, the quota or the inodes are used up: waits, and costs no attempt.
        DiskFull = "disk_full",
        /// Memory ran out.
        OutOfMemory = "out_of_memory",
        /// The file changed while it was read: it settles again, and costs no attempt.
        Changed = "changed",
        /// The code running the job panicked or died.
        Crash = "crash",
        /// No worker could be started, for want of processes, files or memory: waits, and costs no attempt.
        NoWorker = "no_worker",
    }
}

closed_set! {
    /// Why a whole file was refused. The `reason` of `.error.json` and the ledger.
    QuarantineReason {
        /// More rejects than `accept` allows.
        TooManyRejects = "too_many_rejects",
        /// Fewer rows than `accept.min_rows`.
        TooFewRows = "too_few_rows",
        /// The header does not fit `columns`.
        HeaderMismatch = "header_mismatch",
        /// A header name appears twice.
        DuplicateHeader = "duplicate_header",
        /// The file is not in the configured encoding.
        WrongEncoding = "wrong_encoding",
        /// A record too large to be one: no line end within 64 times `csv.max_record_bytes`.
        RecordTooLarge = "record_too_large",
        /// The compressed data is damaged or ends early.
        BadCompression = "bad_compression",
        /// Inflates beyond the limits.
        DecompressionBomb = "decompression_bomb",
        /// A rule with `action = "quarantine"` was false.
        Rule = "rule",
        /// An expression or an aggregate could not be computed over these rows.
        Query = "query",
        /// The attempts are used up.
        AttemptsExhausted = "attempts_exhausted",
    }
}

closed_set! {
    /// How a worker came to a bad end. Label of `worker_crashes_total`.
    CrashCause {
        /// The code panicked; the worker lives on.
        Panic = "panic",
        /// It aborted itself (SIGABRT): a failed allocation, a panic within a panic.
        Abort = "abort",
        /// It touched memory it has not, or ran what is no code (SIGSEGV, SIGBUS, SIGILL, SIGFPE).
        Segfault = "segfault",
        /// The kernel took it because memory ran out.
        OutOfMemory = "out_of_memory",
        /// Somebody killed it (any other signal).
        Killed = "killed",
        /// It said nothing for `limits.stall_timeout`, or had one file for `limits.job_timeout`, and was killed.
        Hang = "hang",
        /// It left, could not be started, or could not be understood.
        Exit = "exit",
    }
}

closed_set! {
    /// How a header differs from `columns`. Label of `schema_drift_total`.
    DriftKind {
        /// A header name no column has.
        Extra = "extra",
        /// A column the header lacks.
        Missing = "missing",
        /// The columns come in another order.
        Reordered = "reordered",
        /// A column was found by one of its aliases.
        Renamed = "renamed",
    }
}

closed_set! {
    /// Who told of a file first. Label of `files_discovered_total`.
    DiscoverySource {
        /// A file event.
        Event = "event",
        /// A periodic full scan.
        Scan = "scan",
        /// The scan at start.
        Startup = "startup",
    }
}

#[cfg(test)]
mod tests {
    use super::Stage;

    #[test]
    fn every_spelling_reads_back() {
        for stage in Stage::ALL {
            assert_eq!(stage.as_str().parse(), Ok(*stage));
        }
        assert!("loading".parse::<Stage>().is_err());
    }
}
