//! A *forwarder* reaches into a network namespace that has no way out: file systems are shared between namespaces, so
//! the way is loopback TCP → unix socket → an address inside. The inner half runs in the namespace, listens on the
//! socket and ends when the outer half does.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;
use std::{env, fs, process, thread};

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::clock::{Look, wait_until};
use crate::command::command;
use crate::workspace;

/// What the outer half needs.
#[derive(Args)]
pub(crate) struct Options {
    /// Address to listen on; port 0 takes a free one. The first line printed says which.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Network namespace to reach into, a name under /run/netns or a path.
    #[arg(long)]
    netns: String,
    /// Address inside that namespace.
    #[arg(long)]
    to: SocketAddr,
}

/// What the inner half needs.
#[derive(Args)]
pub(crate) struct InsideOptions {
    #[arg(long)]
    socket: PathBuf,
    #[arg(long)]
    to: SocketAddr,
}

/// Forwards until stopped.
pub(crate) fn run(options: &Options) -> Result<()> {
    let listener = TcpListener::bind(options.listen)
        .with_context(|| format!("cannot listen on {}; choose another port", options.listen))?;
    let socket = env::temp_dir().join(format!("springtide-forward-{}.sock", process::id()));
    let mut inside = start_inside(&options.netns, &socket, options.to)?;
    wait_until(
        "the forwarder inside the namespace",
        Duration::from_secs(5),
        || {
            if let Some(status) = inside.try_wait()? {
                bail!(
                    "the half inside {} ended with {status}; is that namespace there?",
                    options.netns
                );
            }
            Ok(Look::holds(socket.exists()))
        },
    )?;
    println!("listening on {}", listener.local_addr()?);
    for outer in listener.incoming() {
        let both = outer.and_then(|outer| {
            outer.set_nodelay(true)?;
            Ok((outer, UnixStream::connect(&socket)?))
        });
        match both {
            Ok((outer, inner)) => drop(thread::spawn(move || join(&outer, &inner))),
            Err(error) => eprintln!("connection dropped: {error}"),
        }
    }
    Ok(())
}

fn start_inside(netns: &str, socket: &Path, to: SocketAddr) -> Result<Child> {
    let net = if netns.contains('/') {
        format!("--net={netns}")
    } else {
        format!("--net=/run/netns/{netns}")
    };
    let this = workspace::this_program()?;
    let mut inside = command(&["nsenter", &net]);
    inside
        .arg(this)
        .args(["forward-inside", "--to", &to.to_string(), "--socket"])
        .arg(socket);
    // In a process group of its own, so that a signal to ours leaves it the time to remove its socket.
    inside
        .stdin(Stdio::piped())
        .process_group(0)
        .spawn()
        .context("cannot run nsenter (Debian package util-linux)")
}

/// Serves the socket until standard input closes, which is when the outer half is gone.
pub(crate) fn run_inside(options: &InsideOptions) -> Result<()> {
    let _ = fs::remove_file(&options.socket);
    let listener = UnixListener::bind(&options.socket)
        .with_context(|| format!("cannot listen on {}", options.socket.display()))?;
    let socket = options.socket.clone();
    thread::spawn(move || {
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        let _ = fs::remove_file(socket);
        process::exit(0);
    });
    let to = options.to;
    for outer in listener.incoming().map_while(Result::ok) {
        thread::spawn(
            move || match TcpStream::connect_timeout(&to, Duration::from_secs(5)) {
                Ok(inner) => {
                    let _ = inner.set_nodelay(true);
                    join(&outer, &inner);
                }
                Err(error) => eprintln!("cannot reach {to}: {error}"),
            },
        );
    }
    Ok(())
}

/// A byte stream whose two directions can be used and closed apart.
trait Duplex: Send + Sync {
    fn copy_into(&self, writer: &dyn Duplex);
    fn write(&self, bytes: &[u8]) -> io::Result<()>;
    fn close(&self, how: Shutdown);
}

macro_rules! duplex {
    ($stream:ty) => {
        impl Duplex for $stream {
            fn copy_into(&self, writer: &dyn Duplex) {
                let mut buffer = vec![0; 64 * 1024];
                let mut reader = self;
                while let Ok(count @ 1..) = reader.read(&mut buffer) {
                    if writer.write(&buffer[..count]).is_err() {
                        break;
                    }
                }
                writer.close(Shutdown::Write);
            }
            fn write(&self, bytes: &[u8]) -> io::Result<()> {
                let mut writer = self;
                writer.write_all(bytes)
            }
            fn close(&self, how: Shutdown) {
                let _ = self.shutdown(how);
            }
        }
    };
}
duplex!(TcpStream);
duplex!(UnixStream);

/// Copies both ways until both sides have said all they have to say.
fn join(one: &dyn Duplex, other: &dyn Duplex) {
    thread::scope(|scope| {
        scope.spawn(|| one.copy_into(other));
        other.copy_into(one);
    });
    one.close(Shutdown::Both);
    other.close(Shutdown::Both);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_pass_both_ways_and_a_half_close_is_kept() {
        let echo = TcpListener::bind("127.0.0.1:0").expect("a port");
        let to = echo.local_addr().expect("an address");
        thread::spawn(move || {
            let (mut stream, _) = echo.accept().expect("a client");
            let mut all = Vec::new();
            stream.read_to_end(&mut all).expect("read to the half close");
            stream.write_all(&all).expect("answer");
        });
        let (mut client, server) = UnixStream::pair().expect("a pair");
        thread::spawn(move || join(&server, &TcpStream::connect(to).expect("connect")));
        client.write_all(b"high tide").expect("write");
        client.shutdown(Shutdown::Write).expect("half close");
        let mut answer = String::new();
        client.read_to_string(&mut answer).expect("read");
        assert_eq!(answer, "high tide");
    }
}
