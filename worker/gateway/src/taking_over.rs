//! Taking usage records over from workers that leave: what billing did not take by their drain deadline is reported from this
//! gateway's spool, so that workers go also while billing is away. See the worker's `hand_over`.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use springtide_proto::conversation::{HandOverRequest, HandOverResponse};
use springtide_proto::error::{ApiError, Reason};
use springtide_proto::ids::PodName;
use springtide_runtime::spool::origin::Origin;
use tokio_util::sync::CancellationToken;

use crate::relay::Relay;

/// Between two looks: for so long billing has the first chance.
const LOOK: Duration = Duration::from_secs(2);
/// Workers that are asked at once.
const AT_ONCE: usize = 8;
/// For one answer of a worker.
const TIMEOUT: Duration = Duration::from_secs(4);

impl Relay {
    /// Asks workers that take no conversations for what they have left, until `stopped`. `gateway` is this Pod.
    pub async fn take_over_records(self: Arc<Self>, gateway: PodName, stopped: CancellationToken) {
        let mut look = tokio::time::interval(LOOK);
        look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stopped.cancelled() => return,
                _ = look.tick() => {}
            }
            if self.spool.is_failing() {
                continue;
            }
            futures::stream::iter(self.leaving())
                .for_each_concurrent(AT_ONCE, async |address| {
                    match self.take_over_from(&gateway, &address).await {
                        Ok(0) => {}
                        Ok(records) => {
                            self.metrics.taken_over(records);
                            tracing::info!(worker = address, records, "usage records taken over");
                        }
                        // It is asked again, or has gone.
                        Err(error) => tracing::debug!(worker = address, %error, "nothing is taken over"),
                    }
                })
                .await;
        }
    }

    /// Addresses of workers that take no conversations.
    fn leaving(&self) -> Vec<String> {
        let of_pool = |pool: &crate::pool::Pool| {
            let leaving = pool.workers().filter(|worker| !worker.accepting);
            leaving.map(|worker| worker.address.clone()).collect::<Vec<_>>()
        };
        self.pools.values().flat_map(|pool| pool.look(of_pool)).collect()
    }

    /// All that a worker has to hand over; how many records.
    async fn take_over_from(&self, gateway: &PodName, address: &str) -> Result<u64, ApiError> {
        let (mut taken, mut kept) = (0, Vec::new());
        loop {
            let request = HandOverRequest {
                tenant: self.tenant.to_string(),
                tenant_uid: self.tenant_uid.to_string(),
                gateway: gateway.to_string(),
                kept,
            };
            let HandOverResponse {
                records,
                reporter,
                boot_id,
            } = self.workers.hand_over(address, request, TIMEOUT).await?;
            if records.is_empty() {
                return Ok(taken);
            }
            kept = records.iter().map(|record| record.sequence).collect();
            let events = records.into_iter().map(|record| record.usage_event.to_vec());
            let origin = Origin { reporter, boot_id };
            let durable = self.spool.take_over(events, &origin).await;
            durable.map_err(|error| ApiError::new(Reason::SpoolUnavailable, error.to_string()))?;
            taken += kept.len() as u64;
        }
    }
}
