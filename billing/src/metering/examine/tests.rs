use springtide_proto::ended::ConversationEnd;
use springtide_proto::event::{Interaction, InteractionKind};
use springtide_proto::ids::{ConversationId, PoolId, TurnId};
use springtide_proto::rated::{Comment, Rating, Score};
use springtide_proto::time::timestamp_to_wire;

use super::*;

fn now() -> Timestamp {
    "2026-11-11T12:00:00Z".parse().unwrap()
}

fn worker() -> Reporter {
    Reporter {
        tenant: TenantId::parse("acme").unwrap(),
        role: Some(TenantRole::Worker),
    }
}

fn interaction() -> Interaction {
    Interaction {
        tenant: TenantId::parse("acme").unwrap(),
        tenant_uid: TenantUid::parse("uid-1").unwrap(),
        pool: PoolId::parse("web").unwrap(),
        conversation: ConversationId::parse("c1").unwrap(),
        turn: TurnId::parse("t1").unwrap(),
        channel: "web".into(),
        arrived_at: now(),
        kind: InteractionKind::Answer,
        answer_id: Some("refund".into()),
    }
}

fn record(usage_event: Vec<u8>) -> Record {
    Record {
        usage_event: usage_event.into(),
        witness: Witness::Worker.into(),
        delivery: 0,
        reporter: "pod-1".into(),
        boot_id: "boot-1".into(),
    }
}

fn other_event() -> UsageEvent {
    UsageEvent {
        tenant_uid: "uid-1".into(),
        tenant: "acme".into(),
        source: "handoff".into(),
        id: "h1".into(),
        meter: "handoffs".into(),
        quantity: "2.5".into(),
        event_time: Some(timestamp_to_wire(now())),
        dimensions: vec![Dimension {
            key: "channel".into(),
            value: "web".into(),
        }],
        reversal_of: String::new(),
    }
}

#[test]
fn an_interaction_of_the_peers_tenant_is_a_report() {
    let report = examine(record(interaction().encode()), &worker(), now()).unwrap();
    assert_eq!(report.event.id, "c1/t1");
    assert_eq!(report.event.meter, "interactions");
    assert_eq!(report.party.tenant.as_str(), "acme");
    assert_eq!(report.hash, Digest::of(&interaction().encode()));
    let other = examine(record(other_event().encode_to_vec()), &worker(), now()).unwrap();
    assert_eq!(other.event.quantity.to_string(), "2.5");
}

#[test]
fn what_another_tenant_or_another_part_would_report_is_refused() {
    let foreign = Reporter {
        tenant: TenantId::parse("other").unwrap(),
        role: Some(TenantRole::Worker),
    };
    let client = Reporter {
        role: None,
        ..worker()
    };
    let end = ConversationEnd::after(&interaction()).encode();
    for peer in [foreign, client.clone()] {
        for event in [interaction().encode(), end.clone()] {
            let rejection = examine(record(event), &peer, now()).unwrap_err();
            assert_eq!(rejection.reason, Reason::PermissionDenied, "{peer:?}");
        }
    }
    for (source, event) in [("interaction", interaction().encode()), ("conversation", end)] {
        let posted = Record {
            witness: Witness::Unspecified.into(),
            ..record(event)
        };
        assert_eq!(
            examine(posted, &client, now()).unwrap_err().message,
            format!("source {source} is what workers and gateways alone report")
        );
    }
    let as_a_gateway = Record {
        witness: Witness::Gateway.into(),
        ..record(interaction().encode())
    };
    let rejection = examine(as_a_gateway, &worker(), now()).unwrap_err();
    assert_eq!(rejection.reason, Reason::PermissionDenied);
}

#[test]
fn a_gateway_passes_on_what_a_worker_left_and_says_nothing_of_its_delivery_by_that() {
    let gateway = Reporter {
        role: Some(TenantRole::Gateway),
        ..worker()
    };
    let left = Record {
        delivery: Delivery::Undelivered.into(),
        ..record(interaction().encode())
    };
    let provenance = examine(left, &gateway, now()).unwrap().provenance;
    assert_eq!(
        (provenance.witness, provenance.delivery),
        (Witness::Worker, Delivery::Unspecified)
    );
}

