//! The services with identities in the request's extension, without TLS.

use std::sync::Arc;

use springtide_proto::error::{ApiError, Reason};
use springtide_proto::event::{Interaction, InteractionKind};
use springtide_proto::ids::{ConversationId, PoolId, TenantId, TenantUid, TurnId};
use springtide_proto::metering::metering_server::Metering as _;
use springtide_proto::metering::record_result::Status as RecordStatus;
use springtide_proto::metering::{
    Delivery, Record, ReportMinutesRequest, ReportRequest, ServiceMinute, Witness,
};
use springtide_proto::tenancy::tenancy_server::Tenancy as _;
use springtide_proto::tenancy::{CloseTenantRequest, PutRatePlanRequest, RegisterTenantRequest};
use springtide_runtime::clock::ManualClock;
use springtide_runtime::identity::{PeerIdentity, SystemRole, TenantRole};
use tonic::Request;

use super::metering::MeteringService;
use super::tenancy::TenancyService;
use crate::metering::MAX_RECORDS;
use crate::metering::writer::UsageWriter;
use crate::metrics::Metrics;
use crate::store::Store;

struct Bench {
    metering: MeteringService,
    tenancy: TenancyService,
    store: Store,
    _folder: tempfile::TempDir,
}

async fn bench() -> Bench {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::connect(&format!("sqlite://{}/billing.db", folder.path().display()), true)
        .await
        .unwrap();
    store.migrate().await.unwrap();
    let clock = Arc::new(ManualClock::new("2026-11-11T01:00:00Z".parse().unwrap()));
    let (writer, _task) = UsageWriter::start(store.clone(), clock.clone(), Metrics::default()).unwrap();
    let metering = MeteringService {
        writer,
        clock: clock.clone(),
        metrics: Metrics::default(),
        store: store.clone(),
    };
    Bench {
        metering,
        tenancy: TenancyService {
            store: store.clone(),
            clock,
        },
        store,
        _folder: folder,
    }
}

fn tenant(name: &str) -> TenantId {
    TenantId::parse(name).unwrap()
}

fn as_peer<T>(peer: PeerIdentity, message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.extensions_mut().insert(peer);
    request
}

fn worker(name: &str) -> PeerIdentity {
    PeerIdentity::tenant(&tenant(name), TenantRole::Worker)
}

fn gateway(name: &str) -> PeerIdentity {
    PeerIdentity::tenant(&tenant(name), TenantRole::Gateway)
}

fn operator<T>(message: T) -> Request<T> {
    as_peer(PeerIdentity::System(SystemRole::Operator), message)
}

fn record(name: &str, turn: &str, witness: Witness) -> Record {
    let event = Interaction {
        tenant: tenant(name),
        tenant_uid: TenantUid::parse(format!("uid-{name}")).unwrap(),
        pool: PoolId::parse("web").unwrap(),
        conversation: ConversationId::parse("c").unwrap(),
        turn: TurnId::parse(turn).unwrap(),
        channel: "web".into(),
        arrived_at: "2026-11-11T00:00:00Z".parse().unwrap(),
        kind: InteractionKind::Answer,
        answer_id: None,
    };
    let delivery = if witness == Witness::Gateway {
        Delivery::Delivered
    } else {
        Delivery::Unspecified
    };
    Record {
        usage_event: event.encode().into(),
        witness: witness.into(),
        delivery: delivery.into(),
        reporter: "pod".into(),
        boot_id: "boot".into(),
    }
}

fn registration(name: &str) -> RegisterTenantRequest {
    RegisterTenantRequest {
        tenant_uid: format!("uid-{name}"),
        tenant: name.into(),
        display_name: name.into(),
        time_zone: "Asia/Shanghai".into(),
        rate_plan: "standard".into(),
        portal_token_sha256: vec![7; 32],
        locale: "zh-CN".into(),
        ..RegisterTenantRequest::default()
    }
}

