//! What the system knows about this process. A value that cannot be read is left out, never told as 0.

use std::sync::OnceLock;
use std::time::Duration;

use sysinfo::{Pid, ProcessRefreshKind, ProcessesToUpdate, System};

use super::catalog::Name;
use super::exposition::Page;

/// Returns the resident memory of this process in bytes, 0 if it cannot be read. One small read: cheap enough per block.
#[must_use]
pub fn resident_bytes() -> u64 {
    resident("/proc/self/statm").unwrap_or(0)
}

/// Returns the resident memory of another process in bytes; `None` if it is gone.
#[must_use]
pub fn resident_of(process: u32) -> Option<u64> {
    resident(&format!("/proc/{process}/statm"))
}

/// Returns the time another process has had on the processors, all its threads together, in ticks; `None` if it is gone.
#[must_use]
pub fn processor_ticks_of(process: u32) -> Option<u64> {
    // User time is the 14th field, system time the next.
    two_fields(&std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?, 14)
}

/// Returns the time that children of this process have had on the processors, of those that have ended, in ticks.
#[must_use]
pub fn processor_ticks_of_ended() -> u64 {
    std::fs::read_to_string("/proc/self/stat").ok().and_then(|stat| two_fields(&stat, 16)).unwrap_or(0)
}

/// Returns so many ticks as time.
#[must_use]
pub fn time_of(ticks: u64) -> Duration {
    const AT_CLKTCK: u64 = 17;
    static PER_SECOND: OnceLock<u64> = OnceLock::new();
    let per_second = *PER_SECOND.get_or_init(|| told_by_kernel(AT_CLKTCK).filter(|ticks| *ticks > 0).unwrap_or(100));
    Duration::from_millis(ticks.saturating_mul(1000) / per_second)
}

/// Returns the sum of a field of `/proc/PID/stat` and the next, counted from 1. The name, which may hold anything, is the
/// second and ends with the last parenthesis.
fn two_fields(stat: &str, first: usize) -> Option<u64> {
    let mut fields = stat.rsplit_once(") ")?.1.split(' ').skip(first.checked_sub(3)?);
    let mut ticks = || fields.next()?.parse::<u64>().ok();
    Some(ticks()? + ticks()?)
}

fn resident(statm: &str) -> Option<u64> {
    let statm = std::fs::read_to_string(statm).ok()?;
    Some(statm.split(' ').nth(1)?.parse::<u64>().ok()?.saturating_mul(page_size()))
}

/// Returns the highest resident memory this process ever had, in bytes.
#[must_use]
pub fn peak_resident_bytes() -> Option<u64> {
    kilobytes(&std::fs::read_to_string("/proc/self/status").ok()?, "VmHWM:")
}

/// Returns the memory this process may use: the machine's, or less if its control group says so.
#[must_use]
pub fn available_memory() -> Option<u64> {
    let mut system = System::new().ok()?;
    system.refresh_memory();
    let machine = Some(system.total_memory()).filter(|bytes| *bytes > 0);
    let own = sysinfo::get_current_pid().ok().and_then(|pid| {
        refresh(&mut system, pid);
        system.process(pid)?.cgroup_limits()
    });
    let group = own.or_else(|| system.cgroup_limits()).map(|limits| limits.total_memory).filter(|bytes| *bytes > 0);
    machine.into_iter().chain(group).min()
}

/// The size of a page.
fn page_size() -> u64 {
    const AT_PAGESZ: u64 = 6;
    static SIZE: OnceLock<u64> = OnceLock::new();
    *SIZE.get_or_init(|| told_by_kernel(AT_PAGESZ).filter(|size| size.is_power_of_two()).unwrap_or(4096))
}

/// Returns a value of the auxiliary vector, which the kernel gave this process.
fn told_by_kernel(wanted: u64) -> Option<u64> {
    let vector = std::fs::read("/proc/self/auxv").ok()?;
    let word = |bytes: &[u8]| bytes.try_into().ok().map(u64::from_ne_bytes);
    vector.chunks_exact(16).find_map(|entry| {
        let (kind, value) = entry.split_at_checked(8)?;
        (word(kind)? == wanted).then(|| word(value)).flatten()
    })
}

fn refresh(system: &mut System, pid: Pid) {
    let wanted = ProcessRefreshKind::nothing().with_cpu().with_memory().without_tasks();
    system.refresh_processes_specifics(ProcessesToUpdate::Some(&[pid]), false, wanted);
}

/// Reads the standard `process_*` metrics.
pub(super) struct Sampler {
    system: Option<(System, Pid)>,
    started: Option<u64>,
}