#[test]
fn a_client_firm_reports_nothing_that_the_provider_charges_for_what_it_does() {
    let client = Reporter {
        role: None,
        ..worker()
    };
    let posted = |source: &str, meter: &str| Record {
        witness: Witness::Unspecified.into(),
        ..record(
            UsageEvent {
                source: source.into(),
                meter: meter.into(),
                quantity: "0".into(),
                ..other_event()
            }
            .encode_to_vec(),
        )
    };
    for meter in [
        "modules",
        "interactions",
        "unanswered",
        "conversations",
        "handoffs",
        "ratings",
    ] {
        let rejection = examine(posted("shop", meter), &client, now()).unwrap_err();
        assert_eq!(rejection.reason, Reason::EventRejected);
        assert_eq!(
            rejection.message,
            format!("meter {meter} is what the provider alone reports")
        );
        let again = examine_again("acme", &posted("shop", meter), now()).unwrap_err();
        assert_eq!(again.message, rejection.message, "offered again, it is no other");
        assert!(examine_of_provider(posted(PROVIDER_SOURCE, meter), &client.tenant, now()).is_ok());
    }
    let forged = examine(posted(PROVIDER_SOURCE, "storage"), &client, now()).unwrap_err();
    assert_eq!(
        forged.message,
        "source provider is what the provider alone reports"
    );
    assert!(examine(posted("shop", "storage"), &client, now()).is_ok());
}

#[test]
fn a_worker_cannot_say_that_something_was_not_delivered() {
    let record = Record {
        delivery: Delivery::Undelivered.into(),
        ..record(interaction().encode())
    };
    assert_eq!(
        examine(record, &worker(), now()).unwrap().provenance.delivery,
        Delivery::Unspecified
    );
}

#[test]
fn every_wrong_part_of_an_event_is_named() {
    let change = |change: &dyn Fn(&mut UsageEvent)| {
        let mut event = other_event();
        change(&mut event);
        event.encode_to_vec()
    };
    let dimension = |key: &str, value: &str| Dimension {
        key: key.into(),
        value: value.into(),
    };
    let ahead = timestamp_to_wire("2026-11-11T13:00:00.000000001Z".parse().unwrap());
    for (expected, bytes) in [
        ("usage_event", b"\xff\xff".to_vec()),
        ("usage_event", vec![0; MAX_EVENT + 1]),
        ("tenant_uid", change(&|event| event.tenant_uid.clear())),
        ("tenant", change(&|event| event.tenant.clear())),
        ("source", change(&|event| event.source = "s".repeat(65))),
        ("source", change(&|event| event.source = "a\0b".into())),
        ("id", change(&|event| event.id.clear())),
        ("meter", change(&|event| event.meter = "Interactions".into())),
        ("quantity", change(&|event| event.quantity = "-1".into())),
        ("quantity", change(&|event| event.quantity = "1e3".into())),
        ("event_time", change(&|event| event.event_time = None)),
        ("event_time", change(&|event| event.event_time = Some(ahead))),
        (
            "event_time",
            change(&|event| {
                event.event_time = Some(prost_types::Timestamp {
                    seconds: -1,
                    nanos: 0,
                });
            }),
        ),
        (
            "dimensions",
            change(&|event| event.dimensions = vec![dimension("b", "1"), dimension("a", "1")]),
        ),
        (
            "dimensions",
            change(&|event| event.dimensions = vec![dimension("a", "1"), dimension("a", "2")]),
        ),
        (
            "dimensions",
            change(&|event| event.dimensions = vec![dimension("A", "1")]),
        ),
        (
            "dimensions",
            change(&|event| event.dimensions = vec![dimension("a", &"安".repeat(65))]),
        ),
        (
            "dimensions",
            change(&|event| event.dimensions = (10..27).map(|i| dimension(&format!("k{i}"), "")).collect()),
        ),
        (
            "reversal_of",
            change(&|event| event.reversal_of = "r".repeat(131)),
        ),
    ] {
        let rejection = examine(record(bytes), &worker(), now()).unwrap_err();
        assert!(
            rejection.message.starts_with(expected),
            "{expected}: {}",
            rejection.message
        );
        assert_eq!(rejection.reason, Reason::EventRejected);
        assert!(rejection.payload.len() <= MAX_EVENT);
    }
    let in_time =
        change(&|event| event.event_time = Some(timestamp_to_wire("2026-11-11T13:00:00Z".parse().unwrap())));
    assert!(
        examine(record(in_time), &worker(), now()).is_ok(),
        "an hour ahead is still taken"
    );
}

