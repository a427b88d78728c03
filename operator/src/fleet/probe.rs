//! Probes: a synthetic conversation that a worker must answer before it counts.

use std::sync::Arc;
use std::time::Duration;

use springtide_proto::conversation::conversation_client::ConversationClient;
use springtide_proto::conversation::converse_request::Action;
use springtide_proto::conversation::{ConverseRequest, Turn, converse_response};
use springtide_proto::time::timestamp_to_wire;
use springtide_runtime::clock::Clock;
use springtide_runtime::identity::{PeerIdentity, TenantRole};
use springtide_runtime::tls::TlsMaterial;
use tokio::sync::Semaphore;

use super::WorkerFacts;

const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);
const FIRST_RETRY: Duration = Duration::from_millis(100);
const LAST_RETRY: Duration = Duration::from_secs(2);
const ATTEMPTS: u32 = 20;
/// So many workers are asked at once: after a change of leader all of them are to be.
const AT_ONCE: usize = 16;

/// Asks workers.
#[derive(Clone)]
pub struct Prober {
    tls: TlsMaterial,
    clock: Arc<dyn Clock>,
    permits: Arc<Semaphore>,
}

/// Why a worker did not answer.
#[derive(Debug, thiserror::Error)]
enum ProbeError {
    #[error("the worker cannot be reached")]
    Tls(#[from] springtide_runtime::tls::TlsError),
    #[error("the worker refused: {}", .0.message())]
    Refused(#[from] Box<tonic::Status>),
    #[error("the worker did not answer in time")]
    Late,
    #[error("the worker's answer is not a reply")]
    NoReply,
}

impl Prober {
    /// Asks in the operator's name.
    pub fn new(tls: TlsMaterial, clock: Arc<dyn Clock>) -> Self {
        Self {
            tls,
            clock,
            permits: Arc::new(Semaphore::new(AT_ONCE)),
        }
    }

    /// Asks until the worker answered (`true`) or was asked often enough.
    pub(super) async fn until_answered(&self, worker: &WorkerFacts, tenant_uid: &str) -> bool {
        let mut wait = FIRST_RETRY;
        for attempt in 1..=ATTEMPTS {
            match self.ask_in_turn(worker, tenant_uid).await {
                Ok(()) => return true,
                Err(error) => tracing::info!(pod = %worker.pod, attempt, %error, "probe not answered"),
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(LAST_RETRY);
        }
        false
    }

    /// Asks once, when it is this worker's turn.
    async fn ask_in_turn(&self, worker: &WorkerFacts, tenant_uid: &str) -> Result<(), ProbeError> {
        let _permit = self.permits.acquire().await.map_err(|_| ProbeError::Late)?;
        tokio::time::timeout(ANSWER_TIMEOUT, self.ask(worker, tenant_uid))
            .await
            .unwrap_or(Err(ProbeError::Late))
    }

    async fn ask(&self, worker: &WorkerFacts, tenant_uid: &str) -> Result<(), ProbeError> {
        let identity = PeerIdentity::tenant(&worker.key.tenant, TenantRole::Worker);
        let channel = self.tls.connect(&worker.address.to_string(), &identity).await?;
        let turn = Turn {
            turn_id: "probe".to_owned(),
            text: "你好".to_owned(),
            arrived_at: Some(timestamp_to_wire(self.clock.now())),
            resume_token: Vec::new(),
            channel: "web".to_owned(),
        };
        let request = ConverseRequest {
            correlation: 1,
            tenant: worker.key.tenant.to_string(),
            tenant_uid: tenant_uid.to_owned(),
            conversation_id: format!("probe-{}", worker.pod_uid),
            action: Some(Action::Turn(turn)),
            synthetic: true,
        };
        let response = ConversationClient::new(channel)
            .converse(request)
            .await
            .map_err(Box::new)?
            .into_inner();
        match response.result {
            Some(converse_response::Result::Reply(_)) => Ok(()),
            _ => Err(ProbeError::NoReply),
        }
    }
}
