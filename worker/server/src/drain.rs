//! How a worker ends without losing anything.
//!
//! *Cordoned* (scale-in): it takes nothing new; its conversations end by themselves, and at the deadline it gives up the rest,
//! which go on elsewhere from their tokens. *Ending* (SIGTERM): it gives them up at once, finishes the turns under way, and
//! waits until billing has its usage records.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use springtide_runtime::reporter::Reporter;
use tokio::task::AbortHandle;
use tokio_util::task::TaskTracker;

use crate::conversations::{Conversations, Intake};

/// Longest wait for turns that are under way.
const TURNS_UNDER_WAY: Duration = Duration::from_secs(5);

/// See the module.
pub struct Drain {
    conversations: Arc<Conversations>,
    deadline: Mutex<Option<AbortHandle>>,
}

impl Drain {
    /// Of these conversations.
    pub fn new(conversations: Arc<Conversations>) -> Self {
        Self {
            conversations,
            deadline: Mutex::new(None),
        }
    }

    /// Takes nothing new; gives up what is left after `deadline`. A second cordon moves the deadline.
    pub fn cordon(&self, deadline: Duration) {
        if !matches!(
            self.conversations.intake(),
            Intake::Open | Intake::Cordoned | Intake::NotReady
        ) {
            return;
        }
        tracing::info!(
            deadline_s = deadline.as_secs(),
            active = self.conversations.active(),
            "cordoned"
        );
        self.conversations.set_intake(Intake::Cordoned);
        let conversations = self.conversations.clone();
        let at_deadline = tokio::spawn(async move {
            tokio::time::sleep(deadline).await;
            tracing::info!(
                active = conversations.active(),
                "drain deadline: handing off what is left"
            );
            conversations.set_intake(Intake::HandingOff);
        });
        if let Some(earlier) = self.deadline.lock().replace(at_deadline.abort_handle()) {
            earlier.abort();
        }
    }

    /// Takes conversations again, unless it is past the deadline or ending.
    pub fn uncordon(&self) {
        if let Some(deadline) = self.deadline.lock().take() {
            deadline.abort();
        }
        if self.conversations.intake() == Intake::Cordoned {
            tracing::info!("uncordoned");
            self.conversations.set_intake(Intake::Open);
        }
    }

    /// SIGTERM: see the module. Says whether the spool is empty.
    pub async fn end(&self, turns: &TaskTracker, reporter: &Reporter, deadline: Duration) -> bool {
        self.conversations.set_intake(Intake::HandingOff);
        turns.close();
        if tokio::time::timeout(TURNS_UNDER_WAY, turns.wait()).await.is_err() {
            tracing::warn!(turns = turns.len(), "turns are still under way");
        }
        reporter.flush(deadline).await
    }
}
