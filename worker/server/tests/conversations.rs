//! A worker's conversations as its peers see them: over gRPC with mutual TLS, the spool on disk.
#![expect(clippy::unwrap_used, reason = "a test ends where it cannot go on")]
use std::sync::Arc;

use prost_types::Timestamp;
use springtide_engine::{Bundle, Entry};
use springtide_proto::conversation::conversation_client::ConversationClient;
use springtide_proto::conversation::conversation_server::ConversationServer;
use springtide_proto::conversation::converse_request::Action;
use springtide_proto::conversation::converse_response::Result as Outcome;
use springtide_proto::conversation::{AnswerKind, Close, ConverseRequest, HandOverRequest, Reply, Turn};
use springtide_proto::error::{ApiError, Reason};
use springtide_proto::event::{Interaction, InteractionKind};
use springtide_proto::ids::{BootId, PodName, PodUid, PoolId, TenantId, TenantUid};
use springtide_runtime::authority::Authority;
use springtide_runtime::clock::{Clock as _, SystemClock};
use springtide_runtime::identity::{PeerIdentity, SystemRole, TenantRole};
use springtide_runtime::pod::PodIdentity;
use springtide_runtime::spool::Spool;
use springtide_worker::conversations::{Conversations, Intake};
use springtide_worker::hand_over::HandOver;
use springtide_worker::keys::TokenKeys;
use springtide_worker::knowledge::Knowledge;
use springtide_worker::metrics::Metrics;
use springtide_worker::service::Service;
use springtide_worker::turn::Answering;
use tokio_stream::StreamExt as _;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tonic::transport::Channel;

type Client = ConversationClient<Channel>;

fn tenant(name: &str) -> TenantId {
    TenantId::parse(name).unwrap()
}

/// The workers of one tenant, acme, and the CA of the installation.
struct Installation {
    ca: Authority,
    folder: tempfile::TempDir,
}

struct Worker {
    answering: Arc<Answering>,
    address: String,
    _stop: tokio_util::sync::DropGuard,
}

impl Installation {
    fn new() -> Self {
        let ca = Authority::generate(SystemClock.now()).unwrap();
        Self {
            ca: Authority::from_pem(&ca.certificate, &ca.key).unwrap(),
            folder: tempfile::tempdir().unwrap(),
        }
    }

    async fn worker(&self, name: &str, capacity: u32) -> Worker {
        let conversations = Arc::new(Conversations::new(capacity));
        conversations.set_intake(Intake::Open);
        let knowledge = Knowledge::default();
        let entry = |id: &str, question: &str| Entry {
            id: id.into(),
            question: question.into(),
            similar: vec![],
            answer: format!("关于{question}。"),
        };
        knowledge.replace(
            Bundle::compile(vec![
                entry("refund", "退款多久到账"),
                entry("invoice", "怎么开发票"),
            ])
            .unwrap(),
        );
        let answering = Arc::new(Answering {
            tenant: tenant("acme"),
            tenant_uid: TenantUid::parse("uid-acme").unwrap(),
            pool: PoolId::parse("web").unwrap(),
            knowledge,
            keys: TokenKeys::from_generations(vec![(1, vec![7; 32])])
                .unwrap()
                .unwrap(),
            conversations,
            spool: Spool::open(&self.folder.path().join(name)).await.unwrap(),
            clock: Arc::new(SystemClock),
            random: Arc::new(ring::rand::SystemRandom::new()),
            turns_answered: 0.into(),
        });
        let pod = PodIdentity {
            name: PodName::parse(name).unwrap(),
            uid: PodUid::parse(format!("uid-{name}")).unwrap(),
            boot_id: BootId::parse("boot-1").unwrap(),
            node: String::new(),
        };
        let hand_over = HandOver::new(pod, answering.spool.clone(), answering.conversations.clone());
        let service = Service {
            answering: answering.clone(),
            metrics: Metrics::default(),
            turns: TaskTracker::new(),
            hand_over: Arc::new(hand_over),
        };
        let tls = self
            .ca
            .material(
                &PeerIdentity::tenant(&tenant("acme"), TenantRole::Worker),
                SystemClock.now(),
            )
            .unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let stop = CancellationToken::new();
        let incoming = tls.incoming(listener, stop.clone());
        tokio::spawn(
            tonic::transport::Server::builder()
                .add_service(ConversationServer::new(service))
                .serve_with_incoming(incoming),
        );
        Worker {
            answering,
            address,
            _stop: stop.drop_guard(),
        }
    }

    fn client_as(&self, worker: &Worker, identity: &PeerIdentity) -> Client {
        let tls = self.ca.material(identity, SystemClock.now()).unwrap();
        let expected = PeerIdentity::tenant(&tenant("acme"), TenantRole::Worker);
        ConversationClient::new(tls.channel(&worker.address, &expected).unwrap())
    }

