//! How a worker ends without losing anything.
//!
//! *Cordoned* (by the operator): it takes nothing new; its conversations end by themselves, and at the deadline it gives up
//! the rest, which go on elsewhere from their tokens. *Ending* (SIGTERM): the same, whether or not the operator said anything
//! before, and for good; then it finishes the turns under way, and waits until billing has its usage records. Conversations that
//! it gives up end here, for the bill: a witness leaves nothing on its disk that it did not report. One that goes on elsewhere
//! ends again, later, and that counts.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
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
    pub async fn end(
        &self,
        turns: &TaskTracker,
        reporter: &Reporter,
        (deadline, flush): (Duration, Duration),
    ) -> bool {
        self.finish_conversations(deadline).await;
        turns.close();
        if tokio::time::timeout(TURNS_UNDER_WAY, turns.wait()).await.is_err() {
            tracing::warn!(turns = turns.len(), "turns are still under way");
        }
        if let Err(error) = reporter.spool.end_silent(Timestamp::MAX).await {
            tracing::warn!(%error, "conversations are left that did not end here");
        }
        reporter.flush(flush).await
    }

    /// Returns when none is left: they ended, or were given up at the deadline or at that of an earlier cordon.
    async fn finish_conversations(&self, deadline: Duration) {
        let mut load = self.conversations.load();
        if self.conversations.intake() != Intake::HandingOff {
            tracing::info!(active = self.conversations.active(), "ending");
            self.conversations.set_intake(Intake::Ending);
            let empty = load.wait_for(|load| load.active == 0);
            if tokio::time::timeout(deadline, empty).await.is_err() {
                tracing::info!(active = self.conversations.active(), "handing off what is left");
            }
        }
        self.conversations.set_intake(Intake::HandingOff);
    }
}

#[cfg(test)]
mod tests {
    use springtide_proto::ids::ConversationId;
    use tokio::time::Instant;

    use super::*;

    const NEVER: Duration = Duration::from_hours(1);

    fn worker_with(conversation: &ConversationId) -> (Arc<Conversations>, Arc<Drain>) {
        let conversations = Arc::new(Conversations::new(2));
        conversations.set_intake(Intake::Open);
        conversations.enter(conversation, Instant::now()).unwrap();
        (conversations.clone(), Arc::new(Drain::new(conversations)))
    }

    #[tokio::test]
    async fn a_worker_that_ends_by_itself_finishes_its_conversations_and_nobody_calls_it_back() {
        let (mine, other) = ["mine", "other"]
            .map(|id| ConversationId::parse(id).unwrap())
            .into();
        let (conversations, drain) = worker_with(&mine);
        let ending = tokio::spawn({
            let drain = drain.clone();
            async move { drain.finish_conversations(NEVER).await }
        });
        let mut load = conversations.load();
        load.wait_for(|load| load.ending).await.unwrap();
        drain.cordon(Duration::ZERO);
        drain.uncordon();
        conversations.enter(&mine, Instant::now()).unwrap();
        conversations.enter(&other, Instant::now()).unwrap_err();
        assert!(!ending.is_finished());
        conversations.leave(&mine);
        ending.await.unwrap();
        assert_eq!(conversations.intake(), Intake::HandingOff);
    }

    #[tokio::test]
    async fn what_is_left_at_the_deadline_is_handed_off() {
        let id = ConversationId::parse("one").unwrap();
        for (deadline, of_cordon) in [
            (Duration::from_millis(1), NEVER),
            (NEVER, Duration::from_millis(1)),
        ] {
            let (conversations, drain) = worker_with(&id);
            drain.cordon(of_cordon);
            drain.finish_conversations(deadline).await;
            assert_eq!(
                (conversations.intake(), conversations.active()),
                (Intake::HandingOff, 0)
            );
        }
    }
}
