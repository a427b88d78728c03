//! A *guard* cleans up when this process ends, however it ends: a small child holds the other end of a pipe, and when
//! the pipe closes (we are done, were interrupted or were killed) it runs the clean-up.

use std::ffi::OsStr;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};

/// Runs its clean-up when dropped, or when this process dies.
pub(crate) struct Guard(Child);

impl Guard {
    /// `words` is the clean-up command. It is its own process group, so that Ctrl-C does not reach it.
    pub(crate) fn new<S: AsRef<OsStr>>(words: &[S]) -> Result<Self> {
        let mut waiter = Command::new("sh");
        waiter.args(["-c", "read -r _; exec \"$0\" \"$@\""]).args(words);
        waiter
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .process_group(0);
        Ok(Self(
            waiter
                .spawn()
                .context("cannot start the process that cleans up")?,
        ))
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clean_up_runs_at_the_end_and_not_before() {
        let marker = std::env::temp_dir().join(format!("xtask-guard-{}", std::process::id()));
        let words = [OsStr::new("touch"), marker.as_os_str()];
        let guard = Guard::new(&words).expect("a guard");
        assert!(!marker.exists());
        drop(guard);
        assert!(marker.exists());
        std::fs::remove_file(marker).expect("removed");
    }
}
