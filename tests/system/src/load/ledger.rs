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

/// See the module.
#[derive(Clone)]
pub struct Ledger {
    sender: Arc<Mutex<Option<mpsc::UnboundedSender<LedgerLine>>>>,
    writer: Arc<Mutex<Option<JoinHandle<std::io::Result<()>>>>>,
}

impl Ledger {
    /// A new file in `folder`.
    pub async fn create(folder: &Path) -> anyhow::Result<Self> {
        tokio::fs::create_dir_all(folder).await?;
        let lines = tokio::fs::File::create(folder.join(LEDGER)).await?;
        let (sender, receiver) = mpsc::unbounded_channel();
        let writer = tokio::spawn(write(lines, receiver));
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
        if let Some(sender) = &*self.sender.lock() {
            // A writer that ended says why when the ledger is closed.
            drop(sender.send(line));
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
    mut receiver: mpsc::UnboundedReceiver<LedgerLine>,
) -> std::io::Result<()> {
    let mut lines = tokio::io::BufWriter::new(lines);
    while let Some(line) = receiver.recv().await {
        lines
            .write_all(format!("{}\n", serde_json::to_string(&line)?).as_bytes())
            .await?;
    }
    lines.flush().await
}