    fn gateway(&self, worker: &Worker) -> Client {
        self.client_as(
            worker,
            &PeerIdentity::tenant(&tenant("acme"), TenantRole::Gateway),
        )
    }
}

fn request(conversation: &str, turn: &str, text: &str, token: &[u8]) -> ConverseRequest {
    ConverseRequest {
        correlation: 7,
        tenant: "acme".into(),
        tenant_uid: "uid-acme".into(),
        conversation_id: conversation.into(),
        action: Some(Action::Turn(Turn {
            turn_id: turn.into(),
            text: text.into(),
            arrived_at: Some(Timestamp {
                seconds: 1_700_000_000,
                nanos: 5,
            }),
            resume_token: token.to_vec(),
            channel: "web".into(),
        })),
        synthetic: false,
    }
}

async fn ask(client: &mut Client, request: ConverseRequest) -> Result<Reply, ApiError> {
    let response = client
        .converse(request)
        .await
        .map_err(|status| ApiError::from_status(&status))?
        .into_inner();
    assert_eq!(response.correlation, 7);
    match response.result.unwrap() {
        Outcome::Reply(reply) => Ok(reply),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_leaves_after_its_usage_event_is_in_the_spool() {
    let installation = Installation::new();
    let worker = installation.worker("one", 5).await;
    let reply = ask(
        &mut installation.gateway(&worker),
        request("c1", "t1", "退款多久到账？", b""),
    )
    .await
    .unwrap();
    assert_eq!(
        (reply.kind(), reply.answer_id.as_str(), reply.turn_sequence),
        (AnswerKind::Answer, "refund", 1)
    );
    let spooled = worker.answering.spool.oldest(10).await.unwrap();
    assert_eq!(spooled.len(), 1);
    assert_eq!(
        spooled[0].event, reply.usage_event,
        "both witnesses hold the same bytes"
    );
    let interaction = Interaction::decode(&reply.usage_event).unwrap();
    assert_eq!(
        (interaction.kind, interaction.turn.as_str()),
        (InteractionKind::Answer, "t1")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_turn_sent_again_gets_the_same_answer_and_event_and_with_another_text_a_conflict() {
    let installation = Installation::new();
    let worker = installation.worker("one", 5).await;
    let mut gateway = installation.gateway(&worker);
    let first = ask(&mut gateway, request("c1", "t1", "怎么开发票", b""))
        .await
        .unwrap();
    let again = ask(&mut gateway, request("c1", "t1", " 怎么开发票 ", b""))
        .await
        .unwrap();
    assert!(again.replayed && !first.replayed);
    assert_eq!((again.text, again.usage_event), (first.text, first.usage_event));
    assert_eq!(worker.answering.spool.depth(), 1);
    let conflict = ask(&mut gateway, request("c1", "t1", "退款多久到账", b""))
        .await
        .unwrap_err();
    assert_eq!(
        (conflict.reason, conflict.field.as_deref()),
        (Reason::TurnConflict, Some("turn.turn_id"))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn another_worker_goes_on_from_the_token_and_repeats_a_turn_with_the_same_event() {
    let installation = Installation::new();
    let (one, two) = (
        installation.worker("one", 5).await,
        installation.worker("two", 5).await,
    );
    let first = ask(
        &mut installation.gateway(&one),
        request("c1", "t1", "怎么开发票", b""),
    )
    .await
    .unwrap();
    let mut gateway = installation.gateway(&two);
    let repeated = ask(
        &mut gateway,
        request("c1", "t1", "怎么开发票", &first.resume_token),
    )
    .await
    .unwrap();
    assert!(repeated.replayed);
    assert_eq!(repeated.usage_event, first.usage_event);
    assert_eq!(two.answering.spool.depth(), 0, "the first worker has it");
    let next = ask(
        &mut gateway,
        request("c1", "t2", "退款多久到账", &first.resume_token),
    )
    .await
    .unwrap();
    assert_eq!(next.turn_sequence, 2);
    let refused = ask(
        &mut gateway,
        request("c2", "t1", "怎么开发票", &first.resume_token),
    )
    .await
    .unwrap_err();
    assert_eq!(refused.reason, Reason::ResumeTokenRefused);
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_tenants_gateway_may_ask_and_the_operator_for_synthetic_turns_alone() {
    let installation = Installation::new();
    let worker = installation.worker("one", 5).await;
    let operator = PeerIdentity::System(SystemRole::Operator);
    let other = PeerIdentity::tenant(&tenant("other"), TenantRole::Gateway);
    for (identity, synthetic, allowed) in [
        (&operator, false, false),
        (&operator, true, true),
        (&other, false, false),
        (
            // It passes on the operator's probes of the public door.
            &PeerIdentity::tenant(&tenant("acme"), TenantRole::Gateway),
            true,
            true,
        ),
        (&other, true, false),
        (
            &PeerIdentity::tenant(&tenant("acme"), TenantRole::Worker),
            false,
            false,
        ),
    ] {
        let asked = ConverseRequest {
            synthetic,
            ..request("c1", "t1", "怎么开发票", b"")
        };
        let answered = ask(&mut installation.client_as(&worker, identity), asked).await;
        assert_eq!(
            answered.as_ref().err().map(|error| error.reason),
            (!allowed).then_some(Reason::PermissionDenied),
            "{identity}"
        );
    }
    assert_eq!(
        (
            worker.answering.spool.depth(),
            worker.answering.conversations.active()
        ),
        (0, 0),
        "synthetic turns leave nothing"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn usage_records_are_handed_over_to_the_tenants_gateways_alone() {
    let installation = Installation::new();
    let worker = installation.worker("one", 1).await;
    ask(
        &mut installation.gateway(&worker),
        request("c1", "t1", "退款多久到账", b""),
    )
    .await
    .unwrap();
    worker.answering.conversations.set_intake(Intake::HandingOff);
    let of = |tenant: &str, uid: &str| HandOverRequest {
        tenant: tenant.into(),
        tenant_uid: uid.into(),
        gateway: "gateway-1".into(),
        kept: Vec::new(),
    };
    let own = of("acme", "uid-acme");
    for identity in [
        PeerIdentity::System(SystemRole::Operator),
        PeerIdentity::System(SystemRole::Billing),
        PeerIdentity::tenant(&tenant("acme"), TenantRole::Worker),
        PeerIdentity::tenant(&tenant("other"), TenantRole::Gateway),
    ] {
        let refused = installation
            .client_as(&worker, &identity)
            .hand_over(own.clone())
            .await;
        let reason = ApiError::from_status(&refused.unwrap_err()).reason;
        assert_eq!(reason, Reason::PermissionDenied, "{identity:?}");
    }
    let mut gateway = installation.gateway(&worker);
    for wrong in [of("other", "uid-acme"), of("acme", "uid-of-an-earlier-acme")] {
        let refused = gateway.hand_over(wrong.clone()).await.unwrap_err();
        let reason = ApiError::from_status(&refused).reason;
        assert_eq!(reason, Reason::PermissionDenied, "{wrong:?}");
    }
    let given = gateway.hand_over(own).await.unwrap().into_inner();
    let said = (given.reporter.as_str(), given.boot_id.as_str());
    assert_eq!((given.records.len(), said), (1, ("one", "boot-1")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_request_names_its_field_and_the_stream_lives_on() {
    let installation = Installation::new();
    let worker = installation.worker("one", 1).await;
    let requests = [
        request("c1", "t1", "怎么开发票", b""),
        request("c1", "t2", "  ", b""),
        request("c1", "t3", &"长".repeat(2_001), b""),
        request("c 1", "t4", "怎么开发票", b""),
        request("c1", "t5", "怎么开发票", &[0; 4_097]),
        request("c2", "t6", "怎么开发票", b""),
        request("c1", "t7", "退款多久到账", b""),
    ];
    let mut gateway = installation.gateway(&worker);
    let (sender, receiver) = tokio::sync::mpsc::channel(1);
    let mut responses = gateway
        .converse_stream(tokio_stream::wrappers::ReceiverStream::new(receiver))
        .await
        .unwrap()
        .into_inner();
    let mut outcomes = Vec::new();
    for request in requests {
        sender.send(request).await.unwrap();
        outcomes.push(match responses.next().await.unwrap().unwrap().result.unwrap() {
            Outcome::Error(error) if error.field.is_empty() => error.reason,
            Outcome::Error(error) => error.field,
            Outcome::Reply(reply) => reply.answer_id,
            Outcome::Closed(_) => "closed".into(),
        });
    }
    assert_eq!(
        outcomes,
        [
            "invoice",
            "turn.text",
            "turn.text",
            "conversation_id",
            "turn.resume_token",
            "WORKER_FULL",
            "refund"
        ]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_conversation_makes_room() {
    let installation = Installation::new();
    let worker = installation.worker("one", 1).await;
    let mut gateway = installation.gateway(&worker);
    ask(&mut gateway, request("c1", "t1", "怎么开发票", b""))
        .await
        .unwrap();
    let close = ConverseRequest {
        action: Some(Action::Close(Close::default())),
        ..request("c1", "", "", b"")
    };
    assert_eq!(gateway.converse(close).await.unwrap().into_inner().active, 0);
    ask(&mut gateway, request("c2", "t1", "怎么开发票", b""))
        .await
        .unwrap();
}
