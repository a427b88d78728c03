//! A client firm with two months of usage, an issued bill with its service level, and a portal that serves it.

use std::net::SocketAddr;
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use prost::Message as _;
use serde_json::Value;
use springtide_billing::bill::issue;
use springtide_billing::digest::{Digest, canonical_json};
use springtide_billing::locale::Locale;
use springtide_billing::metering::examine::{Reporter, examine};
use springtide_billing::metering::report::{Party, Verdict};
use springtide_billing::metering::retention::KeptDays;
use springtide_billing::metering::writer::UsageWriter;
use springtide_billing::metrics::Metrics;
use springtide_billing::openid_connect::OpenIdConnect;
use springtide_billing::rating::period::{Bounds, Period};
use springtide_billing::rating::plan::RatePlan;
use springtide_billing::rating::rate::{Exclusion, MinuteCounts, Service};
use springtide_billing::service_level::hour::Counts;
use springtide_billing::service_level::report::{MinutesReport, ReportedMinute};
use springtide_billing::store::{
    Account, AccountDetails, NewExclusion, PlanVersion, StaffRole, StaffToken, Store, TenantStores,
};
use springtide_billing::web::{SystemSecrets, WebState, office_router, router};
use springtide_proto::event::{Interaction, InteractionKind};
use springtide_proto::metering::{Delivery, Dimension, Record, UsageEvent, Witness};
use springtide_proto::time::timestamp_to_wire;
use springtide_runtime::clock::ManualClock;
use springtide_runtime::identity::TenantRole;

/// The account's token.
pub(crate) const TOKEN: &str = "token-of-acme";
/// The token of one of the provider's people, who may approve.
pub(crate) const STAFF_TOKEN: &str = "token-of-jo";
/// The bill of November.
pub(crate) const NUMBER: &str = "SPT-2026-000001";
/// Who pays.
pub(crate) const LEGAL_NAME: &str = "安可商城有限公司";

const SPEC: &str = r#"{"currency":"CNY","timeZone":"Asia/Shanghai",
    "charges":[{"name":"answers","meter":"interactions","model":"Graduated","included":"1000",
        "tiers":[{"upTo":"10000","unitPrice":"0.10"},{"unitPrice":"0.08"}]}],
    "surcharges":[{"name":"evening peak","charge":"answers","unitPrice":"0.02","windows":[{"days":["Sat","Sun"],"from":"20:00","to":"24:00"}]}],
    "modules":[{"name":"voice","monthlyFee":"500.00"}],
    "tax":{"name":"VAT","percent":"6","inclusive":false},
    "sla":{"availability":{"objective":"99.9","slice":"5m","badShare":"0.05","minimumRequests":10,"noData":"Up",
        "credits":[{"below":"99.9","percent":"10"},{"below":"99","percent":"25"}],"creditCap":"100"}}}"#;

/// The portal, as it was at an instant.
pub(crate) struct Portal {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// Where the back office listens.
    pub(crate) office: SocketAddr,
    /// What it shows.
    pub(crate) store: Store,
    _folder: tempfile::TempDir,
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn party() -> Party {
    Party {
        tenant_uid: "uid-acme".parse().unwrap(),
        tenant: "acme".parse().unwrap(),
    }
}

impl Portal {
    /// Serves at `now`, with usage from September on, and the bill of November if that is over.
    pub(crate) async fn start(now: &str) -> Self {
        Self::start_with(now, |_| None).await
    }

