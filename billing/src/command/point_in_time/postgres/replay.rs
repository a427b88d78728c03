//! PostgreSQL as it replays its log: what it is told, and what it says. Pure, but for the process itself.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, Stdio};

use anyhow::Context as _;
use jiff::Timestamp;

/// Lines that are shown when it ends without having replayed all.
const LAST_LINES: usize = 12;
/// Files of the log between two words of progress.
const SAY_EVERY: usize = 50;

/// What it found out by its own words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Replayed {
    /// Files of the log that were fetched.
    pub(super) files: usize,
    /// When the last transaction ended that was replayed, as PostgreSQL writes it.
    pub(super) last_transaction: Option<String>,
    is_ready: bool,
    has_ended_early: bool,
    last_lines: Vec<String>,
}

impl Replayed {
    fn hear(&mut self, line: &str) {
        if line.contains("restored log file") {
            self.files += 1;
            if self.files % SAY_EVERY == 1 {
                eprintln!("replaying the write-ahead log, file {}", self.files);
            }
        }
        if let Some((_, time)) = line.split_once("last completed transaction was at log time ") {
            self.last_transaction = Some(time.trim().to_owned());
        }
        self.has_ended_early |= line.contains("recovery ended before configured recovery target was reached");
        self.is_ready |= line.contains("database system is ready to accept connections");
        self.last_lines.push(line.to_owned());
        if self.last_lines.len() > LAST_LINES {
            self.last_lines.remove(0);
        }
    }

    /// Why it ended.
    pub(super) fn failure(&self) -> String {
        if self.has_ended_early {
            return "the archived log ends before that instant; leave --at out to restore all that it has"
                .to_owned();
        }
        format!("PostgreSQL ended:\n{}", self.last_lines.join("\n"))
    }
}

/// Starts it and listens until it has replayed all, or ended. What it says later is read and forgotten.
pub(super) fn start(mut command: Command) -> anyhow::Result<(Child, Replayed)> {
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().context("postgres cannot be run")?;
    let words = child.stderr.take().context("postgres cannot be heard")?;
    let mut words = BufReader::new(words);
    let mut replayed = Replayed::default();
    let mut line = String::new();
    while !replayed.is_ready {
        line.clear();
        if words.read_line(&mut line).context("postgres cannot be heard")? == 0 {
            child.wait().context("postgres cannot be waited for")?;
            anyhow::bail!("{}", replayed.failure());
        }
        replayed.hear(line.trim_end());
    }
    std::thread::spawn(move || forget(words));
    Ok((child, replayed))
}

fn forget(mut words: BufReader<ChildStderr>) {
    let mut line = Vec::new();
    while words.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
        line.clear();
    }
}

/// The command that fetches a file of the log from a folder.
pub(super) fn copy_from(archive: &Path) -> String {
    let path = archive.display().to_string().replace('%', "%%");
    let quoted = path.replace('\'', r"'\''");
    format!("cp '{quoted}'/%f %p")
}

/// What PostgreSQL is to do, in its configuration's words.
pub(super) fn settings(restore_command: &str, at: Option<Timestamp>) -> String {
    let quoted = restore_command.replace('\'', "''");
    let target = at.map(|at| {
        let at = at.strftime("%Y-%m-%d %H:%M:%S%.f+00");
        format!("recovery_target_time = '{at}'\nrecovery_target_inclusive = on\n")
    });
    format!(
        "restore_command = '{quoted}'\nrecovery_target_timeline = 'latest'\nrecovery_target_action = 'promote'\n{}",
        target.unwrap_or_default()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_survive_quotes_and_percent_signs_in_paths_and_instants_are_of_utc() {
        let command = copy_from(Path::new("/wal of 'acme' 5%"));
        assert_eq!(command, r"cp '/wal of '\''acme'\'' 5%%'/%f %p");
        let text = settings(&command, "2026-11-11T08:00:00.25+08:00".parse().ok());
        assert!(
            text.contains(r"restore_command = 'cp ''/wal of ''\''''acme''\'''' 5%%''/%f %p'"),
            "{text}"
        );
        assert!(
            text.contains("recovery_target_time = '2026-11-11 00:00:00.25+00'"),
            "{text}"
        );
        assert!(!settings("true", None).contains("recovery_target_time ="));
    }

    #[test]
    fn what_postgres_says_is_understood() {
        let mut replayed = Replayed::default();
        for line in [
            "2026-11-11 00:00:00.000 UTC [7] LOG:  restored log file \"000000010000000000000003\" from archive",
            "2026-11-11 00:00:00.000 UTC [7] LOG:  last completed transaction was at log time 2026-11-11 00:00:00.2+00",
        ] {
            replayed.hear(line);
        }
        assert_eq!((replayed.files, replayed.is_ready), (1, false));
        assert_eq!(
            replayed.last_transaction.as_deref(),
            Some("2026-11-11 00:00:00.2+00")
        );
        assert!(replayed.failure().contains("PostgreSQL ended"));
        replayed.hear("FATAL:  recovery ended before configured recovery target was reached");
        assert!(replayed.failure().contains("leave --at out"));
        replayed.hear("LOG:  database system is ready to accept connections");
        assert!(replayed.is_ready);
    }
}
