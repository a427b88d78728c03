//! Connections to workers: one a worker, kept while it is known.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;
use springtide_proto::conversation::conversation_client::ConversationClient;
use springtide_proto::conversation::converse_response::Result as Outcome;
use springtide_proto::conversation::{ConverseRequest, HandOverRequest, HandOverResponse, Reply};
use springtide_proto::error::{ApiError, Reason};
use springtide_proto::ids::TenantId;
use springtide_runtime::identity::{PeerIdentity, TenantRole};
use springtide_runtime::tls::TlsMaterial;
use tonic::transport::Channel;
use tonic::{Response, Status};

/// See the module.
pub struct Workers {
    tls: TlsMaterial,
    expected: PeerIdentity,
    clients: Mutex<HashMap<String, ConversationClient<Channel>>>,
}

/// What a worker answered to a turn or a close.
#[derive(Debug)]
pub struct WorkerAnswer {
    /// The reply, for a turn.
    pub reply: Option<Reply>,
    /// Conversations that the worker has now.
    pub active: u32,
}

impl Workers {
    /// Workers of this tenant.
    pub fn new(tls: TlsMaterial, tenant: &TenantId) -> Self {
        let expected = PeerIdentity::tenant(tenant, TenantRole::Worker);
        Self {
            tls,
            expected,
            clients: Mutex::default(),
        }
    }

    /// Asks the worker at `address`.
    pub async fn converse(
        &self,
        address: &str,
        request: ConverseRequest,
        timeout: Duration,
    ) -> Result<WorkerAnswer, ApiError> {
        let mut client = self.client(address)?;
        let response = within(timeout, client.converse(request)).await?;
        match response.result {
            Some(Outcome::Reply(reply)) => Ok(WorkerAnswer {
                reply: Some(reply),
                active: response.active,
            }),
            Some(Outcome::Closed(_)) => Ok(WorkerAnswer {
                reply: None,
                active: response.active,
            }),
            Some(Outcome::Error(error)) => Err(error.into()),
            None => Err(ApiError::new(Reason::Internal, "the worker answered nothing")),
        }
    }

    /// Asks the worker at `address` for usage records that it has to hand over.
    pub async fn hand_over(
        &self,
        address: &str,
        request: HandOverRequest,
        timeout: Duration,
    ) -> Result<HandOverResponse, ApiError> {
        let mut client = self.client(address)?;
        within(timeout, client.hand_over(request)).await
    }

    /// Keeps only connections to these addresses.
    pub fn retain(&self, is_known: impl Fn(&str) -> bool) {
        self.clients.lock().retain(|address, _| is_known(address));
    }

    fn client(&self, address: &str) -> Result<ConversationClient<Channel>, ApiError> {
        let mut clients = self.clients.lock();
        if let Some(client) = clients.get(address) {
            return Ok(client.clone());
        }
        let channel = self.tls.channel(address, &self.expected).map_err(|error| {
            ApiError::new(
                Reason::Unavailable,
                format!("the worker cannot be reached: {error}"),
            )
        })?;
        let client = ConversationClient::new(channel);
        clients.insert(address.to_owned(), client.clone());
        Ok(client)
    }
}

async fn within<T>(
    timeout: Duration,
    call: impl Future<Output = Result<Response<T>, Status>>,
) -> Result<T, ApiError> {
    tokio::time::timeout(timeout, call)
        .await
        .map_err(|_| ApiError::new(Reason::Unavailable, "the worker did not answer in time"))?
        .map(Response::into_inner)
        .map_err(|status| ApiError::from_status(&status))
}
