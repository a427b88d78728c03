use springtide_proto::error::Reason;
use tokio_util::task::AbortOnDropHandle;

use super::schedule::PERIOD;
use super::*;
use crate::controllers::testing::{Cached, FakeApi, Scenario, acme};

async fn until(is_so: impl Fn() -> bool) {
    let look = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_mins(1), look).await.unwrap();
}

/// The doors' bad minutes of a term that reports, until it is told to end.
struct Term {
    prober: Arc<Prober>,
    reporting: AbortOnDropHandle<()>,
}

impl Term {
    fn begin(scenario: &Scenario, instance: &str) -> Self {
        let prober = Arc::new(Prober::new(scenario.context.clone(), instance, "boot-1"));
        let reporting = prober.clone();
        let reporting = tokio::spawn(async move { reporting.bad.report(&reporting.context).await });
        let reporting = AbortOnDropHandle::new(reporting);
        Self { prober, reporting }
    }

    fn found_bad(&self, minutes: [i64; 3]) {
        let key = crate::controllers::testing::key();
        for minute in minutes {
            let minute = Timestamp::from_second(minute * 60).unwrap();
            self.prober.bad.push(&key, "uid-of-acme".to_owned(), minute);
        }
    }

    async fn end(self) {
        self.reporting.abort();
        drop(self.reporting.await);
    }
}

/// Reporter, tenant, pool, minute, and how many turns were good and bad.
type Told = (String, String, String, i64, (u64, u64));

/// Each report, in order.
fn told(scenario: &Scenario) -> Vec<Told> {
    let reports = scenario.billing.minutes.lock();
    let told = reports.iter().map(|report| {
        let minute = &report.minutes[0];
        (
            report.reporter.clone(),
            report.tenant.clone(),
            minute.pool.clone(),
            minute.minute.unwrap().seconds / 60,
            (minute.good, minute.bad),
        )
    });
    told.collect()
}

fn expected(reporter: &str, minute: i64) -> Told {
    let (tenant, pool) = ("acme".to_owned(), "web".to_owned());
    (reporter.to_owned(), tenant, pool, minute, (0, 1))
}

#[tokio::test]
async fn bad_minutes_wait_for_billing_in_order_and_one_that_it_refuses_for_good_holds_up_none() {
    let scenario = Scenario::new(Cached::default());
    scenario.billing.fail(Reason::InvalidArgument, "no such minute");
    let term = Term::begin(&scenario, "operator-0");
    term.found_bad([1, 2, 3]);
    until(|| term.prober.bad.count() == 0).await;
    assert!(scenario.billing.minutes.lock().is_empty(), "all were refused");

    scenario.billing.fail(Reason::Unavailable, "away");
    term.found_bad([4, 5, 6]);
    let tried = *scenario.billing.minutes_tried.lock();
    until(|| *scenario.billing.minutes_tried.lock() > tried + 1).await;
    assert_eq!(term.prober.bad.count(), 3, "kept while billing is away");
    *scenario.billing.error.lock() = None;
    until(|| scenario.billing.minutes.lock().len() == 3).await;
    until(|| term.prober.bad.count() == 0).await;
    assert_eq!(
        told(&scenario),
        [4, 5, 6].map(|minute| expected("operator-0", minute))
    );
}

#[tokio::test]
async fn bad_minutes_that_wait_when_a_term_ends_are_reported_by_the_next_leader_as_of_the_one_that_found_them()
 {
    let api = FakeApi::default();
    let kept = || {
        let map = api.get("/api/v1/namespaces/springtide-system/configmaps/springtide-bad-minutes");
        let text = map.map(|map| map["data"]["minutes"].as_str().unwrap_or_default().to_owned());
        text.unwrap_or_default()
    };
    let old = Scenario::on(&api, Cached::default());
    old.billing.fail(Reason::Unavailable, "away");
    let term = Term::begin(&old, "operator-0");
    term.found_bad([1, 2, 3]);
    until(|| kept().matches("1970-01-01").count() == 3).await;
    term.end().await;

    let new = Scenario::on(&api, Cached::default());
    new.billing.fail(Reason::Unavailable, "away");
    let term = Term::begin(&new, "operator-1");
    term.found_bad([4, 5, 6]);
    until(|| term.prober.bad.count() == 6).await;
    *new.billing.error.lock() = None;
    until(|| term.prober.bad.count() == 0).await;
    let mut all = [1, 2, 3].map(|minute| expected("operator-0", minute)).to_vec();
    all.extend([4, 5, 6].map(|minute| expected("operator-1", minute)));
    assert_eq!(told(&new), all);
    until(|| kept() == "[]").await;
}

#[tokio::test]
async fn probes_on_their_way_end_with_the_term() {
    let scenario = Scenario::new(Cached {
        tenants: vec![acme()],
        ..Cached::default()
    });
    let prober = Arc::new(Prober::new(scenario.context.clone(), "operator-0", "boot-1"));
    {
        let probing = prober.probe();
        tokio::pin!(probing);
        // Fifteen seconds pass from tick to tick, so that each door has its turn.
        let on_its_way = async {
            while !prober.schedule.lock().is_on_its_way() {
                let later = scenario.context.clock.now() + PERIOD;
                tokio::select! {
                    () = &mut probing => {}
                    () = tokio::time::sleep(Duration::from_millis(1)) => scenario.clock.set(later),
                }
            }
        };
        tokio::time::timeout(Duration::from_secs(10), on_its_way)
            .await
            .unwrap();
    }
    // Whatever the door does, a probe of it lasts longer than this where it is not ended.
    let ended = async {
        while Arc::strong_count(&prober) > 1 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(TIMEOUT / 5, ended).await.unwrap();
}