fn plan(spec_json: &str) -> PutRatePlanRequest {
    PutRatePlanRequest {
        name: "standard".into(),
        uid: "u".into(),
        generation: 1,
        spec_json: spec_json.into(),
    }
}

const SPEC: &str = r#"{"currency": "CNY", "timeZone": "Asia/Shanghai", "charges": []}"#;

fn reason<T: std::fmt::Debug>(result: Result<T, tonic::Status>) -> Reason {
    ApiError::from_status(&result.unwrap_err()).reason
}

#[tokio::test]
async fn both_witnesses_of_a_tenant_report_and_nobody_reports_for_another() {
    let bench = bench().await;
    let report = async |peer, records| {
        let response = bench
            .metering
            .report(as_peer(peer, ReportRequest { records }))
            .await?;
        let results = response.into_inner().results;
        Ok::<_, tonic::Status>(
            results
                .iter()
                .map(|result| (result.status(), result.reason.clone()))
                .collect::<Vec<_>>(),
        )
    };
    let taken = |status: RecordStatus| (status, String::new());
    let denied = || (RecordStatus::Rejected, "PERMISSION_DENIED".to_owned());
    let as_both = [Witness::Worker, Witness::Gateway].map(|witness| record("acme", "t1", witness));
    let by_worker = report(worker("acme"), as_both.into()).await.unwrap();
    assert_eq!(by_worker, [taken(RecordStatus::Accepted), denied()]);
    let mixed = vec![
        record("acme", "t1", Witness::Gateway),
        record("acme", "t1", Witness::Worker),
        record("other", "t1", Witness::Gateway),
        record("acme", "t2", Witness::Gateway),
    ];
    let by_gateway = report(gateway("acme"), mixed).await.unwrap();
    assert_eq!(
        by_gateway,
        [
            taken(RecordStatus::Duplicate),
            // What a worker left behind.
            taken(RecordStatus::Duplicate),
            denied(),
            taken(RecordStatus::Accepted)
        ]
    );
    let system = PeerIdentity::System(SystemRole::Operator);
    assert_eq!(
        reason(report(system, vec![record("acme", "t3", Witness::Worker)]).await),
        Reason::PermissionDenied
    );
}

#[tokio::test]
async fn a_call_without_identity_or_of_no_or_too_many_records_is_refused_as_a_whole() {
    let bench = bench().await;
    let anonymous = bench
        .metering
        .report(Request::new(ReportRequest { records: vec![] }))
        .await;
    assert_eq!(reason(anonymous), Reason::Unauthenticated);
    for number in [0, MAX_RECORDS + 1] {
        let records = vec![record("acme", "t", Witness::Worker); number];
        let refused = bench
            .metering
            .report(as_peer(worker("acme"), ReportRequest { records }))
            .await;
        assert_eq!(reason(refused), Reason::InvalidArgument, "{number}");
    }
    assert!(bench.store.ledgers_named("acme").await.unwrap().is_empty());
}

#[tokio::test]
async fn a_store_that_is_away_is_unavailable() {
    let bench = bench().await;
    bench.store.close().await;
    let records = vec![record("acme", "t", Witness::Worker)];
    let status = bench
        .metering
        .report(as_peer(worker("acme"), ReportRequest { records }))
        .await
        .unwrap_err();
    assert_eq!(status.code(), tonic::Code::Unavailable);
}

#[tokio::test]
async fn only_the_operator_may_call_tenancy() {
    let bench = bench().await;
    for peer in [
        worker("acme"),
        gateway("acme"),
        PeerIdentity::System(SystemRole::Billing),
    ] {
        let registered = bench
            .tenancy
            .register_tenant(as_peer(peer.clone(), registration("acme")))
            .await;
        assert_eq!(reason(registered), Reason::PermissionDenied);
        let put = bench
            .tenancy
            .put_rate_plan(as_peer(peer.clone(), plan(SPEC)))
            .await;
        assert_eq!(reason(put), Reason::PermissionDenied);
        let close = CloseTenantRequest {
            tenant_uid: "uid-acme".into(),
        };
        assert_eq!(
            reason(bench.tenancy.close_tenant(as_peer(peer, close)).await),
            Reason::PermissionDenied
        );
    }
    assert!(bench.store.accounts().await.unwrap().is_empty());
}

