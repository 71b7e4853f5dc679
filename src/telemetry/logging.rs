//! Log lines on stderr: readable on a terminal, JSON for machines, one line per event whatever a field holds.

use std::fmt::Write as _;
use std::io::IsTerminal as _;
use std::sync::atomic::{AtomicU64, Ordering};

use tracing::{Level, Subscriber};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::{EnvFilter, Registry};

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum LogFormat {
    /// Pretty on a terminal, JSON elsewhere.
    #[default]
    Auto,
    /// One line of text.
    Pretty,
    /// One JSON object per line.
    Json,
}

/// Why logging could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LoggingError {
    /// The filter in the environment does not parse.
    #[error("{variable} does not parse: {message}; a filter reads like `info` or `warn,forebay=debug`")]
    Filter {
        /// The environment variable.
        variable: &'static str,
        /// What the parser says.
        message: String,
    },
    /// Somebody was first.
    #[error("logging is set up already")]
    Twice,
}

/// Sets logging up for the whole process. `verbosity` counts `-v` (+1) and `-q` (-1): 0 is info. `FOREBAY_LOG`, or else
/// `RUST_LOG`, overrides it.
pub fn init(format: LogFormat, verbosity: i8, color: bool) -> Result<(), LoggingError> {
    let filter = filter(verbosity, |variable| std::env::var(variable).ok())?;
    let json = match format {
        LogFormat::Auto => !std::io::stderr().is_terminal(),
        LogFormat::Pretty => false,
        LogFormat::Json => true,
    };
    let subscriber = subscriber(json, color, filter, &COUNTS, std::io::stderr);
    tracing::subscriber::set_global_default(subscriber).map_err(|_| LoggingError::Twice)
}

/// Builds the filter. Libraries speak from warn on: a query engine at info would drown the files.
fn filter(verbosity: i8, read: impl Fn(&str) -> Option<String>) -> Result<EnvFilter, LoggingError> {
    for variable in ["FOREBAY_LOG", "RUST_LOG"] {
        if let Some(directives) = read(variable).filter(|text| !text.is_empty()) {
            return EnvFilter::try_new(directives)
                .map_err(|error| LoggingError::Filter { variable, message: error.to_string() });
        }
    }
    Ok(EnvFilter::new(match verbosity {
        i8::MIN..=-3 => "off",
        -2 => "error",
        -1 => "warn",
        0 => "warn,forebay=info",
        1 => "warn,forebay=debug",
        2..=i8::MAX => "info,forebay=trace",
    }))
}

fn subscriber<W>(
    json: bool,
    color: bool,
    filter: EnvFilter,
    counts: &'static LogCounts,
    writer: W,
) -> Box<dyn Subscriber + Send + Sync>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let base = Registry::default().with(filter).with(CountLines(counts));
    let layer = tracing_subscriber::fmt::layer().with_writer(writer).with_ansi(color && !json);
    if json {
        Box::new(base.with(layer.json().flatten_event(true).with_current_span(true).with_span_list(false)))
    } else {
        Box::new(base.with(layer.with_target(false).fmt_fields(one_line_fields())))
    }
}

/// Formats fields as `name=value`, with control characters spelled out: a hostile value cannot start a line of its own or
/// talk to the terminal.
fn one_line_fields() -> impl for<'w> tracing_subscriber::fmt::FormatFields<'w> + Send + Sync + 'static {
    use tracing_subscriber::field::MakeExt as _;
    let formatter = tracing_subscriber::fmt::format::debug_fn(|writer, field, value| {
        let mut shown = String::new();
        write!(shown, "{value:?}")?;
        if field.name() != "message" {
            write!(writer, "{}=", field.name())?;
        }
        for c in shown.chars() {
            if c.is_control() || crate::job::is_invisible(c) {
                write!(writer, "{}", c.escape_default())?;
            } else {
                writer.write_char(c)?;
            }
        }
        Ok(())
    });
    formatter.delimited(" ")
}

/// Log lines written, by level. One per process, like the subscriber that counts in it.
pub(super) struct LogCounts([AtomicU64; 5]);

/// The process's own.
pub(super) static COUNTS: LogCounts = LogCounts::new();

impl LogCounts {
    const fn new() -> Self {
        Self([const { AtomicU64::new(0) }; 5])
    }

