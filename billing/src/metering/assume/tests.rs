use std::collections::BTreeMap;

use springtide_proto::ids::{TenantId, TenantUid};

use super::*;
use crate::digest::Digest;
use crate::metering::report::{Event, Party, Provenance};
use crate::rating::number::Exact;

fn report(tenant: &str, id: &str, witness: Witness) -> Report {
    let party = Party {
        tenant_uid: TenantUid::parse(format!("uid-{tenant}")).unwrap(),
        tenant: TenantId::parse(tenant).unwrap(),
    };
    Report {
        key: party.event_key("interaction", id),
        party,
        event: Event {
            source: "interaction".into(),
            id: id.into(),
            meter: "interactions".into(),
            quantity: Exact::new(1, 0),
            time: "2026-11-11T00:00:00Z".parse().unwrap(),
            dimensions: BTreeMap::new(),
            reversal_of: None,
        },
        hash: Digest::of(id.as_bytes()),
        payload: id.as_bytes().to_vec(),
        provenance: Provenance {
            witness,
            delivery: Delivery::Unspecified,
            reporter: "pod".into(),
            boot_id: "boot".into(),
        },
    }
}

fn batch(tenant: &str, witnesses: &[Witness]) -> Vec<Examined> {
    let number = witnesses.iter().enumerate();
    number
        .map(|(id, witness)| Ok(Box::new(report(tenant, &id.to_string(), *witness))))
        .collect()
}

#[test]
fn a_batch_of_one_kind_of_witness_is_supposed_to_be_the_first_or_the_second_report() {
    let of = |witnesses: &[Witness]| Assumption::of(&batch("acme", witnesses));
    assert_eq!(of(&[Witness::Worker; 3]), Some(Assumption::New));
    assert_eq!(of(&[Witness::Unspecified; 3]), Some(Assumption::New));
    assert_eq!(of(&[Witness::Gateway; 3]), Some(Assumption::ReportedByWorkers));
    assert_eq!(of(&[Witness::Gateway, Witness::Worker]), None);
    assert_eq!(of(&[]), None);
    let mut reversal = report("acme", "1", Witness::Worker);
    reversal.event.reversal_of = Some("0".into());
    assert_eq!(Assumption::of(&[Ok(Box::new(reversal))]), None);
}

#[test]
fn of_ratings_no_worker_is_supposed_to_have_said_anything() {
    let mut rating = report("acme", "rated", Witness::Gateway);
    rating.event.source = RATING_SOURCE.into();
    let mut records = batch("acme", &[Witness::Gateway; 2]);
    records.push(Ok(Box::new(rating)));
    let assumption = Assumption::of(&records).unwrap();
    assert_eq!(assumption, Assumption::ReportedByWorkers);
    assert_eq!(assumption.known(&records).len(), 2);
}

#[test]
fn doubt_doubles_with_each_failure_is_bounded_ends_with_success_and_is_of_one_tenant_and_witness() {
    let doubt = Doubt::default();
    let (acme, other) = (
        batch("acme", &[Witness::Worker]),
        batch("other", &[Witness::Worker]),
    );
    let gateway = batch("acme", &[Witness::Gateway]);
    // How many batches go without it before the next try.
    let without = || (0..).find_map(|count| doubt.assumption(&acme).map(|subject| (count, subject)));
    for expected in [0, 1, 2, 4, 8, 16, 32, 64, 64] {
        let (count, subject) = without().unwrap();
        assert_eq!(count, expected);
        assert!(doubt.assumption(&other).is_some() && doubt.assumption(&gateway).is_some());
        doubt.note(&subject, false);
    }
    let (_, subject) = without().unwrap();
    doubt.note(&subject, true);
    assert_eq!(without().unwrap().0, 0);
    assert!(
        doubt.0.lock().unwrap().is_empty(),
        "no tenant is kept in mind for ever"
    );
}