#[tokio::test]
async fn registering_says_whether_the_plan_is_known_and_the_order_of_the_two_is_no_matter() {
    let bench = bench().await;
    let found = async || {
        let response = bench
            .tenancy
            .register_tenant(operator(registration("acme")))
            .await
            .unwrap();
        response.into_inner().rate_plan_found
    };
    assert!(!found().await);
    let one = bench
        .tenancy
        .put_rate_plan(operator(plan(SPEC)))
        .await
        .unwrap()
        .into_inner()
        .digest;
    let respelled = r#"{"charges":[],"timeZone":"Asia/Shanghai","currency":"CNY"}"#;
    let two = bench
        .tenancy
        .put_rate_plan(operator(plan(respelled)))
        .await
        .unwrap()
        .into_inner()
        .digest;
    assert_eq!(one, two, "the digest is of the canonical JSON");
    assert_eq!(one.len(), 64);
    assert!(found().await);
    for _ in 0..2 {
        let close = CloseTenantRequest {
            tenant_uid: "uid-acme".into(),
        };
        bench.tenancy.close_tenant(operator(close)).await.unwrap();
    }
    let mut renamed = registration("other");
    renamed.tenant_uid = "uid-acme".into();
    assert_eq!(
        reason(bench.tenancy.register_tenant(operator(renamed)).await),
        Reason::FailedPrecondition
    );
}