#[test]
fn an_interaction_that_contradicts_itself_is_refused() {
    let change = |change: &dyn Fn(&mut UsageEvent)| {
        let mut event = UsageEvent::decode(interaction().encode().as_slice()).unwrap();
        change(&mut event);
        examine(record(event.encode_to_vec()), &worker(), now())
            .unwrap_err()
            .message
    };
    assert!(change(&|event| event.id = "c1/t2".into()).starts_with("id"));
    assert!(change(&|event| event.meter = "unanswered".into()).starts_with("meter"));
    assert!(change(&|event| event.quantity = "2".into()).starts_with("quantity"));
    assert!(change(&|event| event.dimensions.clear()).contains("kind"));
}

#[test]
fn the_end_of_a_conversation_is_a_report_and_one_that_contradicts_itself_is_refused() {
    let end = ConversationEnd::after(&interaction()).encode();
    let report = examine(record(end.clone()), &worker(), now()).unwrap();
    assert_eq!(
        (report.event.id.as_str(), report.event.meter.as_str()),
        ("c1", "conversations")
    );
    assert_eq!(
        report.event.bucket().dimensions,
        r#"{"channel":"web","outcome":"resolved","pool":"web"}"#
    );
    let change = |change: &dyn Fn(&mut UsageEvent)| {
        let mut event = UsageEvent::decode(end.as_slice()).unwrap();
        change(&mut event);
        examine(record(event.encode_to_vec()), &worker(), now())
            .unwrap_err()
            .message
    };
    assert!(change(&|event| event.id = "c2".into()).starts_with("id"));
    assert!(change(&|event| event.meter = "interactions".into()).starts_with("meter"));
    assert!(change(&|event| event.quantity = "2".into()).starts_with("quantity"));
    assert!(change(&|event| event.dimensions[2].value = "handed_off".into()).contains("outcome"));
    assert!(change(&|event| event.dimensions.clear()).contains("outcome"));
}

#[test]
fn a_rating_is_a_gateways_report_summed_by_its_score_and_one_that_contradicts_itself_is_refused() {
    let of = interaction();
    let rating = Rating {
        rated_at: of.arrived_at,
        score: Score::new(2).unwrap(),
        comment: Comment::of("太慢了"),
        answer_id: Some("refund".into()),
        channel: of.channel.clone(),
        pool: of.pool.clone(),
        conversation: of.conversation.clone(),
        tenant: of.tenant.clone(),
        tenant_uid: of.tenant_uid.clone(),
    };
    let report = examine(record(rating.encode()), &worker(), now()).unwrap();
    assert_eq!(
        (report.event.id.as_str(), report.event.meter.as_str()),
        ("c1", "ratings")
    );
    assert_eq!(
        report.event.bucket().dimensions,
        r#"{"channel":"web","pool":"web","score":"2"}"#
    );
    let change = |change: &dyn Fn(&mut UsageEvent)| {
        let mut event = UsageEvent::decode(rating.encode().as_slice()).unwrap();
        change(&mut event);
        examine(record(event.encode_to_vec()), &worker(), now())
            .unwrap_err()
            .message
    };
    assert!(change(&|event| event.id = "c2".into()).starts_with("id"));
    assert!(change(&|event| event.meter = "conversations".into()).starts_with("meter"));
    assert!(change(&|event| event.quantity = "5".into()).starts_with("quantity"));
    assert!(change(&|event| event.dimensions[5].value = "6".into()).contains("score"));
    assert!(change(&|event| event.dimensions.clear()).contains("score"));
}

#[test]
fn a_record_that_does_not_say_who_reports_is_refused() {
    let record = Record {
        boot_id: String::new(),
        ..record(interaction().encode())
    };
    assert!(
        examine(record, &worker(), now())
            .unwrap_err()
            .message
            .starts_with("boot_id")
    );
}