    /// The same, where firms sign in at providers of their own; those are told where the portal is.
    pub(crate) async fn start_with(
        now: &str,
        openid_connect: impl FnOnce(SocketAddr) -> Option<OpenIdConnect>,
    ) -> Self {
        let now = at(now);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}/billing.db", folder.path().display());
        let store = Store::connect(&url, true).await.unwrap();
        store.migrate().await.unwrap();
        let version = plan();
        store
            .put_plan(&version, at("2026-08-01T00:00:00Z"))
            .await
            .unwrap();
        store
            .register(&details(), at("2026-08-01T00:00:00Z"))
            .await
            .unwrap();
        let account = store.account_of_uid("uid-acme").await.unwrap().unwrap();
        let jo = staff(now);
        let digest = Digest::of(STAFF_TOKEN.as_bytes());
        store.create_staff_token(&jo, digest).await.unwrap();
        fill(&store, now).await;
        issue_november(&store, &account, &version, now).await;
        let clock = Arc::new(ManualClock::new(now));
        let (writer, _) = UsageWriter::start(store.clone(), clock.clone(), Metrics::default()).unwrap();
        let secrets = Arc::new(SystemSecrets::default());
        let (stores, _) = TenantStores::open(store.clone()).await.unwrap();
        let mut state = WebState::new(stores, clock, secrets, writer);
        if let Some(providers) = openid_connect(address) {
            state = state.with_openid_connect(providers);
        }
        let office = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let office_address = office.local_addr().unwrap();
        for (listener, routes) in [(office, office_router(state.clone())), (listener, router(state))] {
            let service = routes.into_make_service_with_connect_info::<SocketAddr>();
            tokio::spawn(async move { axum::serve(listener, service).await });
        }
        Self {
            address,
            office: office_address,
            store,
            _folder: folder,
        }
    }
}

fn staff(now: Timestamp) -> StaffToken {
    StaffToken {
        id: "jo".into(),
        name: "jo".into(),
        role: StaffRole::Approver,
        created_by: String::new(),
        created_at: now,
        expires_at: now.checked_add(SignedDuration::from_hours(24)).unwrap(),
        revoked_at: None,
    }
}

fn plan() -> PlanVersion {
    let spec: Value = serde_json::from_str(SPEC).unwrap();
    let spec = canonical_json(&spec);
    PlanVersion {
        name: "standard-2026".into(),
        uid: "plan-uid".into(),
        generation: 3,
        digest: Digest::of(spec.as_bytes()),
        spec,
    }
}

fn details() -> AccountDetails {
    AccountDetails {
        party: party(),
        display_name: "安可商城".into(),
        time_zone: "Asia/Shanghai".into(),
        rate_plan: "standard-2026".into(),
        legal_name: LEGAL_NAME.into(),
        tax_id: "91310000XXXXXXXXXX".into(),
        billing_email: "finance@acme.example".into(),
        payment_days: 30,
        portal_token: Digest::of(TOKEN.as_bytes()),
        locale: Locale::ZhCn,
        usage_kept: KeptDays::default(),
    }
}

/// Hours of usage, more in the evening and at weekends, and single interactions of one day.
async fn fill(store: &Store, now: Timestamp) {
    let start = at("2026-09-20T16:00:00Z");
    let mut records = Vec::new();
    let mut hour = start;
    while hour < now {
        let local = hour
            .to_zoned(jiff::tz::TimeZone::fixed(jiff::tz::offset(8)))
            .datetime();
        let weekend = if local.date().weekday().to_monday_zero_offset() > 4 {
            3
        } else {
            2
        };
        let busy = [
            1, 1, 1, 1, 1, 2, 4, 8, 12, 16, 18, 18, 16, 15, 15, 16, 17, 18, 20, 24, 28, 26, 16, 6,
        ][usize::try_from(local.hour()).unwrap()];
        let double11 = if local.date() == jiff::civil::date(2026, 11, 11) {
            4
        } else {
            1
        };
        let answered = busy * weekend * double11;
        records.push(counted("interactions", hour, answered));
        records.push(counted("unanswered", hour, answered / 12));
        hour = hour.checked_add(SignedDuration::from_hours(1)).unwrap();
    }
    records.extend((0..130).map(single));
    let peer = Reporter {
        tenant: party().tenant,
        role: Some(TenantRole::Worker),
    };
    let examined: Vec<_> = records
        .into_iter()
        .map(|record| examine(record, &peer, now))
        .collect();
    let verdicts = store.ingest(&examined, now).await.unwrap();
    assert!(
        verdicts.iter().all(|verdict| *verdict == Verdict::Accepted),
        "{:?}",
        verdicts.last()
    );
}