#[tokio::test]
async fn wrong_registrations_and_plans_name_the_field() {
    let bench = bench().await;
    let field = async |change: &dyn Fn(&mut RegisterTenantRequest)| {
        let mut request = registration("acme");
        change(&mut request);
        ApiError::from_status(
            &bench
                .tenancy
                .register_tenant(operator(request))
                .await
                .unwrap_err(),
        )
        .field
        .unwrap_or_default()
    };
    assert_eq!(field(&|request| request.tenant = "Acme".into()).await, "tenant");
    assert_eq!(
        field(&|request| request.time_zone = "Mars/Base".into()).await,
        "time_zone"
    );
    assert_eq!(
        field(&|request| request.portal_token_sha256 = vec![1; 31]).await,
        "portal_token_sha256"
    );
    assert_eq!(
        field(&|request| request.display_name = "a\nb".into()).await,
        "display_name"
    );
    assert_eq!(field(&|request| request.rate_plan.clear()).await, "rate_plan");
    for days in [34, 3_651] {
        assert_eq!(field(&|request| request.usage_days = days).await, "usage_days");
    }
    let unknown = r#"{"currency":"CNY","timeZone":"UTC","charges":[],"ceiling":"5"}"#;
    for (spec, word) in [
        ("{", "not JSON"),
        (unknown, "ceiling"),
        (r#"{"currency":"RMB","timeZone":"UTC"}"#, "RMB"),
    ] {
        let status = bench
            .tenancy
            .put_rate_plan(operator(plan(spec)))
            .await
            .unwrap_err();
        assert!(status.message().contains(word), "{}", status.message());
        assert_eq!(ApiError::from_status(&status).reason, Reason::PlanInvalid);
    }
}

#[tokio::test]
async fn a_version_that_a_bill_used_is_plan_changed() {
    let bench = bench().await;
    bench.tenancy.put_rate_plan(operator(plan(SPEC))).await.unwrap();
    bench
        .tenancy
        .register_tenant(operator(registration("acme")))
        .await
        .unwrap();
    let account = bench.store.account_of_uid("uid-acme").await.unwrap().unwrap();
    let now = "2026-12-01T00:00:00Z".parse().unwrap();
    crate::bill::issue(&bench.store, &account, "2026-11".parse().unwrap(), now)
        .await
        .unwrap();
    bench.tenancy.put_rate_plan(operator(plan(SPEC))).await.unwrap();
    let other = r#"{"currency":"USD","timeZone":"UTC","charges":[]}"#;
    assert_eq!(
        reason(bench.tenancy.put_rate_plan(operator(plan(other))).await),
        Reason::PlanChanged
    );
    let next = PutRatePlanRequest {
        generation: 2,
        ..plan(other)
    };
    assert_eq!(
        reason(bench.tenancy.put_rate_plan(operator(next)).await),
        Reason::PlanChanged
    );
}

fn service_minute(bad: u64) -> ServiceMinute {
    ServiceMinute {
        pool: "web".into(),
        boot_id: "boot".into(),
        minute: Some(prost_types::Timestamp {
            seconds: 1_794_355_200,
            nanos: 0,
        }),
        good: 0,
        bad,
        fast: 0,
        slow: 0,
    }
}

#[tokio::test]
async fn each_minute_hears_what_became_of_it_and_only_gateways_of_its_tenant_report_it() {
    let bench = bench().await;
    let report = async |peer, minutes| {
        let request = ReportMinutesRequest {
            tenant_uid: "uid-acme".into(),
            tenant: "acme".into(),
            reporter: "gateway-0".into(),
            minutes,
        };
        let response = bench.metering.report_minutes(as_peer(peer, request)).await?;
        let results = response.into_inner().results;
        Ok::<_, tonic::Status>(
            results
                .iter()
                .map(|result| (result.status(), result.reason.clone()))
                .collect::<Vec<_>>(),
        )
    };
    let nameless = ServiceMinute {
        pool: String::new(),
        ..service_minute(1)
    };
    let minutes = vec![service_minute(1), nameless, service_minute(1), service_minute(2)];
    let results = report(gateway("acme"), minutes).await.unwrap();
    let expected = [
        (RecordStatus::Accepted, ""),
        (RecordStatus::Rejected, "INVALID_ARGUMENT"),
        (RecordStatus::Duplicate, ""),
        (RecordStatus::Conflict, "MINUTE_CONFLICT"),
    ];
    assert_eq!(
        results,
        expected.map(|(status, reason)| (status, reason.to_owned()))
    );
    for peer in [
        worker("acme"),
        gateway("other"),
        PeerIdentity::System(SystemRole::Billing),
    ] {
        let refused = report(peer, vec![service_minute(1)]).await;
        assert_eq!(reason(refused), Reason::PermissionDenied);
    }
}

#[tokio::test]
async fn a_tenant_goes_to_another_plan_but_to_no_other_currency_within_a_month() {
    let bench = bench().await;
    let dollars = PutRatePlanRequest {
        name: "dollars".into(),
        ..plan(&SPEC.replace("CNY", "USD"))
    };
    let premium = PutRatePlanRequest {
        name: "premium".into(),
        ..plan(SPEC)
    };
    for plan in [plan(SPEC), dollars, premium] {
        bench.tenancy.put_rate_plan(operator(plan)).await.unwrap();
    }
    let register = async |plan: &str| {
        let mut request = registration("acme");
        request.rate_plan = plan.into();
        bench.tenancy.register_tenant(operator(request)).await
    };
    register("standard").await.unwrap();
    register("premium").await.unwrap();
    let refused = ApiError::from_status(&register("dollars").await.unwrap_err());
    assert_eq!(
        (refused.reason, refused.field.as_deref()),
        (Reason::FailedPrecondition, Some("rate_plan"))
    );
    assert!(
        refused.message.contains("USD") && refused.message.contains("CNY"),
        "{}",
        refused.message
    );
    let account = bench
        .tenancy
        .store
        .account_of_uid("uid-acme")
        .await
        .unwrap()
        .unwrap();
    let kept = bench.tenancy.store.assignments(account.ledger).await.unwrap();
    let kept: Vec<_> = kept
        .iter()
        .map(|one| (one.plan.as_str(), one.recorded_by.as_str()))
        .collect();
    assert_eq!(kept, [("standard", "operator"), ("premium", "operator")]);
}
