use jiff::tz::TimeZone;

use super::super::manifest::Documents;
use super::*;
use crate::autoscale::{BaselineLearner, ServiceLevel};

const PROMOTION: &str = r#"
apiVersion: springtide.dev/v1alpha1
kind: Promotion
metadata: {name: double-11}
spec:
  pools: [{tenant: acme, pool: web}]
  window: {start: "2026-11-10T20:00", end: "2026-11-10T21:00", timeZone: UTC}
  boost: {percent: "200"}
  readyBy: 10m
"#;

fn pool(name: &str) -> Pool {
    let text = format!(
        "{{apiVersion: springtide.dev/v1alpha1, kind: BotPool, metadata: {{name: {name}, namespace: tenant-acme}}, \
         spec: {{worker: {{image: w, conversations: 20}}, scaling: {{max: 9}}}}}}"
    );
    Pool::parse(&text).unwrap()
}

fn promotion(text: &str) -> Promotion {
    Documents::parse(text).unwrap().one().unwrap()
}

fn promotions(texts: &[&str]) -> Promotions {
    let mut promotions = Promotions::default();
    for text in texts {
        promotions.add(&promotion(text), &pool("web"), None).unwrap();
    }
    promotions
}

/// What is held, minute by minute of the hours from 18:00, by the load of each minute.
fn floors(
    promotions: &mut Promotions,
    baseline: &Arc<Baseline>,
    limit: u32,
    load: impl Fn(u64) -> u32,
) -> Vec<u32> {
    let origin: Timestamp = "2026-11-10T18:00:00Z".parse().unwrap();
    let room = TenantRoom {
        zone: TimeZone::UTC,
        limit,
        granted: None,
        others: 0,
        beside: Vec::new(),
    };
    let seconds = (0..200 * 60).map(|second| {
        let plans = promotions.plans(&Live {
            now: Duration::from_secs(second),
            time: origin + Duration::from_secs(second),
            load: load(second / 60),
            ready: 5,
            starting: 0,
            start_time: Duration::from_secs(8),
            hold_time: None,
            baseline,
            shape: PoolShape {
                capacity: 20,
                level: ServiceLevel::default(),
                min: 1,
                max: 100,
                suspended: false,
                held_to: None,
            },
            room: &room,
        });
        plans.iter().map(|plan| plan.floor).max().unwrap_or(0)
    });
    seconds.step_by(60).collect()
}

fn held(floors: &[u32], floor: u32) -> Vec<usize> {
    let all = floors.iter().enumerate();
    all.filter(|(_, held)| **held == floor)
        .map(|(minute, _)| minute)
        .collect()
}

#[test]
fn a_promotion_holds_three_times_the_load_of_the_hour_before_from_ready_by_to_the_end_and_says_so() {
    let mut promotions = promotions(&[PROMOTION]);
    let floors = floors(&mut promotions, &Arc::default(), 400, |minute| {
        if minute == 80 { 100 } else { 40 }
    });
    // Three times 100 conversations are 15 full workers, and 18 that keep the service level.
    assert_eq!(
        held(&floors, 18),
        (110..=180).collect::<Vec<_>>(),
        "from ten minutes before to the end"
    );
    assert!(floors[..110].is_sorted());
    assert!(floors[181..].iter().rev().is_sorted());
    assert_eq!(
        held(&floors, 0).len(),
        101 + 15,
        "the ramp, all of it, and four steps down"
    );
    let [note] = promotions.notes() else {
        panic!("{:?}", promotions.notes());
    };
    assert_eq!(
        (note.baseline, note.wanted),
        (Some((100, BaselineFrom::LastHour)), 18)
    );
}

/// What was learned of three weeks before, in which 60 conversations were there all the time.
fn learned() -> Arc<Baseline> {
    let mut learner = BaselineLearner::default();
    let begun: Timestamp = "2026-10-19T00:00:00Z".parse().unwrap();
    for tick in 0..(21 * 24 * 3_600 / 20) {
        learner.observe(begun + Duration::from_secs(tick * 20), "UTC", Some(60));
    }
    learner.learned()
}

