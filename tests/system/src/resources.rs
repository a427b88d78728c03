//! What this process and others used, from `/proc`.

use anyhow::Context as _;

/// Ticks of the kernel's clock in a second: always 100 on Linux.
const TICKS: f64 = 100.0;

/// Processor time so far, in seconds.
pub fn cpu_seconds() -> anyhow::Result<f64> {
    cpu_seconds_of(std::process::id())
}

/// Processor time of a process so far, in seconds.
pub fn cpu_seconds_of(process: u32) -> anyhow::Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    // The program's name may hold anything; what follows it does not.
    let (_, fields) = stat.rsplit_once(')').context("/proc/PID/stat has no name")?;
    let mut fields = fields.split_whitespace().skip(11);
    let mut ticks = || -> anyhow::Result<f64> { Ok(fields.next().context("too short")?.parse()?) };
    Ok((ticks()? + ticks()?) / TICKS)
}

/// Most memory at once so far, in MiB.
pub fn most_rss_mib() -> anyhow::Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib: f64 = line
        .and_then(|line| line.split_whitespace().next())
        .context("/proc/self/status has no VmHWM")?
        .parse()?;
    Ok(kib / 1024.0)
}
