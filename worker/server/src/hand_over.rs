//! Usage records that billing did not take by the drain deadline: a gateway of the tenant takes them, so that no worker has to
//! stay for them.
//!
//! A record is forgotten here when the gateway to which it was given says that it is on its disk. One gateway at a time is
//! given records; one that is not heard for a while makes room for another, which gets the same ones.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use springtide_proto::error::{ApiError, Reason};
use springtide_runtime::pod::PodIdentity;
use springtide_runtime::spool::{Spool, SpoolError, SpooledRecord};
use tokio::time::Instant;

use crate::conversations::{Conversations, Intake};

/// Records of one answer.
pub const BATCH: u32 = 500;
/// A gateway that took records and is silent for so long takes no more.
const PATIENCE: Duration = Duration::from_secs(10);
/// Longest name of a gateway's Pod.
const MAX_GATEWAY: usize = 253;

/// See the module.
pub struct HandOver {
    /// Who reports the records.
    pub pod: PodIdentity,
    spool: Spool,
    conversations: Arc<Conversations>,
    given: Mutex<Option<Given>>,
}

struct Given {
    gateway: String,
    heard: Instant,
    sequences: HashSet<i64>,
}

impl HandOver {
    /// Of the records in `spool`.
    pub fn new(pod: PodIdentity, spool: Spool, conversations: Arc<Conversations>) -> Self {
        Self {
            pod,
            spool,
            conversations,
            given: Mutex::new(None),
        }
    }

    /// Forgets what that gateway kept, and gives it more.
    pub async fn give(
        &self,
        gateway: &str,
        kept: &[i64],
        now: Instant,
    ) -> Result<Vec<SpooledRecord>, ApiError> {
        if gateway.is_empty() || gateway.len() > MAX_GATEWAY {
            return Err(ApiError::invalid(
                "gateway",
                format!("gateway must have 1 to {MAX_GATEWAY} bytes"),
            ));
        }
        if self.conversations.intake() != Intake::HandingOff {
            return Ok(Vec::new());
        }
        let Some(kept) = self.kept_by(gateway, kept, now) else {
            return Ok(Vec::new());
        };
        if !kept.is_empty() {
            self.spool.acknowledge(kept).await.map_err(unavailable)?;
        }
        let records = self.spool.oldest(BATCH).await.map_err(unavailable)?;
        if let Some(given) = self
            .given
            .lock()
            .as_mut()
            .filter(|given| given.gateway == gateway)
        {
            given.sequences = records.iter().map(|record| record.sequence).collect();
        }
        Ok(records)
    }

    /// Of what it says to have kept, what it was given; `None` while another gateway takes them.
    fn kept_by(&self, gateway: &str, kept: &[i64], now: Instant) -> Option<Vec<i64>> {
        let mut given = self.given.lock();
        match given.as_mut() {
            Some(given) if given.gateway == gateway => {
                given.heard = now;
                let known = kept.iter().filter(|sequence| given.sequences.contains(sequence));
                Some(known.copied().collect())
            }
            Some(given) if now.saturating_duration_since(given.heard) < PATIENCE => None,
            _ => {
                *given = Some(Given {
                    gateway: gateway.to_owned(),
                    heard: now,
                    sequences: HashSet::new(),
                });
                Some(Vec::new())
            }
        }
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the signature of map_err")]
fn unavailable(error: SpoolError) -> ApiError {
    tracing::warn!(%error, "usage records cannot be handed over");
    ApiError::new(
        Reason::SpoolUnavailable,
        "this worker's usage records cannot be read: try again",
    )
}

#[cfg(test)]
mod tests {
    use springtide_proto::ids::{BootId, PodName, PodUid};
    use springtide_proto::metering::Delivery;

    use super::*;

    struct Bench {
        hand_over: HandOver,
        now: Instant,
        _folder: tempfile::TempDir,
    }

    async fn bench(intake: Intake) -> Bench {
        let folder = tempfile::tempdir().unwrap();
        let spool = Spool::open(folder.path()).await.unwrap();
        for event in [b"one", b"two"] {
            spool
                .append(event.to_vec(), Delivery::Unspecified, false)
                .await
                .unwrap();
        }
        let conversations = Arc::new(Conversations::new(1));
        conversations.set_intake(intake);
        let pod = PodIdentity {
            name: PodName::parse("web-1").unwrap(),
            uid: PodUid::parse("uid-1").unwrap(),
            boot_id: BootId::parse("boot-1").unwrap(),
            node: String::new(),
        };
        Bench {
            hand_over: HandOver::new(pod, spool, conversations),
            now: Instant::now(),
            _folder: folder,
        }
    }

    impl Bench {
        async fn give(&self, gateway: &str, kept: &[i64], after: Duration) -> Vec<i64> {
            let given = self
                .hand_over
                .give(gateway, kept, self.now + after)
                .await
                .unwrap();
            given.iter().map(|record| record.sequence).collect()
        }
    }

    const AT_ONCE: Duration = Duration::ZERO;

    #[tokio::test]
    async fn nothing_is_given_away_before_the_deadline() {
        for intake in [Intake::NotReady, Intake::Open, Intake::Cordoned, Intake::Ending] {
            let bench = bench(intake).await;
            assert!(bench.give("g", &[], AT_ONCE).await.is_empty(), "{intake:?}");
            assert!(bench.give("g", &[1, 2], AT_ONCE).await.is_empty());
            assert_eq!(bench.hand_over.spool.depth(), 2, "{intake:?}");
        }
    }

    #[tokio::test]
    async fn a_record_is_kept_here_until_the_gateway_that_got_it_has_it_on_its_disk() {
        let bench = bench(Intake::HandingOff).await;
        let given = bench.give("g", &[1, 2], AT_ONCE).await;
        assert_eq!(
            (given, bench.hand_over.spool.depth()),
            (vec![1, 2], 2),
            "it was given none before"
        );
        let three = bench
            .hand_over
            .spool
            .append(b"three".to_vec(), Delivery::Unspecified, false)
            .await
            .unwrap();
        assert_eq!(
            bench.give("g", &[1, three], AT_ONCE).await,
            [2, three],
            "it was not given the last one"
        );
        assert!(bench.give("g", &[1, 2, three], AT_ONCE).await.is_empty());
        assert_eq!(bench.hand_over.spool.depth(), 0);
    }

    #[tokio::test]
    async fn one_gateway_at_a_time_is_given_records_and_one_that_went_away_keeps_none_from_another() {
        let bench = bench(Intake::HandingOff).await;
        assert_eq!(bench.give("g", &[], AT_ONCE).await, [1, 2]);
        assert!(bench.give("other", &[1, 2], PATIENCE / 2).await.is_empty());
        assert_eq!(bench.hand_over.spool.depth(), 2);
        assert_eq!(bench.give("other", &[], PATIENCE).await, [1, 2]);
        assert!(
            bench.give("g", &[1, 2], PATIENCE).await.is_empty(),
            "it came too late"
        );
        assert_eq!(bench.hand_over.spool.depth(), 2);
    }
}
