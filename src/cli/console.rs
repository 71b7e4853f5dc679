//! The one place that prints: results to stdout, messages for people to stderr.
//!
//! A reader that goes away (`| head`) is no error: what is left to print is dropped and the exit code stays. Any other
//! failure to print a result is one, because a script would take half a result for a whole one.

use std::borrow::Cow;
use std::io::{self, IsTerminal as _, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A colour with a meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    /// It went well.
    Good,
    /// Worth a look.
    Caution,
    /// Somebody must act.
    Alarm,
    /// Beside the point.
    Faint,
    /// A heading.
    Strong,
}

/// How much a person wants to see on stderr.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    /// `-q`: only what must not be missed.
    Quiet,
    /// Not a terminal: plain lines.
    Plain,
    /// A terminal: bars and moving lines too.
    Lively,
}

/// Where a command prints.
#[derive(Debug)]
pub(super) struct Console {
    manner: Manner,
    out_colour: bool,
    err_colour: bool,
    closed: AtomicBool,
    broken: AtomicBool,
}

impl Console {
    /// Returns a console on the process's own stdout and stderr. `quiet` leaves out [`Console::say`].
    #[must_use]
    pub(super) fn new(quiet: bool) -> Self {
        // https://no-color.org: any value but the empty one.
        let colour = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
            && std::env::var_os("TERM").is_none_or(|term| term != "dumb");
        let watched = io::stderr().is_terminal();
        Self {
            manner: match (quiet, watched) {
                (true, _) => Manner::Quiet,
                (false, false) => Manner::Plain,
                (false, true) => Manner::Lively,
            },
            out_colour: colour && io::stdout().is_terminal(),
            err_colour: colour && watched,
            closed: AtomicBool::new(false),
            broken: AtomicBool::new(false),
        }
    }

    /// Prints one line of the result to stdout.
    pub(super) fn result(&self, line: &str) {
        self.result_bytes(line.as_bytes());
        self.result_bytes(b"\n");
    }

    /// Prints bytes of the result to stdout, as they are.
    pub(super) fn result_bytes(&self, bytes: &[u8]) {
        if self.closed.load(Ordering::Relaxed) {
            return;
        }
        if let Err(error) = io::stdout().lock().write_all(bytes) {
            self.lose(&error);
        }
    }

    /// Prints one JSON document to stdout.
    pub(super) fn json(&self, document: &serde_json::Value) {
        self.result(&format!("{document:#}"));
    }

    /// Tells a person something on stderr; left out with `-q`.
    pub(super) fn say(&self, line: &str) {
        if self.manner != Manner::Quiet {
            self.warn(line);
        }
    }

    /// Tells a person something on stderr that they must not miss.
    #[expect(clippy::unused_self, reason = "who holds no console does not print")]
    pub(super) fn warn(&self, line: &str) {
        // When even stderr is gone there is nobody left to tell.
        drop(io::stderr().lock().write_all(format!("{line}\n").as_bytes()));
    }

    /// Returns `text` in colour if stdout is a terminal.
    #[must_use]
    pub(super) fn out<'a>(&self, tone: Tone, text: &'a str) -> Cow<'a, str> {
        paint(self.out_colour, tone, text)
    }

    /// Returns `text` in colour if stderr is a terminal.
    #[must_use]
    pub(super) fn err<'a>(&self, tone: Tone, text: &'a str) -> Cow<'a, str> {
        paint(self.err_colour, tone, text)
    }

    /// Returns whether what goes to stderr is in colour.
    #[must_use]
    pub(super) fn coloured(&self) -> bool {
        self.err_colour
    }

    /// Returns whether a person sees bars and moving lines: stderr is a terminal and `-q` is not given.
    #[must_use]
    pub(super) fn lively(&self) -> bool {
        self.manner == Manner::Lively
    }

    /// Returns a progress bar on stderr that shows nothing unless a person is watching.
    #[must_use]
    pub(super) fn bar(&self, length: u64, template: &str) -> ProgressBar {
        let target = if self.lively() { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        ProgressBar::with_draw_target(Some(length), target).with_style(style.progress_chars("━╸ "))
    }

    /// Flushes stdout and returns whether every result was printed or its reader left by itself.
    #[must_use]
    pub(super) fn finish(&self) -> bool {
        if !self.closed.load(Ordering::Relaxed)
            && let Err(error) = io::stdout().lock().flush()
        {
            self.lose(&error);
        }
        !self.broken.load(Ordering::Relaxed)
    }

    fn lose(&self, error: &io::Error) {
        self.closed.store(true, Ordering::Relaxed);
        if error.kind() != io::ErrorKind::BrokenPipe {
            self.broken.store(true, Ordering::Relaxed);
            self.warn(&format!("forebay: cannot write the result to stdout: {error}"));
        }
    }
}

