//! The demo's course, smaller and on PostgreSQL: faults, a manual scale, a promotion, and bills that are right to the unit.
use std::time::Duration;

use springtide_tests::course::{Course, Scale};
use springtide_tests::data::DataArgs;

use crate::support::{charts, cluster, database};

#[tokio::test(flavor = "multi_thread")]
async fn a_course_with_every_fault_bills_exactly_what_its_customers_received() {
    let Some(cluster) = cluster().await else { return };
    let folder = tempfile::tempdir().unwrap();
    let data = DataArgs {
        data: std::env::var_os("SPRINGTIDE_DATA").map(Into::into),
        ..DataArgs::default()
    };
    let course = Course {
        cluster,
        report: folder.path().to_owned(),
        data: data.read().unwrap(),
        scale: Scale {
            conversations: 900,
            turns: 3,
            capacity: 8,
            waves: 1,
            bursts: 12,
            burst_conversations: 12,
            burst_every: Duration::from_secs(3),
        },
        phases: Vec::new(),
        charts: charts(),
        database: database(),
    };
    let report = course.run().await.unwrap();
    println!("{}", serde_json::to_string_pretty(&report).unwrap());
    assert_eq!(report.broken_promises(), Vec::<String>::new());
    assert!(
        report.conversations >= 900 && report.moved > 0,
        "{} conversations, {} moved",
        report.conversations,
        report.moved
    );
    let slowest = report.first_answer_s.unwrap();
    assert!(
        report.first_answer_s_by_tenant.len() == 2 && slowest <= 60.0,
        "first answers after {:?}",
        report.first_answer_s_by_tenant
    );
    let decides = report.operator_decides_again_s.unwrap();
    assert!(decides <= 10.0, "the next leader decided after {decides} s");
    let [wanted, ready] = ["wanted", "ready_at_open"].map(|name| report.promotion[name].as_u64().unwrap());
    assert!(
        ready >= wanted,
        "{ready} of {wanted} were ready when the promotion opened"
    );
    for tenant in report.invoices.as_array().unwrap() {
        assert_ne!(tenant["number"], serde_json::Value::Null, "{tenant}");
    }
}
