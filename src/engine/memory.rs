//! How much memory a job will need: guessed from its size at first, then from what others of its pipeline needed. Pure.

/// What a worker holds, whatever the file.
const WORKER: u64 = 64 << 20;

/// Bytes held per byte of a small file: text, columns, pages.
const PER_BYTE: u64 = 6;

/// From this size on more blocks pass through, but no more of them at once.
const LARGE: u64 = 64 << 20;

/// What the jobs of one pipeline have needed lately.
#[derive(Debug, Clone, Default)]
pub(super) struct Learned {
    small: Option<u64>,
    large: Option<u64>,
}

impl Learned {
    /// Returns the bytes to set aside for a file of so many bytes, after so many ends for want of memory.
    pub(super) fn estimate(&self, bytes: u64, too_little: u32) -> u64 {
        let seen = if bytes < LARGE { self.small } else { self.large };
        let guess = WORKER + bytes.min(LARGE) * PER_BYTE;
        seen.unwrap_or(guess).saturating_mul(1 << too_little.min(16))
    }

    /// Takes note of what a file of so many bytes needed at most. A peak is forgotten slowly.
    pub(super) fn learn(&mut self, bytes: u64, peak: u64) {
        let seen = if bytes < LARGE { &mut self.small } else { &mut self.large };
        *seen = Some(seen.map_or(peak, |seen| peak.max(seen - seen / 16)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn a_first_guess_grows_with_the_file_up_to_a_bound() {
        let learned = Learned::default();
        assert_eq!(learned.estimate(0, 0), 64 * MIB);
        assert_eq!(learned.estimate(10 * MIB, 0), 124 * MIB);
        assert_eq!(learned.estimate(1 << 40, 0), learned.estimate(LARGE, 0));
    }

    #[test]
    fn what_was_needed_replaces_the_guess_and_fades() {
        let mut learned = Learned::default();
        learned.learn(1 << 30, 300 * MIB);
        assert_eq!(learned.estimate(2 << 30, 0), 300 * MIB);
        assert_eq!(learned.estimate(10 * MIB, 0), 124 * MIB, "small files are another matter");
        (0..100).for_each(|_| learned.learn(1 << 30, 100 * MIB));
        assert_eq!(learned.estimate(2 << 30, 0), 100 * MIB);
    }

    #[test]
    fn each_end_for_want_of_memory_doubles_it() {
        assert_eq!(Learned::default().estimate(0, 2), 256 * MIB);
        assert!(Learned::default().estimate(u64::MAX, u32::MAX) > 1 << 40);
    }
}
