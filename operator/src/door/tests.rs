use springtide_proto::error::Reason;
use springtide_proto::ids::{PoolId, TenantId};

use super::schedule::PERIOD;
use super::*;
use crate::controllers::testing::{Cached, Scenario, acme};

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
    prober.bad.0.lock().extend([bad(1), bad(2), bad(3)]);
    scenario.billing.fail(Reason::InvalidArgument, "no such minute");
    let reporting = prober.clone();
    let reporting = tokio::spawn(async move {
        reporting
            .bad
            .report(&reporting.context, "operator-0", "boot-1")
            .await
    });
    until(|| prober.bad.0.lock().is_empty()).await;
    assert!(scenario.billing.minutes.lock().is_empty(), "all were refused");

    scenario.billing.fail(Reason::Unavailable, "away");
    prober.bad.0.lock().extend([bad(4), bad(5), bad(6)]);
    let tried = *scenario.billing.minutes_tried.lock();
    until(|| *scenario.billing.minutes_tried.lock() > tried + 1).await;
    assert_eq!(prober.bad.0.lock().len(), 3, "kept while billing is away");
    *scenario.billing.error.lock() = None;
    until(|| scenario.billing.minutes.lock().len() == 3).await;
    until(|| prober.bad.0.lock().is_empty()).await;
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

#[tokio::test]
async fn probes_on_their_way_end_with_the_term() {
    let scenario = Scenario::new(Cached {
        tenants: vec![acme()],
        ..Cached::default()
    });
    let prober = Arc::new(Prober::new(scenario.context.clone()));
    {
        let probing = prober.probe();
        tokio::pin!(probing);
        // Fifteen seconds pass from tick to tick, so that each door has its turn.
        while !prober.schedule.lock().is_on_its_way() {
            let later = scenario.context.clock.now() + PERIOD;
            tokio::select! {
                () = &mut probing => {}
                () = tokio::time::sleep(Duration::from_millis(1)) => scenario.clock.set(later),
            }
        }
    }
    // Whatever the door does, a probe of it lasts longer than this where it is not ended.
    let ended = async {
        while Arc::strong_count(&prober) > 1 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(TIMEOUT / 5, ended).await.unwrap();
}
