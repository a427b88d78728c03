//! Every RPC and every route on the cluster: what it answers to whom it should, and to whom it should not.
use anyhow::Context as _;
use http::{Method, StatusCode};
use prost::Message as _;
use serde_json::{Value, json};
use springtide_proto::conversation::conversation_client::ConversationClient;
use springtide_proto::conversation::converse_request::Action;
use springtide_proto::conversation::converse_response::Result as Outcome;
use springtide_proto::conversation::{ConverseRequest, Turn};
use springtide_proto::error::{ApiError, Reason};
use springtide_proto::fleet::fleet_client::FleetClient;
use springtide_proto::fleet::{
    GatewayHello, GatewayMessage, WorkerHello, WorkerMessage, gateway_command, gateway_message,
    worker_command, worker_message,
};
use springtide_proto::ids::TenantId;
use springtide_proto::metering::metering_client::MeteringClient;
use springtide_proto::metering::record_result::Status as RecordStatus;
use springtide_proto::metering::{Record, ReportRequest, UsageEvent, Witness};
use springtide_proto::tenancy::tenancy_client::TenancyClient;
use springtide_proto::tenancy::{CloseTenantRequest, PutRatePlanRequest, RegisterTenantRequest};
use springtide_runtime::identity::{PeerIdentity, SystemRole, TenantRole};
use springtide_tests::cluster::{Cluster, Pod};
use springtide_tests::course::SYSTEM;
use springtide_tests::data::TenantData;
use springtide_tests::load::{Client, Sent};
use springtide_tests::manifests::{PoolManifest, TenantManifest, rate_plan};
use tokio_stream::StreamExt as _;

use crate::support::{LIMIT, cluster, material, secret, wait_for_number};

const TENANT: &str = "maple";

fn tenant_part(role: TenantRole) -> PeerIdentity {
    PeerIdentity::tenant(&TenantId::parse(TENANT).unwrap(), role)
}

async fn take_on(cluster: &Cluster) -> Client {
    cluster.apply(&rate_plan("standard-2026")).await.unwrap();
    let data = TenantData::shipped("arrivals_evening.csv").unwrap();
    let knowledge = data.knowledge_parts().unwrap();
    let pool = PoolManifest {
        conversations: 4,
        min: 1,
        max: 4,
        down_window_seconds: 5,
        drain_seconds: 5,
    };
    let manifest = TenantManifest {
        name: TENANT,
        display_name: "枫",
        rate_plan: "standard-2026",
        limit: 8,
        knowledge: &knowledge,
        pool,
    };
    cluster.apply(&manifest.to_yaml()).await.unwrap();
    wait_for_number(
        cluster,
        &["bp", "web", "-n", &namespace()],
        "/status/readyReplicas",
        |ready| ready >= 1,
    )
    .await;
    let check = || async {
        let address = cluster.service_address(&namespace(), "gateway").await?;
        let client = Client::new(&format!("http://{address}"))?;
        match client.turn("warm-up", "t0", "怎么开发票", "").await {
            Sent::Reply(_) => Ok(client),
            other => anyhow::bail!("{other:?}"),
        }
    };
    cluster.wait_for("an answer", LIMIT, check).await.unwrap()
}

fn namespace() -> String {
    format!("tenant-{TENANT}")
}

async fn one_pod(cluster: &Cluster, namespace: &str, name: &str) -> Pod {
    let label = format!("app.kubernetes.io/name={name}");
    let look = || async {
        let pods = cluster.pods(namespace, &label).await?;
        pods.into_iter().find(|pod| pod.ready).context("none is ready")
    };
    let what = format!("a ready pod of {name}");
    cluster.wait_for(&what, LIMIT, look).await.unwrap()
}

fn reason(status: &tonic::Status) -> Reason {
    ApiError::from_status(status).reason
}

#[tokio::test(flavor = "multi_thread")]
async fn every_door_answers_whom_it_should_and_nobody_else() {
    let Some(cluster) = cluster().await else { return };
    let gateway = take_on(&cluster).await;
    gateway_routes(&gateway).await;
    admin_ports(&cluster).await;
    conversation_calls(&cluster).await;
    fleet_calls(&cluster).await;
    metering_calls(&cluster).await;
    tenancy_calls(&cluster).await;
    portal_routes(&cluster).await;
}

