//! The closed sets of label values that are no enum of the vocabulary.

use super::{Label, Values};
use crate::telemetry::event::Resource;

/// Makes a label of a closed set of the vocabulary.
macro_rules! all_of {
    ($label:literal, $set:ident) => {
        Label { name: $label, values: Values::Set(|| $set::ALL.iter().map(|value| value.as_str()).collect()) }
    };
}
pub(super) use all_of;

/// Resources work may wait for.
pub(super) const BACKPRESSURE: Label = all_of!("reason", Resource);

/// Kinds of file events.
pub(super) const WATCH_EVENTS: Label =
    Label { name: "kind", values: Values::Set(|| vec!["create", "close_write", "moved_to", "remove", "other"]) };

/// States of a file in the ledger.
pub(super) const LEDGER_STATES: Label = Label {
    name: "state",
    values: Values::Set(|| vec!["claimed", "staged", "published", "archiving", "quarantining", "done"]),
};

/// Operations on the ledger.
pub(super) const LEDGER_OPS: Label = Label {
    name: "op",
    values: Values::Set(|| vec!["open", "claim", "attempt", "stage", "publish", "finish", "query"]),
};

/// Volumes forebay stands on.
pub(super) const VOLUMES: Label = Label { name: "volume", values: Values::Set(|| vec!["input", "output", "state"]) };

/// Levels of log lines.
pub(super) const LEVELS: Label =
    Label { name: "level", values: Values::Set(|| vec!["error", "warn", "info", "debug", "trace"]) };

/// What may fail outside a file's outcome: per component, the kinds.
pub const ERROR_KINDS: &[(&str, &[&str])] = &[
    ("discover", &["scan", "watch", "symlink", "directory", "fifo", "device", "socket", "unreadable"]),
    // The operations that fail have a metric of their own.
    ("ledger", &["query", "other"]),
    ("publish", &["claim", "attempt", "publish", "archive", "quarantine", "recover"]),
    ("storage", &["io", "disk_full"]),
    ("http", &["accept", "web_config", "view", "render", "other"]),
    ("worker", &["other"]),
    ("config", &["reload"]),
    ("telemetry", &["unknown_word"]),
];

/// The two labels of `errors_total`.
pub(super) const COMPONENTS: [Label; 2] = [
    Label { name: "component", values: Values::Set(|| ERROR_KINDS.iter().map(|(word, _)| *word).collect()) },
    Label { name: "kind", values: Values::PerWord(ERROR_KINDS) },
];

/// Handlers of the HTTP server, and the status codes each may answer with.
pub const HANDLER_CODES: &[(&str, &[&str])] = &[
    ("index", &["200", "405"]),
    ("list", &["200", "400", "405", "500", "503"]),
    ("story", &["200", "404", "405", "500", "503"]),
    ("static", &["200", "405"]),
    ("metrics", &["200", "405", "500", "503"]),
    ("healthy", &["200", "405", "503"]),
    ("ready", &["200", "405", "503"]),
    ("reload", &["200", "403", "405", "500", "503"]),
    ("config", &["200", "405"]),
    ("status", &["200", "405", "500", "503"]),
    ("files", &["200", "400", "405", "500", "503"]),
    ("file", &["200", "404", "405", "500", "503"]),
    ("version", &["200", "405"]),
    // And whatever is in none of these sets: our own mistake, which is counted as one, too.
    ("other", &["404", "other"]),
    // Refused at the door, whatever was asked for: no credentials, another machine's name, too many requests.
    ("door", &["401", "403", "429"]),
];

/// The handler.
pub(super) const HANDLERS: Label =
    Label { name: "handler", values: Values::Set(|| HANDLER_CODES.iter().map(|(word, _)| *word).collect()) };

/// The status code.
pub(super) const CODES: Label = Label { name: "code", values: Values::PerWord(HANDLER_CODES) };