    /// Returns every level with its count.
    pub(super) fn read(&self) -> [(&'static str, u64); 5] {
        let [error, warn, info, debug, trace] = &self.0;
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        [
            ("error", count(error)),
            ("warn", count(warn)),
            ("info", count(info)),
            ("debug", count(debug)),
            ("trace", count(trace)),
        ]
    }

    fn count(&self, level: Level) {
        let [error, warn, info, debug, trace] = &self.0;
        let counter = match level {
            Level::ERROR => error,
            Level::WARN => warn,
            Level::INFO => info,
            Level::DEBUG => debug,
            Level::TRACE => trace,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

/// Counts the lines that pass the filter.
struct CountLines(&'static LogCounts);

impl<S: Subscriber> Layer<S> for CountLines {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        self.0.count(*event.metadata().level());
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Buffer(Arc<Mutex<Vec<u8>>>);

    impl Write for Buffer {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    fn written(json: bool, color: bool, counts: &'static LogCounts, speak: impl FnOnce()) -> String {
        let buffer = Buffer::default();
        let writer = buffer.clone();
        let subscriber = subscriber(json, color, EnvFilter::new("info"), counts, move || writer.clone());
        tracing::subscriber::with_default(subscriber, speak);
        let bytes = buffer.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    const HOSTILE: &str = "x\n2026-01-01 ERROR forged\r\u{1b}[2J\u{9b}\u{202e}y";

    fn speak_hostile() {
        let span = tracing::info_span!("stage", file_id = HOSTILE, pipeline = %HOSTILE);
        let _entered = span.enter();
        let error = std::io::Error::other(HOSTILE);
        tracing::warn!(name = HOSTILE, shown = %HOSTILE, error = &error as &dyn std::error::Error, "said {HOSTILE}");
    }

    #[test]
    fn hostile_values_stay_on_their_line_and_silent_on_the_terminal() {
        static COUNTS: LogCounts = LogCounts::new();
        let line = |json, color| {
            let text = written(json, color, &COUNTS, speak_hostile);
            let line = text.strip_suffix('\n').unwrap().to_owned();
            assert!(line.contains("forged") && !line.contains('\n'), "{text:?}");
            line
        };
        let plain = line(false, false);
        assert_eq!(plain.matches("forged").count(), 6, "message, fields and span: {plain}");
        assert!(!plain.contains(|c: char| c.is_control() || crate::job::is_invisible(c)), "{plain:?}");
        // With colours the escapes are our own, and none is the value's.
        let colored = line(false, true);
        assert!(colored.contains("\u{1b}[") && !colored.contains("\u{1b}[2J"), "{colored:?}");
        assert!(!colored.contains(['\r', '\u{9b}', '\u{202e}']), "{colored:?}");
        for color in [false, true] {
            let json = line(true, color);
            assert!(!json.contains(|c: char| c.is_ascii_control()), "{json:?}");
        }
    }

    #[test]
    fn json_lines_are_json_with_the_values_as_fields() {
        static COUNTS: LogCounts = LogCounts::new();
        let text = written(true, false, &COUNTS, || {
            tracing::info!(pipeline = "taxi", rows = 3, "file finished");
        });
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&line["pipeline"], &line["rows"]), (&"taxi".into(), &3.into()));
        assert_eq!((&line["level"], &line["message"]), (&"INFO".into(), &"file finished".into()));
    }

    #[test]
    fn lines_are_counted_by_level_when_they_are_written() {
        static COUNTS: LogCounts = LogCounts::new();
        written(false, false, &COUNTS, || {
            tracing::error!("one");
            tracing::warn!("two");
            tracing::warn!("three");
            tracing::debug!("filtered");
        });
        assert_eq!(COUNTS.read(), [("error", 1), ("warn", 2), ("info", 0), ("debug", 0), ("trace", 0)]);
    }

    #[test]
    fn the_environment_overrides_the_flags_and_faults_name_the_variable() {
        let none = |_: &str| None;
        assert_eq!(filter(0, none).unwrap().to_string(), "forebay=info,warn");
        assert_eq!(filter(-3, none).unwrap().to_string(), "off");
        assert_eq!(filter(0, |_| Some("debug".into())).unwrap().to_string(), "debug");
        let own_first = |name: &str| Some(if name == "FOREBAY_LOG" { "trace" } else { "error" }.to_owned());
        assert_eq!(filter(0, own_first).unwrap().to_string(), "trace");
        let error = filter(0, |_| Some("forebay=loud".into())).unwrap_err().to_string();
        assert!(error.starts_with("FOREBAY_LOG does not parse: "), "{error}");
    }
}
