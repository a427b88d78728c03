//! Numbers that somebody gave: from when, and until when.

use super::*;

/// A pool whose number was given by that tool, at that time, through that subresource (or none).
fn given(replicas: u32, (tool, subresource): (&str, &str), at: &str) -> BotPool {
    let mut pool = web(at_once(1));
    pool.spec.replicas = replicas;
    wrote(&mut pool, (tool, subresource), at);
    pool
}

/// The tool wrote to the object at that time, and owns the number.
fn wrote(pool: &mut BotPool, (tool, subresource): (&str, &str), at: &str) {
    let mut entry = json!({
        "manager": tool, "operation": "Update", "time": at, "fieldsV1": {"f:spec": {"f:replicas": {}}},
    });
    if !subresource.is_empty() {
        entry["subresource"] = subresource.into();
    }
    pool.metadata.managed_fields = serde_json::from_value(json!([entry])).unwrap();
}

/// As the API server has it now, with the managed fields of the one that is given.
fn as_stored(scenario: &Scenario, pool: &BotPool) -> BotPool {
    let mut stored: BotPool = serde_json::from_value(scenario.api.get(POOL).unwrap()).unwrap();
    stored
        .metadata
        .managed_fields
        .clone_from(&pool.metadata.managed_fields);
    stored
}

fn shown(scenario: &Scenario) -> Value {
    scenario.api.get(POOL).unwrap()["status"]["override"].clone()
}

/// So many minutes after noon.
fn at(scenario: &Scenario, minute: i64) {
    let noon: jiff::Timestamp = crate::controllers::testing::NOW.parse().unwrap();
    scenario.clock.set(noon + jiff::SignedDuration::from_mins(minute));
    // What was written a moment ago holds up no status.
    scenario.context.fleet.skip(Duration::from_secs(1));
}

const SCALE: (&str, &str) = ("kubectl", "scale");
const PATCH: (&str, &str) = ("kubectl-patch", "");

#[tokio::test]
async fn a_manual_floor_is_kept_and_shown_with_its_author() {
    let scenario = scenario();
    let mut pool = given(3, SCALE, "2026-11-10T12:00:00Z");
    // Some clients write no time.
    pool.metadata.managed_fields.as_mut().unwrap()[0].time = None;
    reconciled(&scenario, &pool).await;
    assert_eq!(created(&scenario).len(), 3);
    let status = scenario.api.get(POOL).unwrap()["status"].clone();
    assert_eq!(status["override"]["setBy"], "kubectl");
    assert_eq!(status["override"]["lapsesAt"], "2026-11-10T14:00:00Z");
    assert_eq!(status["override"]["summary"], "Floor 3 until 14:00Z");
    assert_eq!(status["decision"]["binding"], "Override");
}

#[tokio::test]
async fn the_line_about_an_override_names_the_day_where_it_ends_on_another() {
    let scenario = scenario();
    let mut pool = given(3, SCALE, "2026-11-10T12:00:00Z");
    pool.spec.scaling.manual = serde_json::from_value(json!({"mode": "Pin", "ttl": "36h"})).unwrap();
    reconciled(&scenario, &pool).await;
    assert_eq!(shown(&scenario)["summary"], "Pin 3 until 2026-11-12 00:00Z");
}

#[tokio::test]
async fn a_lapsed_override_is_set_back_to_zero_and_guarded_and_the_same_command_works_again() {
    for tool in [SCALE, PATCH] {
        let scenario = scenario();
        let pool = given(5, tool, "2026-11-10T12:00:00Z");
        reconciled(&scenario, &pool).await;
        assert_eq!(created(&scenario).len(), 5);
        at(&scenario, 120);
        let lapsed = as_stored(&scenario, &pool);
        reconciled(&scenario, &lapsed).await;
        let patches = scenario.api.calls(&Method::PATCH, "/botpools/web");
        let back = patches.iter().find(|call| call.body["spec"]["replicas"] == 0);
        let guard = &back.expect("set back").body["metadata"]["resourceVersion"];
        assert_eq!(guard.as_str(), lapsed.metadata.resource_version.as_deref());

        at(&scenario, 121);
        let released = as_stored(&scenario, &pool);
        assert_eq!(released.spec.replicas, 0);
        reconciled(&scenario, &released).await;
        assert_eq!(shown(&scenario), Value::Null);

        at(&scenario, 122);
        let mut again = as_stored(&scenario, &pool);
        again.spec.replicas = 5;
        wrote(&mut again, tool, "2026-11-10T14:02:00Z");
        reconciled(&scenario, &again).await;
        assert_eq!(
            shown(&scenario)["lapsesAt"],
            "2026-11-10T16:02:00Z",
            "by {tool:?}"
        );
        assert_eq!(scenario.context.live.pool(&key()).unwrap().floor, 5);
    }
}

#[tokio::test]
async fn an_override_lasts_from_when_its_number_was_given_whatever_else_the_same_tool_edits_later() {
    let scenario = scenario();
    let pool = given(3, PATCH, "2026-11-10T11:30:00Z");
    reconciled(&scenario, &pool).await;
    assert_eq!(shown(&scenario)["setAt"], "2026-11-10T11:30:00Z");
    // The API server knows one time for all that a tool changed.
    at(&scenario, 60);
    let mut edited = as_stored(&scenario, &pool);
    edited.spec.scaling.max = 9;
    wrote(&mut edited, PATCH, "2026-11-10T13:00:00Z");
    reconciled(&scenario, &edited).await;
    assert_eq!(shown(&scenario)["lapsesAt"], "2026-11-10T13:30:00Z");

    at(&scenario, 90);
    let mut edited = as_stored(&scenario, &edited);
    wrote(&mut edited, PATCH, "2026-11-10T13:29:59Z");
    reconciled(&scenario, &edited).await;
    assert_eq!(
        scenario.api.get(POOL).unwrap()["spec"]["replicas"],
        0,
        "its time is over"
    );
}

#[tokio::test]
async fn another_number_another_tool_and_a_number_given_anew_by_scale_begin_a_new_time() {
    let (before, later) = ("2026-11-10T11:30:00Z", "2026-11-10T11:50:00Z");
    let other = ("another", "");
    let cases = [
        (PATCH, 3, PATCH, 4),
        (PATCH, 3, other, 3),
        (PATCH, 3, SCALE, 3),
        // To 0 and back, before anybody looked. What is written there is the number alone.
        (SCALE, 3, SCALE, 3),
    ];
    for (first, number, second, again) in cases {
        let scenario = scenario();
        let pool = given(number, first, before);
        reconciled(&scenario, &pool).await;
        at(&scenario, 1);
        let mut given = as_stored(&scenario, &pool);
        given.spec.replicas = again;
        wrote(&mut given, second, later);
        reconciled(&scenario, &given).await;
        let shown = shown(&scenario);
        assert_eq!(
            shown["setAt"], later,
            "{again} by {second:?} after {number} by {first:?}"
        );
        assert_eq!(shown["setBy"], second.0);
    }
}