fn counted(meter: &str, hour: Timestamp, quantity: i32) -> Record {
    let event = UsageEvent {
        tenant_uid: "uid-acme".into(),
        tenant: "acme".into(),
        source: "sample".into(),
        id: format!("{meter}-{hour}"),
        meter: meter.into(),
        quantity: quantity.to_string(),
        event_time: Some(timestamp_to_wire(hour)),
        dimensions: vec![Dimension {
            key: "channel".into(),
            value: "web".into(),
        }],
        reversal_of: String::new(),
    };
    record(event.encode_to_vec(), Witness::Worker, 0)
}

fn single(number: i64) -> Record {
    let event = Interaction {
        tenant: party().tenant,
        tenant_uid: party().tenant_uid,
        pool: "web".parse().unwrap(),
        conversation: format!("c0ffee00-aaaa-bbbb-{:04}", number / 5).parse().unwrap(),
        turn: format!("turn-{number:03}").parse().unwrap(),
        channel: "web".into(),
        arrived_at: at("2026-11-06T02:00:00Z")
            .checked_add(SignedDuration::from_secs(97 * number))
            .unwrap(),
        kind: InteractionKind::Answer,
        answer_id: None,
    };
    record(event.encode(), Witness::Worker, Delivery::Unspecified.into())
}

fn record(bytes: Vec<u8>, witness: Witness, delivery: i32) -> Record {
    Record {
        usage_event: bytes.into(),
        witness: witness.into(),
        delivery,
        reporter: "pod".into(),
        boot_id: "boot".into(),
    }
}

/// Minutes of November: an evening with too many errors, an hour without any report, and a maintenance.
fn service(month: Bounds) -> Service {
    let is_between =
        |second: i64, from: &str, to: &str| at(from).as_second() <= second && second < at(to).as_second();
    let minutes = (month.start.as_second()..month.end.as_second()).step_by(60);
    let counted = minutes
        .filter(|second| !is_between(*second, "2026-11-18T19:00:00Z", "2026-11-18T19:40:00Z"))
        .map(|second| {
            let bad = if is_between(second, "2026-11-11T12:00:00Z", "2026-11-11T12:55:00Z") {
                9
            } else {
                0
            };
            let counts = MinuteCounts {
                good: 60,
                bad,
                fast: 60,
                slow: bad,
                unreachable: false,
            };
            (Timestamp::from_second(second).unwrap(), counts)
        });
    Service {
        minutes: counted.collect(),
        exclusions: vec![Exclusion {
            from: at("2026-11-24T18:00:00Z"),
            to: at("2026-11-24T20:00:00Z"),
            reason: "机房维护，已提前七天通知".into(),
            approver: "王经理".into(),
        }],
    }
}

/// With the service minutes above.
async fn issue_november(store: &Store, account: &Account, version: &PlanVersion, now: Timestamp) {
    let period: Period = "2026-11".parse().unwrap();
    let plan = RatePlan::parse(&version.spec).unwrap();
    let bounds = period.bounds(&plan.zone).unwrap();
    if now < bounds.end {
        return;
    }
    let Service { minutes, exclusions } = service(bounds);
    let minute = |(at, counts): (Timestamp, MinuteCounts)| {
        let hour = at.as_second().div_euclid(3_600) * 3_600;
        let MinuteCounts {
            good,
            bad,
            fast,
            slow,
            unreachable: _,
        } = counts;
        Ok(ReportedMinute {
            pool: "web".parse().unwrap(),
            boot_id: "boot".parse().unwrap(),
            hour,
            minute: usize::try_from((at.as_second() - hour) / 60).unwrap(),
            counts: Counts {
                good,
                bad,
                fast,
                slow,
            },
        })
    };
    let report = MinutesReport {
        party: party(),
        reporter: "gateway-0".parse().unwrap(),
        is_probe: false,
        minutes: minutes.into_iter().map(minute).collect(),
    };
    store.take_minutes(&report).await.unwrap().unwrap();
    for exclusion in exclusions {
        let Exclusion {
            from,
            to,
            reason,
            approver,
        } = exclusion;
        let new = NewExclusion {
            from,
            to,
            reason,
            approver,
        };
        store.exclude(account.ledger, &new, now).await.unwrap();
    }
    let (document, _) = issue(store, account, period, now).await.unwrap();
    assert_eq!(document.number.as_deref(), Some(NUMBER));
}
