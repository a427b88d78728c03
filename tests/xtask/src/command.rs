//! Running other programs: quietly, for their output, or handing their lines on.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::{env, thread};

use anyhow::{Context, Result, bail};

/// A command from its words, to be read like a shell line.
pub(crate) fn command<S: AsRef<OsStr>>(words: &[S]) -> Command {
    let mut words = words.iter();
    let mut command = Command::new(words.next().map_or(OsStr::new("true"), AsRef::as_ref));
    command.args(words);
    command
}

/// Runs to the end and returns standard output. A failure carries the command and the end of what it said.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let shown = describe(command);
    let result = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start `{shown}`"))?;
    if !result.status.success() {
        let said = [result.stdout.as_slice(), result.stderr.as_slice()].concat();
        bail!(
            "`{shown}` failed ({}):\n{}",
            result.status,
            tail(&String::from_utf8_lossy(&said), 20)
        );
    }
    Ok(String::from_utf8_lossy(&result.stdout).into_owned())
}

/// Runs words like a shell line, for their effect.
pub(crate) fn quietly<S: AsRef<OsStr>>(words: &[S]) -> Result<()> {
    output(&mut command(words)).map(drop)
}

/// Runs with this terminal as its own; its exit status becomes the error.
pub(crate) fn attached(command: &mut Command) -> Result<()> {
    let shown = describe(command);
    let status = command
        .status()
        .with_context(|| format!("cannot start `{shown}`"))?;
    if !status.success() {
        bail!("`{shown}` ended with {status}");
    }
    Ok(())
}

/// Runs and hands each line of standard output and error to `line` as it comes. Returns whether it succeeded.
pub(crate) fn lines(command: &mut Command, mut line: impl FnMut(&str)) -> Result<bool> {
    let shown = describe(command);
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command
        .spawn()
        .with_context(|| format!("cannot start `{shown}`"))?;
    let (sender, received) = channel();
    let readers = [
        child.stdout.take().map(|pipe| read(pipe, &sender)),
        child.stderr.take().map(|pipe| read(pipe, &sender)),
    ];
    drop(sender);
    for text in received {
        line(&text);
    }
    for reader in readers.into_iter().flatten() {
        let _ = reader.join();
    }
    Ok(child
        .wait()
        .with_context(|| format!("cannot wait for `{shown}`"))?
        .success())
}

fn read(pipe: impl Read + Send + 'static, sender: &Sender<String>) -> thread::JoinHandle<()> {
    let sender = sender.clone();
    thread::spawn(move || {
        for bytes in BufReader::new(pipe).split(b'\n').map_while(Result::ok) {
            if sender.send(String::from_utf8_lossy(&bytes).into_owned()).is_err() {
                return;
            }
        }
    })
}

/// The command as a person would type it.
pub(crate) fn describe(command: &Command) -> String {
    let program = Path::new(command.get_program())
        .file_name()
        .unwrap_or(command.get_program());
    let words = std::iter::once(program).chain(command.get_args());
    words
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}

/// Whether a program is on the path, or where root's programs usually are.
pub(crate) fn exists(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    let usual = ["/usr/sbin", "/sbin", "/usr/local/sbin"].map(Into::into);
    env::split_paths(&path)
        .chain(usual)
        .any(|folder| folder.join(program).is_file())
}

/// The last `count` lines.
pub(crate) fn tail(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.trim_end().lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_names_the_command_and_what_it_said() {
        let error = output(&mut command(&["sh", "-c", "echo why >&2; exit 3"])).expect_err("it fails");
        let text = error.to_string();
        assert!(text.contains("sh -c") && text.contains("why"), "{text}");
    }

    #[test]
    fn lines_come_from_both_pipes() {
        let mut seen = Vec::new();
        let worked = lines(&mut command(&["sh", "-c", "echo a; echo b >&2"]), |line| {
            seen.push(line.to_owned());
        });
        seen.sort();
        assert!(worked.is_ok_and(|ok| ok));
        assert_eq!(seen, ["a", "b"]);
    }

    #[test]
    fn tail_keeps_the_end() {
        assert_eq!(tail("a\nb\nc\n", 2), "b\nc");
    }
}
