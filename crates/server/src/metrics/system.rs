//! What the operating system says of the process and of its disk, under the names that client libraries of Prometheus use.

use std::path::Path;

use super::page::{Kind, Page};

/// The unit in which the kernel shows processor time to programs, on every Linux there is.
const TICKS_PER_S: f64 = 100.0;

/// Adds `process_*`. What the system does not tell is left out.
pub(crate) fn process(page: &mut Page, open_files: Option<usize>, max_files: usize) {
    if let Some(stat) = std::fs::read_to_string("/proc/self/stat").ok().as_deref().and_then(parse_stat) {
        page.family("process_cpu_seconds_total", "Processor time of the process", Kind::Counter).sample(
            "process_cpu_seconds_total",
            &[],
            stat.cpu_ticks / TICKS_PER_S,
        );
        page.gauge("process_threads", "Threads of the process", stat.threads);
        page.gauge("process_virtual_memory_bytes", "Address space of the process", stat.virtual_bytes);
        if let Some(boot_s) = boot_s() {
            let started_s = boot_s + stat.started_ticks / TICKS_PER_S;
            page.gauge("process_start_time_seconds", "When the process began, Unix time", started_s);
        }
    }
    let number = |count: usize| f64::from(u32::try_from(count).unwrap_or(u32::MAX));
    let status = std::fs::read_to_string("/proc/self/status").ok();
    if let Some(bytes) = status.as_deref().and_then(resident_bytes) {
        page.gauge("process_resident_memory_bytes", "Memory of the process", bytes);
    }
    if let Some(open) = open_files {
        page.gauge("process_open_fds", "Descriptors open in the process", number(open));
    }
    page.gauge("process_max_fds", "Descriptors that the process may have open", number(max_files));
}

/// The line `VmRSS` of `/proc/self/status`, which is in KiB.
fn resident_bytes(status: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<f64>().ok()? * 1024.0)
}

/// What `/proc/self/stat` says (proc_pid_stat(5)).
#[derive(Debug, PartialEq)]
struct Stat {
    cpu_ticks: f64,
    threads: f64,
    started_ticks: f64,
    virtual_bytes: f64,
}

fn parse_stat(text: &str) -> Option<Stat> {
    // The name of the program stands in brackets and may hold anything. The field after it is the third.
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let field = |number: usize| fields.get(number.checked_sub(3)?)?.parse::<f64>().ok();
    Some(Stat {
        cpu_ticks: field(14)? + field(15)?,
        threads: field(20)?,
        started_ticks: field(22)?,
        virtual_bytes: field(23)?,
    })
}

/// When the system began, Unix time.
fn boot_s() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/stat").ok()?;
    text.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

/// Adds how many files the filesystem of the data directory takes; its bytes are measured by whoever keeps the reserve.
pub(crate) fn files(page: &mut Page, data_dir: &Path) {
    let Ok(disk) = rustix::fs::statvfs(data_dir) else { return };
    let number = |count: u64| count as f64;
    // Some filesystems have no fixed number of files, and say 0.
    page.gauge(
        "millpond_disk_files",
        "Files that there may be on the file system of the data directory",
        number(disk.f_files),
    );
    page.gauge("millpond_disk_free_files", "Files that can still be made on it", number(disk.f_favail));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_program_does_not_move_the_fields() {
        let text =
            "7 (a) b (c) S 1 7 7 0 -1 4194560 100 0 0 0 150 50 0 0 20 0 9 0 4242 1000000 321 18446744073709551615";
        let expected = Stat { cpu_ticks: 200.0, threads: 9.0, started_ticks: 4242.0, virtual_bytes: 1_000_000.0 };
        assert_eq!(parse_stat(text), Some(expected));
        assert_eq!(parse_stat("7 (x) S 1"), None);
        assert_eq!(resident_bytes("VmHWM:\t 9 kB\nVmRSS:\t    2048 kB\n"), Some(2_097_152.0));
    }
}
