use super::*;

#[tokio::test]
async fn the_baseline_is_fixed_when_prewarming_begins() {
    let live = live(3, 400).await;
    let status = |start: Timestamp| {
        json!({
            "phase": "Prewarming", "prewarmAt": at(22).to_string(), "start": start.to_string(),
            "pools": [{"tenant": "acme", "pool": "web", "baseline": 40, "baselineFrom": "CurrentLoad", "wanted": 8, "ready": 1}],
        })
    };
    let promotion = promotion(json!({"boost": {"percent": "200"}}));
    let prepared = built(&promotion, &knowing(seen(at(9), &live), status(start())));
    assert_eq!(
        (prepared.wishes[0].baseline, prepared.course.prewarm_at),
        (Some((40, BaselineFrom::CurrentLoad)), at(22))
    );
    let wanted = prepared.wishes[0].boosted.wanted;
    assert_eq!((wanted, prepared.phase), (8, Phase::Prewarming));
    // Moved to another time, it begins anew, and what it counts from too; it held, so not from what it brought itself.
    let moved = built(&promotion, &knowing(seen(at(9), &live), status(at(600))));
    assert_eq!(
        (moved.wishes[0].baseline.unwrap().0, moved.course.prewarm_at),
        (40, at(20))
    );
}

#[tokio::test]
async fn percent_counts_from_the_same_slots_once_they_are_learned() {
    let mut live = live(1, 10).await;
    let boost = |of: &str| promotion(json!({"boost": {"percent": "200", "of": of}}));
    let baseline = |of: &str, live: &LivePool| built(&boost(of), &seen(at(300), live)).wishes[0].baseline;
    assert_eq!(
        baseline("SameSlotBaseline", &live),
        Some((10, BaselineFrom::LastHour))
    );
    assert_eq!(
        baseline("CurrentLoad", &live),
        Some((10, BaselineFrom::CurrentLoad))
    );
    let asked = boost("SameSlotBaseline");
    let finding = found(&asked, &seen(at(300), &live), "BaselineLearned").unwrap();
    assert_eq!(
        (finding.holds, finding.reason.as_str()),
        (Holds::False, "LastHour")
    );
    let ready = found(&asked, &seen(at(300), &live), "PrewarmReady").unwrap();
    assert!(
        ready
            .message
            .contains("the highest load of the last hour in acme/web"),
        "{}",
        ready.message
    );

    live.baseline = learned(40);
    assert_eq!(
        baseline("SameSlotBaseline", &live),
        Some((40, BaselineFrom::SameSlotBaseline))
    );
    assert_eq!(
        baseline("CurrentLoad", &live),
        Some((10, BaselineFrom::CurrentLoad))
    );
    let finding = found(&asked, &seen(at(300), &live), "BaselineLearned").unwrap();
    assert_eq!(
        (finding.holds, finding.reason.as_str()),
        (Holds::True, "SameSlotBaseline")
    );
    assert_eq!(
        found(&boost("CurrentLoad"), &seen(at(300), &live), "BaselineLearned"),
        None
    );
    assert_eq!(
        found(&promotion(json!({})), &seen(at(300), &live), "BaselineLearned"),
        None,
        "a number of workers has no baseline"
    );
}

#[tokio::test]
async fn a_new_leader_counts_what_an_earlier_one_saw_of_the_last_hour() {
    let live = live(1, 10).await;
    let status = json!({
        "phase": "Waiting", "start": start().to_string(),
        "pools": [{"tenant": "acme", "pool": "web", "baseline": 50, "baselineFrom": "CurrentLoad", "wanted": 8, "ready": 1}],
    });
    let promotion = promotion(json!({"boost": {"percent": "200"}}));
    for (short_memory, expected) in [(true, 50), (false, 10)] {
        let seen = Seen {
            short_memory,
            ..knowing(seen(at(300), &live), status.clone())
        };
        assert_eq!(built(&promotion, &seen).wishes[0].baseline.unwrap().0, expected);
    }
}

#[tokio::test]
async fn workers_are_counted_by_the_hold_time_that_was_measured_and_by_three_minutes_where_none_was() {
    let live = live(1, 100).await;
    let promotion = promotion(json!({"boost": {"percent": "200", "of": "CurrentLoad"}}));
    let counted = |measured: Option<u64>, of: &Seen| {
        let measured = LivePool {
            hold_time: measured.map(Duration::from_secs),
            ..live.clone()
        };
        let mut seen = seen(of.now, &measured);
        seen.known.clone_from(&of.known);
        let wish = built(&promotion, &seen).wishes[0].clone();
        (wish.hold_seconds, wish.boosted.wanted)
    };
    let waiting = seen(at(300), &live);
    assert_eq!(counted(None, &waiting), (None, 18));
    assert_eq!(counted(Some(180), &waiting), (Some(180), 18));
    assert_eq!(counted(Some(172), &waiting), (Some(180), 18), "in steps");
    // Who leaves soon makes room for who waits.
    assert_eq!(counted(Some(31), &waiting), (Some(40), 17));
    assert_eq!(counted(Some(1_200), &waiting), (Some(1_200), 18));

    let status = |phase: &str, hold: Option<u32>| {
        let pool = json!({
            "tenant": "acme", "pool": "web", "baseline": 100, "baselineFrom": "CurrentLoad", "holdSeconds": hold,
            "wanted": 17, "ready": 1,
        });
        let known = json!({"phase": phase, "start": start().to_string(), "pools": [pool]});
        knowing(seen(at(15), &live), known)
    };
    let begun = status("Prewarming", Some(40));
    assert_eq!(counted(Some(1_200), &begun), (Some(40), 17), "it began with this");
    let begun = status("Prewarming", None);
    assert_eq!(counted(Some(40), &begun), (None, 18), "it began without");
    // A new leader has not measured enough yet.
    assert_eq!(counted(None, &status("Waiting", Some(40))), (Some(40), 17));
}
