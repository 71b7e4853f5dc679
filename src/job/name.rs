//! Names from outside, fit to be shown.

/// Returns a name fit for logs, messages and JSON: control, bidirectional and other invisible characters and bytes that
/// are not UTF-8 become `\u{..}` or `\xNN`, and at most 256 characters are kept.
#[must_use]
pub fn display_name(name: &std::ffi::OsStr) -> String {
    use std::os::unix::ffi::OsStrExt as _;
    let mut shown = String::new();
    for chunk in name.as_bytes().utf8_chunks() {
        for c in chunk.valid().chars() {
            if c.is_control() || is_invisible(c) {
                shown.extend(c.escape_default());
            } else {
                shown.push(c);
            }
        }
        for byte in chunk.invalid() {
            shown.push_str("\\x");
            shown.extend([byte >> 4, byte & 15].iter().filter_map(|half| char::from_digit(u32::from(*half), 16)));
        }
    }
    match shown.char_indices().nth(256) {
        Some((cut, _)) => {
            shown.truncate(cut);
            shown.push('…');
            shown
        }
        None => shown,
    }
}

/// Returns whether `c` is a bidirectional override, a zero-width character or a line separator: they make a log line lie.
#[must_use]
pub const fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' | '\u{61c}')
}

#[cfg(test)]
mod tests {
    use super::display_name;
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;

    #[test]
    fn hostile_names_are_shown_harmless() {
        assert_eq!(display_name(OsStr::new("a b.csv")), "a b.csv");
        assert_eq!(display_name(OsStr::new("a\n\x1b[31m.csv")), "a\\n\\u{1b}[31m.csv");
        assert_eq!(display_name(OsStr::from_bytes(b"caf\xe9.csv")), "caf\\xe9.csv");
        assert_eq!(display_name(OsStr::new("x\u{202e}vsc")), "x\\u{202e}vsc");
        assert_eq!(display_name(OsStr::new(&"x".repeat(300))).chars().count(), 257);
    }
}
