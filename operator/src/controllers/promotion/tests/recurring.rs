use super::*;

#[tokio::test]
async fn a_recurring_promotion_goes_from_one_occurrence_to_the_next() {
    let live = live(1, 40).await;
    // Fridays; the 13th, 12:00 to 16:00 in UTC.
    let promotion = promotion(json!({
        "recur": {"cron": "0 20 * * FRI", "duration": "4h", "timeZone": "Asia/Shanghai"}, "boost": {"percent": "200"},
    }));
    let friday: Timestamp = "2026-11-13T12:00:00Z".parse().unwrap();
    let after = |minutes: i64| friday + SignedDuration::from_mins(minutes);
    let status = |phase: &str| {
        json!({
            "phase": phase, "prewarmAt": after(-20).to_string(), "start": friday.to_string(),
            "pools": [{"tenant": "acme", "pool": "web", "baseline": 20, "baselineFrom": "CurrentLoad", "wanted": 5, "floor": 5, "ready": 1}],
        })
    };
    let planned = |minutes, known: Value| {
        let prepared = built(&promotion, &knowing(seen(after(minutes), &live), known));
        (
            prepared.phase,
            prepared.course.occurrence.start,
            prepared.wishes[0].baseline.unwrap().0,
        )
    };
    assert_eq!(planned(-300, json!({})), (Phase::Waiting, friday, 40));
    assert_eq!(planned(-20, json!({})), (Phase::Prewarming, friday, 40));
    assert_eq!(planned(10, status("Prewarming")), (Phase::Open, friday, 20));
    assert_eq!(planned(241, status("Open")), (Phase::CoolingDown, friday, 20));
    let next = after(7 * 24 * 60);
    assert_eq!(planned(245, status("CoolingDown")).1, next);
    assert_eq!(planned(300, status("Waiting")), (Phase::Waiting, next, 40));
}

#[tokio::test]
async fn an_occurrence_that_follows_at_once_is_prewarmed_before_and_counts_from_no_load_that_the_other_brought()
 {
    let mut live = live(1, 400).await;
    let promotion = promotion(json!({
        "recur": {"cron": "0 * * * *", "duration": "1h", "timeZone": "UTC"}, "boost": {"percent": "200", "of": "SameSlotBaseline"},
    }));
    let eleven: Timestamp = "2026-11-10T11:00:00Z".parse().unwrap();
    let status = json!({
        "phase": "Open", "prewarmAt": "2026-11-10T10:40:00Z", "start": eleven.to_string(), "announced": ["60m", "30m", "10m", "open"],
        "pools": [{"tenant": "acme", "pool": "web", "baseline": 20, "baselineFrom": "LastHour", "wanted": 5, "floor": 5, "ready": 1}],
    });
    let planned = |minute: i64, live: &LivePool| {
        let now = eleven + SignedDuration::from_mins(minute);
        built(&promotion, &knowing(seen(now, live), status.clone()))
    };
    let follows = planned(60, &live);
    assert_eq!(
        (follows.phase, follows.wishes[0].baseline.unwrap().0),
        (Phase::Open, 20),
        "not 400"
    );
    assert_eq!(
        follows.announced,
        ["60m", "30m", "10m", "open"],
        "of the new occurrence"
    );
    assert_eq!(follows.due.last().unwrap().as_str(), "open");
    // What was learned of the next slots is more than of these: it is there before the first ends.
    let before = planned(30, &live).wishes[0].floor;
    live.baseline = learned(60);
    let (early, late) = (planned(30, &live), planned(59, &live));
    assert_eq!((early.phase, early.wishes[0].floor), (Phase::Open, before));
    assert!(late.wishes[0].floor > before && late.wishes[0].boosted.wanted == early.wishes[0].boosted.wanted);
}
