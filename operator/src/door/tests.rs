use springtide_proto::ids::{PoolId, TenantId};

use super::*;
use crate::controllers::testing::{Cached, Scenario};

fn bad(minute: i64) -> BadMinute {
    BadMinute {
        key: PoolKey {
            tenant: TenantId::parse("acme").unwrap(),
            pool: PoolId::parse("web").unwrap(),
        },
        tenant_uid: "uid-of-acme".to_owned(),
        minute: Timestamp::from_second(minute * 60).unwrap(),
    }
}

async fn until(is_so: impl Fn() -> bool) {
    let look = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), look).await.unwrap();
}

#[tokio::test]
async fn bad_minutes_wait_for_billing_in_order_and_one_that_it_refuses_for_good_holds_up_none() {
    let scenario = Scenario::new(Cached::default());
    let prober = Arc::new(Prober::new(scenario.context.clone()));
    prober.bad.lock().extend([bad(1), bad(2), bad(3)]);
    scenario.billing.fail(Reason::InvalidArgument, "no such minute");
    let reporting = prober.clone();
    let reporting = tokio::spawn(async move { reporting.report("operator-0", "boot-1").await });
    until(|| prober.bad.lock().is_empty()).await;
    assert!(scenario.billing.minutes.lock().is_empty(), "all were refused");

    scenario.billing.fail(Reason::Unavailable, "away");
    prober.bad.lock().extend([bad(4), bad(5), bad(6)]);
    let tried = *scenario.billing.minutes_tried.lock();
    until(|| *scenario.billing.minutes_tried.lock() > tried + 1).await;
    assert_eq!(prober.bad.lock().len(), 3, "kept while billing is away");
    *scenario.billing.error.lock() = None;
    until(|| scenario.billing.minutes.lock().len() == 3).await;
    until(|| prober.bad.lock().is_empty()).await;
    let told: Vec<_> = scenario
        .billing
        .minutes
        .lock()
        .iter()
        .map(|report| {
            let minute = &report.minutes[0];
            (
                report.tenant.clone(),
                minute.pool.clone(),
                minute.minute.unwrap().seconds / 60,
                (minute.good, minute.bad),
            )
        })
        .collect();
    let acme = |minute| ("acme".to_owned(), "web".to_owned(), minute, (0, 1));
    assert_eq!(told, [acme(4), acme(5), acme(6)]);
    reporting.abort();
}