impl Sampler {
    pub(super) fn new() -> Self {
        let mut system = System::new().ok().zip(sysinfo::get_current_pid().ok());
        // Read once: the boot time it is counted from may be corrected later, and this gauge must not move.
        let started = system.as_mut().and_then(|(system, pid)| {
            refresh(system, *pid);
            system.process(*pid).map(sysinfo::Process::start_time).filter(|seconds| *seconds > 0)
        });
        Self { system, started }
    }

    /// Returns when the process started, in seconds since the epoch.
    pub(super) const fn started(&self) -> Option<u64> {
        self.started
    }

    /// Adds what can be read now.
    pub(super) fn add_to(&mut self, page: &mut Page) {
        if let Some((system, pid)) = &mut self.system {
            refresh(system, *pid);
            if let Some(process) = system.process(*pid) {
                page.add(Name::ProcessCpu, &[], thousandths(process.accumulated_cpu_time()));
                page.add(Name::ProcessResident, &[], process.memory());
            }
        }
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        let (status, limits) = (read("/proc/self/status"), read("/proc/self/limits"));
        let values = [
            (Name::ProcessStart, self.started),
            (Name::ProcessVirtual, kilobytes(&status, "VmSize:")),
            (Name::ProcessHeap, kilobytes(&status, "VmData:")),
            (Name::ProcessThreads, field(&status, "Threads:").and_then(|text| text.parse().ok())),
            (Name::ProcessMaxFds, limit(&limits, "Max open files")),
            (Name::ProcessVirtualMax, limit(&limits, "Max address space")),
            (Name::ProcessOpenFds, open_files()),
        ];
        for (name, value) in values {
            if let Some(value) = value {
                page.add(name, &[], value);
            }
        }
    }
}

/// Milliseconds as seconds, exactly.
pub(super) fn thousandths(milliseconds: u64) -> String {
    format!("{}.{:03}", milliseconds / 1000, milliseconds % 1000)
}

fn field<'t>(status: &'t str, name: &str) -> Option<&'t str> {
    status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim)
}

fn kilobytes(status: &str, name: &str) -> Option<u64> {
    field(status, name)?.strip_suffix(" kB")?.parse::<u64>().ok()?.checked_mul(1024)
}

/// The soft limit. Unlimited is told as the largest number, as the official Go client does.
fn limit(limits: &str, name: &str) -> Option<u64> {
    match field(limits, name)?.split_whitespace().next()? {
        "unlimited" => Some(u64::MAX),
        number => number.parse().ok(),
    }
}

fn open_files() -> Option<u64> {
    let listed = std::fs::read_dir("/proc/self/fd").ok()?.count();
    // The listing itself holds one.
    u64::try_from(listed).ok()?.checked_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_and_grows_when_used() {
        let before = resident_bytes();
        assert!(before > 1 << 20, "{before}");
        let used = std::hint::black_box(vec![1_u8; 64 << 20]);
        let after = resident_bytes();
        assert!(after > before + (32 << 20), "{before} -> {after}");
        assert!(peak_resident_bytes().unwrap() + (4 << 20) >= after);
        assert!(available_memory().unwrap() > after);
        drop(used);
    }

    #[test]
    fn the_time_of_a_process_is_that_of_user_and_system() {
        let stat = "7 (a) b (c)) S 1 7 7 0 -1 4194304 100 0 0 0 25 5 300 40 20 0 1 0";
        assert_eq!((two_fields(stat, 14), two_fields(stat, 16)), (Some(30), Some(340)));
        assert_eq!(two_fields("7 (a) S 1", 14), None);
        // A hundred in a second wherever Linux runs.
        assert_eq!(time_of(150), Duration::from_millis(1500));
    }

    #[test]
    fn unknown_values_are_left_out_and_unlimited_is_told() {
        assert_eq!(kilobytes("VmSize:\t  12 kB\n", "VmSize:"), Some(12 * 1024));
        assert_eq!(kilobytes("VmSize:\t  12 kB\n", "VmData:"), None);
        let limits = "Max open files            1024                 4096                 files\n\
                      Max address space         unlimited            unlimited            bytes\n";
        assert_eq!(limit(limits, "Max open files"), Some(1024));
        assert_eq!(limit(limits, "Max address space"), Some(u64::MAX));
        assert_eq!(limit("", "Max open files"), None);
    }

    #[test]
    fn the_nine_standard_metrics_are_there_with_fractions() {
        let mut page = Page::default();
        Sampler::new().add_to(&mut page);
        let text = page.text();
        assert_eq!(text.lines().filter(|line| line.starts_with("process_")).count(), 9, "{text}");
        assert_eq!(thousandths(12_034), "12.034");
        assert!(!text.contains("NaN") && !text.contains("# TYPE process_cpu_seconds_total gauge"), "{text}");
    }
}