async fn gateway_routes(gateway: &Client) {
    for path in ["/", "/chat.js", "/chat.css"] {
        assert_eq!(
            gateway.request(Method::GET, path, String::new()).await.unwrap().0,
            StatusCode::OK,
            "{path}"
        );
    }
    let (status, _) = gateway
        .request(Method::GET, "/v1/conversations/c1/ws", String::new())
        .await
        .unwrap();
    assert_eq!(
        status,
        StatusCode::BAD_REQUEST,
        "a socket's route wants an upgrade"
    );
    let Sent::Reply(reply) = gateway.turn("door-1", "t1", "怎么开发票", "").await else {
        panic!("no reply")
    };
    let (status, _) = gateway
        .request(Method::POST, "/v1/conversations/door-1/turns", "{".into())
        .await
        .unwrap();
    assert_eq!(status, StatusCode::BAD_REQUEST);
    gateway.close("door-1", &reply.resume_token).await.unwrap();
}

async fn admin_ports(cluster: &Cluster) {
    let own = namespace();
    for (namespace, name) in [
        (SYSTEM, "springtide-operator"),
        (SYSTEM, "springtide-billing"),
        (own.as_str(), "springtide-gateway"),
        (own.as_str(), "springtide-worker"),
    ] {
        let pod = one_pod(cluster, namespace, name).await;
        let admin = Client::new(&format!("http://{}:9090", pod.ip)).unwrap();
        for path in ["/livez", "/readyz", "/metrics"] {
            let (status, body) = admin.request(Method::GET, path, String::new()).await.unwrap();
            assert_eq!(
                status,
                StatusCode::OK,
                "{name} {path} {}",
                String::from_utf8_lossy(&body)
            );
        }
    }
}

async fn conversation_calls(cluster: &Cluster) {
    let worker = one_pod(cluster, &namespace(), "springtide-worker").await;
    let uid = cluster.get(&["tn", TENANT]).await.unwrap()["metadata"]["uid"]
        .as_str()
        .unwrap()
        .to_owned();
    let address = format!("{}:7443", worker.ip);
    let expected = tenant_part(TenantRole::Worker);
    let request = |turn: &str, text: &str| ConverseRequest {
        correlation: 1,
        tenant: TENANT.into(),
        tenant_uid: uid.clone(),
        conversation_id: "door-2".into(),
        action: Some(Action::Turn(Turn {
            turn_id: turn.into(),
            text: text.into(),
            arrived_at: Some(prost_types::Timestamp {
                seconds: 1_790_000_000,
                nanos: 0,
            }),
            resume_token: Vec::new(),
            channel: "web".into(),
        })),
        synthetic: false,
    };
    let as_gateway = material(cluster, &tenant_part(TenantRole::Gateway)).await;
    let mut client = ConversationClient::new(as_gateway.channel(&address, &expected).unwrap());
    let requests = tokio_stream::iter([request("t1", "怎么开发票"), request("t2", " ")]);
    let mut responses = client.converse_stream(requests).await.unwrap().into_inner();
    let (mut replies, mut errors) = (0, 0);
    while let Some(response) = responses.next().await {
        match response.unwrap().result.unwrap() {
            Outcome::Reply(_) => replies += 1,
            Outcome::Error(error) => {
                assert_eq!(error.field, "turn.text");
                errors += 1;
            }
            Outcome::Closed(_) => panic!("nothing was closed"),
        }
    }
    assert_eq!((replies, errors), (1, 1));
    let other = PeerIdentity::tenant(&TenantId::parse("other").unwrap(), TenantRole::Gateway);
    let as_other = material(cluster, &other).await;
    let refused = ConversationClient::new(as_other.channel(&address, &expected).unwrap())
        .converse(request("t3", "x"))
        .await;
    assert_eq!(reason(&refused.unwrap_err()), Reason::PermissionDenied);
}

