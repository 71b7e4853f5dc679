//! Rules that live faster: for tests that cannot wait. Pure.

/// The shortest window: five scrapes, at one in a second. A rate needs two of them, and one may be missed.
const SHORTEST: u64 = 5_000;

/// Units and their milliseconds, the longest first.
const UNITS: [(&str, u64); 6] =
    [("w", 604_800_000), ("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Returns rules, or a configuration of Alertmanager, in which everything happens `pace` times faster. How a time is
/// written in them: `alerts/README.md`.
pub(super) fn paced(text: &str, pace: u32) -> String {
    let pace = u64::from(pace);
    let waits = ["offset ", "for: ", "_wait: ", "_interval: ", "_timeout: "];
    let text = waits.iter().fold(text.to_owned(), |text, before| change(&text, before, |word| shorter(word, pace, 0)));
    let text = change(&text, "[", |word| shorter(word, pace, SHORTEST));
    change(&text, "* ", |word| (word == "60").then(|| fraction(60, pace)))
}

/// Replaces the words behind `before`, where `new` knows a better one.
fn change(text: &str, before: &str, new: impl Fn(&str) -> Option<String>) -> String {
    let mut parts = text.split(before);
    let mut changed = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find(|letter: char| !letter.is_ascii_alphanumeric()).unwrap_or(part.len());
        let (word, rest) = part.split_at(end);
        changed.push_str(before);
        changed.push_str(new(word).as_deref().unwrap_or(word));
        changed.push_str(rest);
    }
    changed
}

/// Returns a duration divided by the pace, but no shorter than `least` unless it was before; `None` for other words.
fn shorter(word: &str, pace: u64, least: u64) -> Option<String> {
    let digits = word.find(|letter: char| !letter.is_ascii_digit())?;
    let (number, unit) = word.split_at(digits);
    let (_, unit) = UNITS.iter().find(|(name, _)| *name == unit)?;
    let time = number.parse::<u64>().ok()?.checked_mul(*unit)?;
    Some(duration((time / pace).max(least.min(time))))
}

/// Writes milliseconds in the longest unit that fits.
fn duration(time: u64) -> String {
    let fits = |(_, unit): &&(&str, u64)| time > 0 && time.is_multiple_of(*unit);
    UNITS.iter().find(fits).map_or_else(|| "0s".to_owned(), |(name, unit)| format!("{}{name}", time / unit))
}

/// Writes a quotient as PromQL takes it.
fn fraction(number: u64, by: u64) -> String {
    let thousandths = number * 1_000 / by;
    let text = format!("{}.{:03}", thousandths / 1_000, thousandths % 1_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::super::{ALERTMANAGER, RULES};
    use super::*;

    /// Everything that is written like a duration, in milliseconds. The names of records have theirs behind a letter.
    fn times(text: &str) -> Vec<u64> {
        let word = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
        text.split(|letter: char| !word(letter)).filter_map(milliseconds).collect()
    }

    fn milliseconds(word: &str) -> Option<u64> {
        let digits = word.find(|letter: char| !letter.is_ascii_digit())?;
        let (number, unit) = word.split_at(digits);
        Some(number.parse::<u64>().ok()? * UNITS.iter().find(|(name, _)| *name == unit)?.1)
    }

    #[test]
    fn at_pace_one_nothing_is_changed() {
        assert!(paced(RULES, 1) == RULES);
        assert!(paced(ALERTMANAGER, 1) == ALERTMANAGER);
    }

    #[test]
    fn every_duration_is_shortened() {
        for (text, at_least) in [(RULES, 60), (ALERTMANAGER, 8)] {
            for pace in [2, 60, 600] {
                let (before, after) = (times(text), times(&paced(text, pace)));
                assert!(before.len() >= at_least, "only {} durations are found", before.len());
                assert_eq!(before.len(), after.len());
                for (before, after) in before.iter().zip(after) {
                    let exact = before / u64::from(pace);
                    assert!(after == exact || after == SHORTEST.max(exact), "{before} ms became {after} at {pace}");
                }
            }
        }
    }

    #[test]
    fn minutes_in_expressions_are_shortened_too() {
        let minutes = |text: &str, factor: &str| text.matches(&format!("* {factor}")).count();
        for (pace, factor) in [(60, "1"), (7, "8.571"), (600, "0.1")] {
            let paced = paced(RULES, pace);
            assert_eq!(minutes(&paced, factor), minutes(RULES, "60"));
            assert_eq!(minutes(&paced, "60"), 0);
        }
    }

    #[test]
    fn the_rest_stays() {
        let words = "within 15 minutes, 2m * 3600 x:rate1h for ever [abc] offset";
        assert_eq!(paced(words, 60), words);
        let rule = "for: 15m\nkeep_firing_for: 1h\nrate(x[30m] offset 1h) > 2 * 60 or y[5m]";
        assert_eq!(paced(rule, 60), "for: 15s\nkeep_firing_for: 1m\nrate(x[30s] offset 1m) > 2 * 1 or y[5s]");
        assert_eq!(paced("x[5m] for: 5m group_wait: 0s", 600), "x[5s] for: 500ms group_wait: 0s");
    }
}
