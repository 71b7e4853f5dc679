//! Numbers and times as people read them.

use std::time::Duration;

use bytesize::ByteSize;
use maud::{Markup, html};

use crate::http::view::rfc3339;
use crate::job::Timestamp;

/// Returns a number with commas between its thousands.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Returns `1 file`, `2 files`.
pub(super) fn counted(number: u64, one: &str) -> String {
    format!("{} {one}{}", count(number), if number == 1 { "" } else { "s" })
}

/// Returns a rate, with a digit behind the point where it matters.
pub(super) fn rate(per_second: f64) -> String {
    if per_second > 0.0 && per_second < 10.0 {
        return format!("{per_second:.1}");
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate of rows, not negative")]
    count(per_second.round() as u64)
}

/// Returns a number of bytes: `12.0 MiB`.
pub(super) fn bytes(number: u64) -> String {
    ByteSize::b(number).display().iec().to_string()
}

/// Returns a duration with two units at most: `12 s`, `3 min`, `2 h 5 min`.
pub(super) fn span(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let two = |large: u64, unit: &str, small: u64, part: &str| {
        if small == 0 { format!("{large} {unit}") } else { format!("{large} {unit} {small} {part}") }
    };
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min", seconds / 60),
        3600..86_400 => two(seconds / 3600, "h", seconds % 3600 / 60, "min"),
        _ => two(seconds / 86_400, "d", seconds % 86_400 / 3600, "h"),
    }
}

/// Returns a short duration, so that steps can be compared: `4.0 ms`, `40 ms`, `1.37 s`, then as [`span`].
pub(super) fn step(duration: Duration) -> String {
    if duration < Duration::from_millis(10) {
        format!("{:.1} ms", duration.as_secs_f64() * 1000.0)
    } else if duration < Duration::from_secs(1) {
        format!("{} ms", duration.as_millis())
    } else if duration < Duration::from_mins(1) {
        format!("{:.2} s", duration.as_secs_f64())
    } else {
        span(duration)
    }
}

/// Returns `2026-11-20 10:00:00`, UTC.
pub(super) fn clock(at: Timestamp) -> String {
    rfc3339(at).replace('T', " ").chars().take(19).collect()
}

/// Returns how long ago something was, with the moment itself behind it.
pub(super) fn ago(now: Timestamp, at: Timestamp) -> Markup {
    html! { time datetime=(rfc3339(at)) title={ (clock(at)) " UTC" } { (span(now.since(at))) " ago" } }
}

/// Returns a moment, UTC, to the millisecond.
pub(super) fn moment(at: Timestamp) -> Markup {
    let text = rfc3339(at);
    html! { time datetime=(text) { (text.replace('T', " ").trim_end_matches('Z')) } }
}

/// Returns text in which what stands between backticks is code.
pub(super) fn with_code(text: &str) -> Markup {
    html! {
        @for (index, part) in text.split('`').enumerate() {
            @if index % 2 == 1 { code { (part) } } @else { (part) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_times_are_short() {
        assert_eq!((count(0), count(999), count(1_234_567)), ("0".into(), "999".into(), "1,234,567".into()));
        assert_eq!((counted(1, "file"), counted(2, "file")), ("1 file".into(), "2 files".into()));
        assert_eq!((rate(0.0), rate(0.25), rate(9999.6)), ("0".into(), "0.2".into(), "10,000".into()));
        let spans = [0, 59, 60, 3599, 3600, 7500, 86_399, 86_400, 93_600].map(|s| span(Duration::from_secs(s)));
        let words = ["0 s", "59 s", "1 min", "59 min", "1 h", "2 h 5 min", "23 h 59 min", "1 d", "1 d 2 h"];
        assert_eq!(spans, words);
        let steps = [4, 40, 1370, 125_000].map(|ms| step(Duration::from_millis(ms)));
        assert_eq!(steps, ["4.0 ms", "40 ms", "1.37 s", "2 min"]);
    }

    #[test]
    fn code_stands_between_backticks_and_nothing_becomes_markup() {
        let html = with_code("run `forebay rejects <id>` & `x").into_string();
        assert_eq!(html, "run <code>forebay rejects &lt;id&gt;</code> &amp; <code>x</code>");
        let at = Timestamp(1_800_000_000_250_000_000);
        assert_eq!(clock(at), "2027-01-15 08:00:00");
        let html = ago(at.plus(Duration::from_secs(90)), at).into_string();
        assert_eq!(
            html,
            "<time datetime=\"2027-01-15T08:00:00.250Z\" title=\"2027-01-15 08:00:00 UTC\">1 min ago</time>"
        );
        assert!(moment(at).into_string().contains(">2027-01-15 08:00:00.250</time>"));
    }
}
