//! What others call: the workers' conversations, where the operator probes them, and billing, which takes every tenant.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use anyhow::Context as _;
use futures::Stream;
use parking_lot::Mutex;
use springtide_proto::conversation::conversation_server::{Conversation, ConversationServer};
use springtide_proto::conversation::{
    ConverseRequest, ConverseResponse, HandOverRequest, HandOverResponse, Reply, converse_response,
};
use springtide_proto::tenancy::tenancy_server::{Tenancy, TenancyServer};
use springtide_proto::tenancy::{
    CloseTenantRequest, CloseTenantResponse, PutRatePlanRequest, PutRatePlanResponse, RegisterTenantRequest,
    RegisterTenantResponse,
};
use springtide_runtime::identity::{PeerIdentity, SystemRole};
use springtide_runtime::tls::{TlsMaterial, peer_identity};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

use super::fleet::Pool;

/// The workers that are there, by their Pods' UIDs.
#[derive(Clone, Default)]
pub(super) struct Present(Arc<Mutex<HashMap<String, Arc<Pool>>>>);

impl Present {
    pub(super) fn add(&self, uid: &str, pool: &Arc<Pool>) {
        self.0.lock().insert(uid.to_owned(), pool.clone());
    }

    pub(super) fn remove(&self, uid: &str) {
        self.0.lock().remove(uid);
    }

    fn pool(&self, uid: &str) -> Option<Arc<Pool>> {
        self.0.lock().get(uid).cloned()
    }
}

/// Serves the conversations of a tenant's workers.
pub(super) async fn conversations(tls: &TlsMaterial, port: u16, present: Present) -> anyhow::Result<()> {
    let door = ConversationServer::new(Door(present));
    serve(tls, port, tonic::transport::Server::builder().add_service(door)).await
}

/// Serves tenancy, as billing.
pub(super) async fn tenancy(tls: &TlsMaterial, port: u16) -> anyhow::Result<()> {
    let door = TenancyServer::new(TakesAll);
    serve(tls, port, tonic::transport::Server::builder().add_service(door)).await
}

async fn serve(tls: &TlsMaterial, port: u16, router: tonic::transport::server::Router) -> anyhow::Result<()> {
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let listener = TcpListener::bind(address)
        .await
        .with_context(|| format!("{address} is taken"))?;
    let incoming = tls.incoming(listener, CancellationToken::new());
    tokio::spawn(router.serve_with_incoming(incoming));
    Ok(())
}

struct Door(Present);

#[tonic::async_trait]
impl Conversation for Door {
    type ConverseStreamStream = Pin<Box<dyn Stream<Item = Result<ConverseResponse, Status>> + Send>>;

    async fn converse(
        &self,
        request: Request<ConverseRequest>,
    ) -> Result<Response<ConverseResponse>, Status> {
        peer_identity(&request)?.require(&PeerIdentity::System(SystemRole::Operator))?;
        let request = request.into_inner();
        let uid = request.conversation_id.strip_prefix("probe-").unwrap_or_default();
        let pool = self
            .0
            .pool(uid)
            .ok_or_else(|| Status::unavailable("no such worker"))?;
        pool.open(uid);
        Ok(Response::new(ConverseResponse {
            correlation: request.correlation,
            conversation_id: request.conversation_id,
            active: 0,
            result: Some(converse_response::Result::Reply(Reply::default())),
        }))
    }

    async fn converse_stream(
        &self,
        _: Request<Streaming<ConverseRequest>>,
    ) -> Result<Response<Self::ConverseStreamStream>, Status> {
        Err(Status::unimplemented("only probes"))
    }

    async fn hand_over(&self, _: Request<HandOverRequest>) -> Result<Response<HandOverResponse>, Status> {
        Err(Status::unimplemented("nothing is spooled"))
    }
}

struct TakesAll;

#[tonic::async_trait]
impl Tenancy for TakesAll {
    async fn register_tenant(
        &self,
        _: Request<RegisterTenantRequest>,
    ) -> Result<Response<RegisterTenantResponse>, Status> {
        let known = RegisterTenantResponse {
            rate_plan_found: true,
        };
        Ok(Response::new(known))
    }

    async fn close_tenant(
        &self,
        _: Request<CloseTenantRequest>,
    ) -> Result<Response<CloseTenantResponse>, Status> {
        Ok(Response::new(CloseTenantResponse {}))
    }

    async fn put_rate_plan(
        &self,
        _: Request<PutRatePlanRequest>,
    ) -> Result<Response<PutRatePlanResponse>, Status> {
        Ok(Response::new(PutRatePlanResponse::default()))
    }
}