#[test]
fn what_was_learned_of_the_same_slots_is_counted_from_and_the_last_hour_where_that_is_asked_for() {
    let baseline = learned();
    let counted = |text: &str| {
        let mut promotions = promotions(&[text]);
        floors(&mut promotions, &baseline, 400, |_| 200);
        promotions.notes()[0].baseline
    };
    assert_eq!(counted(PROMOTION), Some((60, BaselineFrom::SameSlotBaseline)));
    let of_last_hour = PROMOTION.replace("\"200\"", "\"200\", of: CurrentLoad");
    assert_eq!(counted(&of_last_hour), Some((200, BaselineFrom::CurrentLoad)));
}

#[test]
fn of_several_promotions_the_highest_counts() {
    let by_number = PROMOTION
        .replace("{percent: \"200\"}", "{workers: 25}")
        .replace("double-11", "flash")
        .replace("T20:00", "T20:30");
    let alone = floors(&mut promotions(&[PROMOTION]), &Arc::default(), 400, |_| 100);
    let both = floors(
        &mut promotions(&[PROMOTION, &by_number]),
        &Arc::default(),
        400,
        |_| 100,
    );
    assert_eq!((alone[119], both[119]), (18, 18));
    assert_eq!((alone[150], both[150]), (18, 25));
}

#[test]
fn a_recurring_promotion_is_held_again_and_again() {
    let recurring = PROMOTION.replace(
        "window: {start: \"2026-11-10T20:00\", end: \"2026-11-10T21:00\", timeZone: UTC}",
        "recur: {cron: \"45 * * * *\", duration: 5m, timeZone: UTC}\n  ramp: 1m\n  coolDown: {stepPercent: \"100\"}",
    );
    let recurring = recurring.replace("readyBy: 10m", "readyBy: 5m");
    let floors = floors(&mut promotions(&[&recurring]), &Arc::default(), 400, |_| 100);
    for hour in 0..3 {
        assert_eq!(
            (
                floors[hour * 60 + 38],
                floors[hour * 60 + 40],
                floors[hour * 60 + 50],
                floors[hour * 60 + 51]
            ),
            (0, 18, 18, 0)
        );
    }
}

#[test]
fn what_the_tenants_limit_does_not_allow_is_said() {
    let mut promotions = promotions(&[PROMOTION]);
    floors(&mut promotions, &Arc::default(), 12, |_| 100);
    let note = &promotions.notes()[0];
    assert_eq!((note.shortfall, note.limited_by), (6, Some("TenantLimit")));
}

#[test]
fn slow_starts_bring_pre_warming_forward_by_what_99_of_100_keep() {
    let begins = |start_seconds: u64| {
        let mut promotions = promotions(&[&PROMOTION.replace("readyBy: 10m", "readyBy: 10m\n  ramp: 0s")]);
        let origin: Timestamp = "2026-11-10T18:00:00Z".parse().unwrap();
        let room = TenantRoom {
            zone: TimeZone::UTC,
            limit: 400,
            granted: None,
            others: 0,
            beside: Vec::new(),
        };
        let baseline = Arc::default();
        let seconds = (0..7_200).find(|second| {
            let plans = promotions.plans(&Live {
                now: Duration::from_secs(*second),
                time: origin + Duration::from_secs(*second),
                load: 100,
                ready: 5,
                starting: 0,
                start_time: Duration::from_secs(start_seconds),
                hold_time: None,
                baseline: &baseline,
                shape: PoolShape {
                    capacity: 20,
                    level: ServiceLevel::default(),
                    min: 1,
                    max: 100,
                    suspended: false,
                    held_to: None,
                },
                room: &room,
            });
            !plans.is_empty()
        });
        6_600 - seconds.unwrap()
    };
    // 13 creations at 12.5 a second, one start, and the look.
    assert_eq!((begins(8), begins(300)), (2 + 8 + 10, 2 + 300 + 10));
}

#[test]
fn a_promotion_is_for_this_pool() {
    let add = |pool: &Pool| Promotions::default().add(&promotion(PROMOTION), pool, None);
    assert_eq!(
        add(&pool("other")),
        Err(PromotionError::OtherPool("other".to_owned()))
    );
    assert_eq!(add(&pool("web")), Ok(()));
}
