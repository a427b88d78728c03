//! The ledger: a line per turn that a customer sent, written by the client side alone.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use jiff::Timestamp;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use springtide_runtime::clock::{Clock, SystemClock};
use tokio::io::AsyncWriteExt as _;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// Name of the ledger's file.
pub const LEDGER: &str = "ledger.jsonl";
/// Name of the bursts' file.
pub const BURSTS: &str = "bursts.jsonl";

/// One turn.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerLine {
    /// Whose customer.
    pub tenant: String,
    /// Id of the conversation.
    pub conversation: String,
    /// Id of the turn.
    pub turn: String,
    /// Number, from 0, of the question's line in the questions file.
    pub question_id: usize,
    /// When it was first sent.
    pub sent: Timestamp,
    /// When the reply was read; null if it never came.
    pub answered: Option<Timestamp>,
    /// Requests that were sent for it.
    pub attempts: u32,
    /// unique, list or sorry.
    pub kind: Option<String>,
    /// Id of the entry, for a unique answer.
    pub answer_id: Option<String>,
    /// UID of the pod that answered, from the clear part of the resume token.
    pub worker: Option<String>,
}

/// Conversations that began at one instant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Burst {
    /// Whose customers.
    pub tenant: String,
    /// When.
    pub at: Timestamp,
    /// How many.
    pub conversations: u32,
}

enum Written {
    Line(LedgerLine),
    Burst(Burst),
}

/// See the module.
#[derive(Clone)]
pub struct Ledger {
    sender: Arc<Mutex<Option<mpsc::UnboundedSender<Written>>>>,
    writer: Arc<Mutex<Option<JoinHandle<std::io::Result<()>>>>>,
}

impl Ledger {
    /// New files in `folder`.
    pub async fn create(folder: &Path) -> anyhow::Result<Self> {
        tokio::fs::create_dir_all(folder).await?;
        let lines = tokio::fs::File::create(folder.join(LEDGER)).await?;
        let bursts = tokio::fs::File::create(folder.join(BURSTS)).await?;
        let (sender, receiver) = mpsc::unbounded_channel();
        let writer = tokio::spawn(write(lines, bursts, receiver));
        Ok(Self {
            sender: Arc::new(Mutex::new(Some(sender))),
            writer: Arc::new(Mutex::new(Some(writer))),
        })
    }

    /// The client's clock.
    pub fn now(&self) -> Timestamp {
        SystemClock.now()
    }

    pub(super) fn line(&self, line: LedgerLine) {
        self.send(Written::Line(line));
    }

    pub(super) fn burst(&self, burst: Burst) {
        self.send(Written::Burst(burst));
    }

    fn send(&self, written: Written) {
        if let Some(sender) = &*self.sender.lock() {
            // A writer that ended says why when the ledger is closed.
            drop(sender.send(written));
        }
    }

    /// Writes what is left.
    pub async fn close(&self) -> anyhow::Result<()> {
        self.sender.lock().take();
        let writer = self.writer.lock().take();
        match writer {
            Some(writer) => writer
                .await
                .context("the ledger's writer panicked")?
                .context("the ledger could not be written"),
            None => Ok(()),
        }
    }
}

async fn write(
    lines: tokio::fs::File,
    bursts: tokio::fs::File,
    mut receiver: mpsc::UnboundedReceiver<Written>,
) -> std::io::Result<()> {
    let (mut lines, mut bursts) = (
        tokio::io::BufWriter::new(lines),
        tokio::io::BufWriter::new(bursts),
    );
    while let Some(written) = receiver.recv().await {
        match written {
            Written::Line(line) => {
                lines
                    .write_all(format!("{}\n", serde_json::to_string(&line)?).as_bytes())
                    .await?;
            }
            Written::Burst(burst) => {
                bursts
                    .write_all(format!("{}\n", serde_json::to_string(&burst)?).as_bytes())
                    .await?;
            }
        }
    }
    lines.flush().await?;
    bursts.flush().await
}