fn paint(colour: bool, tone: Tone, text: &str) -> Cow<'_, str> {
    let code = match tone {
        Tone::Good => "32",
        Tone::Caution => "33",
        Tone::Alarm => "31",
        Tone::Faint => "2",
        Tone::Strong => "1",
    };
    if colour { Cow::Owned(format!("\u{1b}[{code}m{text}\u{1b}[0m")) } else { Cow::Borrowed(text) }
}

/// Formats rows as columns two blanks apart; columns whose index is in `right` are aligned to the right.
///
/// Lines have no blanks at their end. Widths are counted in characters.
#[must_use]
pub(super) fn columns(rows: &[Vec<String>], right: &[usize]) -> Vec<String> {
    let mut widths: Vec<usize> = Vec::new();
    for row in rows {
        for (index, cell) in row.iter().enumerate() {
            let width = cell.chars().count();
            match widths.get_mut(index) {
                Some(widest) => *widest = width.max(*widest),
                None => widths.push(width),
            }
        }
    }
    let line = |row: &Vec<String>| {
        let cells: Vec<String> = row
            .iter()
            .zip(&widths)
            .enumerate()
            .map(
                |(index, (cell, &width))| {
                    if right.contains(&index) { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
                },
            )
            .collect();
        cells.join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

/// Formats a count with commas between thousands.
#[must_use]
pub(super) fn count(number: u64) -> String {
    thousands(&number.to_string())
}

/// Formats a number of rows: `1 row`, `2,000 rows`.
#[must_use]
pub(super) fn rows(number: u64) -> String {
    let noun = if number == 1 { "row" } else { "rows" };
    format!("{} {noun}", count(number))
}

/// Puts commas between the thousands of a number without a fraction.
#[must_use]
pub(super) fn thousands(digits: &str) -> String {
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Formats bytes with a binary unit.
#[must_use]
pub(super) fn bytes(number: u64) -> String {
    bytesize::ByteSize::b(number).display().iec().to_string()
}

/// Formats a duration in seconds so that a person can compare it: `4.2 ms`, `1.37 s`, `12m 5s`.
#[must_use]
pub(super) fn seconds(seconds: f64) -> String {
    if seconds < 1.0 {
        format!("{:.1} ms", seconds * 1000.0)
    } else if seconds < 120.0 {
        format!("{seconds:.2} s")
    } else {
        format!("{:.0}m {:.0}s", (seconds / 60.0).floor(), seconds % 60.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_end_without_blanks() {
        let rows = [["a", "rows", ""], ["bbb", "12", ""], ["ö", "3", "end"]];
        let rows: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(ToString::to_string).collect()).collect();
        assert_eq!(columns(&rows, &[1]), ["a    rows", "bbb    12", "ö       3  end"]);
    }

    #[test]
    fn counts_have_commas() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (12_748_986, "12,748,986")] {
            assert_eq!(count(number), text);
        }
        assert_eq!([0, 1, 1000].map(rows), ["0 rows", "1 row", "1,000 rows"]);
    }

    #[test]
    fn durations_keep_a_sensible_unit() {
        for (number, text) in [(0.0042, "4.2 ms"), (1.372, "1.37 s"), (725.0, "12m 5s")] {
            assert_eq!(seconds(number), text);
        }
    }

    #[test]
    fn colour_is_left_out_when_nobody_sees_it() {
        assert_eq!(paint(false, Tone::Good, "x"), "x");
        assert_eq!(paint(true, Tone::Good, "x"), "\u{1b}[32mx\u{1b}[0m");
    }
}
