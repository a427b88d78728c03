//! Long-running processes, each recorded by its id *and start time*, so that a number that the kernel gave to somebody
//! else is never taken for ours.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::clock::{Look, wait_until};
use crate::command::{command, tail};

use super::layout::{State, write};

/// A process that is or was ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Recorded {
    /// What it was started as.
    pub(crate) name: String,
    pid: u32,
    started: u64,
}

impl Recorded {
    /// Whether it still runs; one that ended but was not waited for does not.
    pub(crate) fn alive(&self) -> bool {
        start_time(self.pid) == Some(self.started)
    }
}

/// Starts a program in a network namespace with a clean environment, its output in `logs/NAME.log`.
pub(crate) fn start<S: AsRef<str>>(
    state: &State,
    name: &str,
    netns: Option<&str>,
    words: &[S],
) -> Result<()> {
    let mut daemon = in_netns(netns, words);
    daemon
        .env_clear()
        .env(
            "PATH",
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        )
        .env("HOME", "/root");
    let path = state.path("logs").join(format!("{name}.log"));
    let log = File::options().create(true).append(true).open(&path);
    let log = log.with_context(|| format!("cannot write {}", path.display()))?;
    daemon
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log)
        .process_group(0);
    let pid = daemon
        .spawn()
        .with_context(|| format!("cannot start {name}"))?
        .id();
    let Some(started) = start_time(pid) else {
        bail!("{name} ended at once; see {}", path.display());
    };
    write(&state.path("pids").join(name), &format!("{pid} {started}\n"))
}

/// A command that runs in a network namespace. Not `ip netns exec`: that remounts /sys, where the kubelet then finds
/// no cgroups.
pub(crate) fn in_netns<S: AsRef<str>>(netns: Option<&str>, words: &[S]) -> Command {
    let words = words.iter().map(AsRef::as_ref);
    match netns {
        None => command(&words.collect::<Vec<_>>()),
        Some(netns) => {
            let net = format!("--net=/run/netns/{netns}");
            command(
                &["nsenter", net.as_str()]
                    .into_iter()
                    .chain(words)
                    .collect::<Vec<_>>(),
            )
        }
    }
}

/// All recorded processes, ended ones too.
pub(crate) fn recorded(state: &State) -> Result<Vec<Recorded>> {
    let entries = match fs::read_dir(state.path("pids")) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).context("cannot read the record of processes"),
    };
    let mut all = Vec::new();
    for entry in entries {
        let entry = entry?;
        let text = fs::read_to_string(entry.path())?;
        if let Some((Ok(pid), Ok(started))) = text.trim().split_once(' ').map(|(a, b)| (a.parse(), b.parse()))
        {
            all.push(Recorded {
                name: entry.file_name().to_string_lossy().into_owned(),
                pid,
                started,
            });
        }
    }
    all.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(all)
}

/// The id of a recorded process.
pub(crate) fn id_of(state: &State, name: &str) -> Result<u32> {
    let found = recorded(state)?.into_iter().find(|process| process.name == name);
    Ok(found.with_context(|| format!("{name} was not started"))?.pid)
}

/// Ends processes: asks, waits for `grace`, then kills.
pub(crate) fn stop(processes: &[Recorded], grace: Duration) -> Result<()> {
    let alive = || {
        processes
            .iter()
            .filter(|process| process.alive())
            .map(|process| process.pid)
            .collect::<Vec<_>>()
    };
    if grace > Duration::ZERO {
        signal("TERM", &alive());
        let _ = wait_until("processes to end", grace, || Ok(Look::holds(alive().is_empty())));
    }
    signal("KILL", &alive());
    wait_until("killed processes to end", Duration::from_secs(10), || {
        Ok(Look::holds(alive().is_empty()))
    })
}

/// Kills processes found by other means than the record, and waits for their end.
pub(crate) fn kill(pids: &[u32]) -> Result<()> {
    let found = pids.iter().filter_map(|&pid| {
        Some(Recorded {
            name: pid.to_string(),
            pid,
            started: start_time(pid)?,
        })
    });
    stop(&found.collect::<Vec<_>>(), Duration::ZERO)
}

/// Fails if a process has ended, with the end of its log.
pub(crate) fn check_alive(state: &State, name: &str) -> Result<()> {
    if recorded(state)?
        .iter()
        .any(|process| process.name == name && process.alive())
    {
        return Ok(());
    }
    let path = state.path("logs").join(format!("{name}.log"));
    let log = fs::read_to_string(&path).unwrap_or_default();
    bail!(
        "{name} has ended; the end of {}:\n{}",
        path.display(),
        tail(&log, 15)
    );
}

/// Processes whose command line holds `text` as a part of one argument and whose program is `program`.
pub(crate) fn find(program: &str, text: &Path) -> Vec<u32> {
    let wanted = text.display().to_string();
    let entries = fs::read_dir("/proc").into_iter().flatten().map_while(Result::ok);
    let pids = entries.filter_map(|entry| entry.file_name().to_string_lossy().parse::<u32>().ok());
    let ours = |pid: &u32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).into_owned();
        let first = line.split('\0').next().unwrap_or_default();
        first.rsplit('/').next() == Some(program) && line.split('\0').any(|word| word.starts_with(&wanted))
    };
    pids.filter(ours).collect()
}

fn signal(name: &str, pids: &[u32]) {
    if !pids.is_empty() {
        let list = pids.iter().map(u32::to_string).collect::<Vec<_>>().join(" ");
        let _ = command(&["sh", "-c", &format!("kill -s {name} {list} 2>/dev/null")]).status();
    }
}

/// When a process started, in the kernel's ticks since boot; none for one that is gone or only waits to be collected.
fn start_time(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The program's name is in brackets and may hold spaces: count the fields after it.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    if matches!(fields.first(), Some(&("Z" | "X"))) {
        return None;
    }
    fields.get(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reused_id_is_not_ours() {
        let pid = std::process::id();
        let started = start_time(pid).expect("this process runs");
        let ours = Recorded {
            name: "test".into(),
            pid,
            started,
        };
        assert!(ours.alive());
        assert!(
            !Recorded {
                started: started + 1,
                ..ours
            }
            .alive()
        );
    }

    #[test]
    fn stopping_kills_what_does_not_listen() {
        let mut child = command(&["sh", "-c", "trap '' TERM; while :; do sleep 0.1; done"]);
        let mut child = child.process_group(0).spawn().expect("a shell");
        let started = start_time(child.id()).expect("it runs");
        let process = Recorded {
            name: "deaf".into(),
            pid: child.id(),
            started,
        };
        stop(std::slice::from_ref(&process), Duration::from_millis(300)).expect("it ends");
        assert!(!process.alive());
        child.wait().expect("collected");
    }
}