async fn fleet_calls(cluster: &Cluster) {
    let operator = PeerIdentity::System(SystemRole::Operator);
    let mut leaders = 0;
    for pod in cluster
        .pods(SYSTEM, "app.kubernetes.io/name=springtide-operator")
        .await
        .unwrap()
    {
        let address = format!("{}:7444", pod.ip);
        let as_gateway = material(cluster, &tenant_part(TenantRole::Gateway)).await;
        let hello = GatewayMessage {
            message: Some(gateway_message::Message::Hello(GatewayHello {
                tenant: TENANT.into(),
                pod: "gateway-test".into(),
                pod_uid: "test".into(),
                boot_id: "test".into(),
                node: String::new(),
                version: "0".into(),
                pools: vec!["web".into()],
                lost_leader: String::new(),
            })),
        };
        let (sender, receiver) = tokio::sync::mpsc::channel(2);
        sender.send(hello).await.unwrap();
        let mut client = FleetClient::new(as_gateway.channel(&address, &operator).unwrap());
        let stream = tokio_stream::wrappers::ReceiverStream::new(receiver);
        let attached = client.attach_gateway(stream).await.unwrap();
        let command = attached
            .into_inner()
            .next()
            .await
            .unwrap()
            .unwrap()
            .command
            .unwrap();
        let leads = matches!(
            command,
            gateway_command::Command::Welcome(_) | gateway_command::Command::Endpoints(_)
        );
        leaders += usize::from(leads);
        let refused = refusal_of_a_foreign_worker(cluster, &address).await;
        assert_eq!(refused, Some(Reason::PermissionDenied), "leads: {leads}");
    }
    assert_eq!(leaders, 1, "one replica leads, and it was asked");
}

/// A worker of this tenant that says it is another's: how the replica at `address` refuses it, if it looks at all.
async fn refusal_of_a_foreign_worker(cluster: &Cluster, address: &str) -> Option<Reason> {
    let hello = WorkerHello {
        tenant: "other".into(),
        pool: "web".into(),
        pod: "web-0".into(),
        pod_uid: "foreign".into(),
        boot_id: "foreign".into(),
        address: "10.98.1.250:7443".into(),
        node: "node-1".into(),
        version: "0".into(),
        capacity: 1,
        lost_leader: String::new(),
    };
    let message = WorkerMessage {
        message: Some(worker_message::Message::Hello(hello)),
    };
    let as_worker = material(cluster, &tenant_part(TenantRole::Worker)).await;
    let operator = PeerIdentity::System(SystemRole::Operator);
    let mut client = FleetClient::new(as_worker.channel(address, &operator).unwrap());
    match client.attach_worker(tokio_stream::iter([message])).await {
        Err(status) => Some(reason(&status)),
        Ok(stream) => match stream.into_inner().next().await.unwrap() {
            Err(status) => Some(reason(&status)),
            Ok(command) => match command.command {
                Some(worker_command::Command::NotLeader(_)) => None,
                other => panic!("a foreign worker got {other:?}"),
            },
        },
    }
}

async fn metering_calls(cluster: &Cluster) {
    let billing = PeerIdentity::System(SystemRole::Billing);
    let address = format!(
        "{}:7445",
        cluster
            .service_address(SYSTEM, "springtide-billing")
            .await
            .unwrap()
    );
    let as_worker = material(cluster, &tenant_part(TenantRole::Worker)).await;
    let mut client = MeteringClient::new(as_worker.channel(&address, &billing).unwrap());
    let record = |event: Vec<u8>| Record {
        usage_event: event.into(),
        witness: Witness::Worker.into(),
        delivery: 0,
        reporter: "web-test".into(),
        boot_id: "test".into(),
    };
    let foreign = UsageEvent {
        tenant: "other".into(),
        tenant_uid: "x".into(),
        ..UsageEvent::default()
    }
    .encode_to_vec();
    let records = vec![record(foreign), record(vec![0xff; 8])];
    let results = client
        .report(ReportRequest { records })
        .await
        .unwrap()
        .into_inner()
        .results;
    assert!(
        results
            .iter()
            .all(|result| result.status() == RecordStatus::Rejected),
        "{results:?}"
    );
    let too_many = vec![record(Vec::new()); 10_001];
    let refused = client
        .report(ReportRequest { records: too_many })
        .await
        .unwrap_err();
    assert_eq!(reason(&refused), Reason::InvalidArgument);
}

