//! Values with units, and names: the small grammars of the configuration.

use std::time::Duration;

use bytesize::ByteSize;

/// Returns the duration `text` names ("500ms", "2s", "1h30m"), or `None`.
#[must_use]
pub fn duration(text: &str) -> Option<Duration> {
    humantime::parse_duration(text.trim()).ok()
}

/// Returns the number of bytes `text` names ("1MiB", "4 GB", "512"), or `None`.
#[must_use]
pub fn size(text: &str) -> Option<u64> {
    text.trim().parse::<ByteSize>().ok().map(|size| size.as_u64())
}

/// Returns `bytes` as a person writes it.
#[must_use]
pub fn show_size(bytes: u64) -> String {
    ByteSize::b(bytes).display().iec().to_string()
}

/// Returns whether `name` may be a pipeline or an aggregate: `[a-z0-9_]`, 1 to 64 characters.
pub(super) fn is_plain_name(name: &str) -> bool {
    (1..=64).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
}

/// Returns whether `name` may be a rule: `[A-Za-z0-9_]`, 1 to 64 characters.
pub(super) fn is_label_name(name: &str) -> bool {
    (1..=64).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_sizes_read_as_written() {
        assert_eq!(duration("500ms"), Some(Duration::from_millis(500)));
        assert_eq!(duration("1h30m"), Some(Duration::from_mins(90)));
        assert_eq!(duration(" 2s "), Some(Duration::from_secs(2)));
        assert_eq!(duration("0s"), Some(Duration::ZERO));
        for refused in ["", "2", "soon", "-2s", "2 lightyears"] {
            assert_eq!(duration(refused), None, "{refused:?}");
        }
        assert_eq!(size("1MiB"), Some(1 << 20));
        assert_eq!(size("4 GB"), Some(4_000_000_000));
        assert_eq!(size("512"), Some(512));
        for refused in ["", "big", "-1", "1 XB"] {
            assert_eq!(size(refused), None, "{refused:?}");
        }
    }

    #[test]
    fn names_stay_fit_for_labels_and_file_names() {
        assert!(is_plain_name("yellow_taxi2"));
        assert!(is_label_name("InNewYork"));
        for refused in ["", "Taxi", "a-b", "a.b", "ü", "a/b", &"x".repeat(65)] {
            assert!(!is_plain_name(refused), "{refused:?}");
        }
        assert!(!is_label_name("a b"));
    }
}