async fn tenancy_calls(cluster: &Cluster) {
    let billing = PeerIdentity::System(SystemRole::Billing);
    let address = format!(
        "{}:7445",
        cluster
            .service_address(SYSTEM, "springtide-billing")
            .await
            .unwrap()
    );
    let as_worker = material(cluster, &tenant_part(TenantRole::Worker)).await;
    let mut client = TenancyClient::new(as_worker.channel(&address, &billing).unwrap());
    let refused = client
        .register_tenant(RegisterTenantRequest::default())
        .await
        .unwrap_err();
    assert_eq!(reason(&refused), Reason::PermissionDenied);
    let as_operator = material(cluster, &PeerIdentity::System(SystemRole::Operator)).await;
    let mut client = TenancyClient::new(as_operator.channel(&address, &billing).unwrap());
    let spec = json!({"currency": "CNY", "timeZone": "Asia/Shanghai", "charges": [
        {"name": "answers", "meter": "interactions", "model": "PerUnit", "unitPrice": "0.10"}]});
    let plan = |spec: &Value| PutRatePlanRequest {
        name: "door".into(),
        uid: "door".into(),
        generation: 1,
        spec_json: spec.to_string(),
    };
    let first = client
        .put_rate_plan(plan(&spec))
        .await
        .unwrap()
        .into_inner()
        .digest;
    assert_eq!(
        client
            .put_rate_plan(plan(&spec))
            .await
            .unwrap()
            .into_inner()
            .digest,
        first,
        "idempotent"
    );
    let refused = client
        .put_rate_plan(plan(&json!({"currency": "CNY"})))
        .await
        .unwrap_err();
    assert!(
        matches!(reason(&refused), Reason::PlanInvalid | Reason::InvalidArgument),
        "{refused:?}"
    );
    let account = RegisterTenantRequest {
        tenant_uid: "door-uid".into(),
        tenant: "door".into(),
        display_name: "门".into(),
        time_zone: "Asia/Shanghai".into(),
        rate_plan: "door".into(),
        portal_token_sha256: vec![0; 32],
        locale: "zh-CN".into(),
        ..RegisterTenantRequest::default()
    };
    assert!(
        client
            .register_tenant(account)
            .await
            .unwrap()
            .into_inner()
            .rate_plan_found
    );
    client
        .close_tenant(CloseTenantRequest {
            tenant_uid: "door-uid".into(),
        })
        .await
        .unwrap();
}

async fn portal_routes(cluster: &Cluster) {
    let address = cluster
        .service_address(SYSTEM, "springtide-billing")
        .await
        .unwrap();
    let billing = Client::new(&format!("http://{address}:8081")).unwrap();
    let token = secret(cluster, &namespace(), "springtide-portal-token", "token").await;
    let of = |tenant: &str, path: &str| format!("/api/v1/tenants/{tenant}/{path}");
    for path in ["usage", "invoices", "preview", "interactions"] {
        let (status, body) = billing
            .request_with(Method::GET, &of(TENANT, path), String::new(), Some(&token))
            .await
            .unwrap();
        assert_eq!(
            status,
            StatusCode::OK,
            "{path} {}",
            String::from_utf8_lossy(&body)
        );
    }
    for path in [
        "usage",
        "invoices",
        "invoices/SPT-2026-000001",
        "preview",
        "interactions",
    ] {
        let mut answers = Vec::new();
        for tenant in [TENANT, "nobody"] {
            for bearer in [None, Some("wrong")] {
                answers.push(
                    billing
                        .request_with(Method::GET, &of(tenant, path), String::new(), bearer)
                        .await
                        .unwrap(),
                );
            }
        }
        assert!(
            answers.iter().all(|answer| answer.0 == StatusCode::UNAUTHORIZED),
            "{path} {answers:?}"
        );
        assert!(
            answers.iter().all(|answer| answer.1 == answers[0].1),
            "{path} tells whether a tenant exists"
        );
        let other = billing
            .request_with(Method::GET, &of("acme", path), String::new(), Some(&token))
            .await
            .unwrap();
        let nobody = billing
            .request_with(Method::GET, &of("nobody", path), String::new(), Some(&token))
            .await
            .unwrap();
        assert_eq!(
            other, nobody,
            "{path}: another tenant is as one that does not exist"
        );
    }
    for path in ["/", "/assets/style.css"] {
        assert_eq!(
            billing.request(Method::GET, path, String::new()).await.unwrap().0,
            StatusCode::OK,
            "{path}"
        );
    }
    for (method, path) in [
        (Method::GET, "/portal"),
        (Method::GET, "/portal/invoices/x"),
        (Method::POST, "/sign-in"),
        (Method::POST, "/sign-out"),
    ] {
        let (status, _) = billing
            .request(method.clone(), path, String::new())
            .await
            .unwrap();
        assert!(
            !status.is_success() && !status.is_server_error(),
            "{method} {path} without a session: {status}"
        );
    }
}
