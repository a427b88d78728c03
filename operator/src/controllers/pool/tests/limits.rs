//! What a pool may have at most, and how fast it gets it.

use super::*;

#[tokio::test]
async fn in_a_cluster_that_is_short_a_pool_keeps_to_its_tenants_share_and_says_so() {
    let scenario = scenario();
    let _commands = gateway(&scenario.context.fleet, &key(), "g1", 90);
    scenario.context.live.grant([(key().tenant, 2)].into());
    reconciled(&scenario, &web(at_once(1))).await;
    assert_eq!(created(&scenario).len(), 2);
    let live = scenario.context.live.pool(&key()).unwrap();
    assert_eq!((live.binding, live.demand), ("FairShare", 5));
    let conditions = &scenario.api.get(POOL).unwrap()["status"]["conditions"];
    let granted = conditions.as_array().unwrap();
    let granted = granted
        .iter()
        .find(|one| one["type"] == "CapacityGranted")
        .unwrap();
    assert_eq!(
        (granted["status"].as_str(), granted["reason"].as_str()),
        (Some("False"), Some("FairShare"))
    );
    assert!(
        granted["message"]
            .as_str()
            .unwrap()
            .contains("this pool is left 2"),
        "{granted}"
    );

    scenario.context.live.grant([].into());
    reconciled(&scenario, &web(at_once(1))).await;
    assert_eq!(created(&scenario).len(), 5, "with room again, all of it");
}

#[tokio::test]
async fn the_clusters_maximum_is_never_exceeded_whatever_pools_want() {
    let mut scenario = scenario();
    let context = Arc::get_mut(&mut scenario.context).unwrap();
    context.installation.max_workers = Some(7);
    let elsewhere = PoolKey {
        tenant: springtide_proto::ids::TenantId::parse("bloom").unwrap(),
        ..key()
    };
    reconciled(&scenario, &web(at_once(1))).await;
    // Another tenant has four, of which it needs none any more.
    let held = crate::controllers::live::LivePool {
        held: 4,
        ..scenario.context.live.pool(&key()).unwrap()
    };
    scenario.context.live.put(&elsewhere, held);
    let _commands = gateway(&scenario.context.fleet, &key(), "g1", 190);
    for _ in 0..3 {
        reconciled(&scenario, &web(at_once(1))).await;
    }
    assert_eq!(created(&scenario).len(), 3, "and not the ten that are wanted");
}

#[tokio::test]
async fn creations_beyond_the_cluster_wide_pace_are_put_off_and_made_later() {
    let scenario = scenario();
    *scenario.context.pace.lock() = crate::autoscale::CreationPace::new(1, 4, scenario.context.fleet.now());
    let _commands = gateway(&scenario.context.fleet, &key(), "g1", 90);
    let again = reconciled(&scenario, &web(at_once(1))).await;
    assert_eq!(created(&scenario).len(), 2);
    assert_eq!(
        again,
        Some(Duration::from_millis(10)),
        "it looks again as soon as one more is allowed, and not at once"
    );
    let now = scenario.context.fleet.now();
    let mut one_left = crate::autoscale::CreationPace::new(1, 4, now);
    (0..2).for_each(|_| assert_eq!(one_left.take(now, 1, true), 1));
    *scenario.context.pace.lock() = one_left;
    let in_line = reconciled(&scenario, &web(at_once(1))).await;
    assert_eq!(created(&scenario).len(), 2, "it waits for its turn");
    assert!(in_line.is_some_and(|again| again <= SAFETY));
    *scenario.context.pace.lock() = crate::autoscale::CreationPace::new(1, 40, scenario.context.fleet.now());
    reconciled(&scenario, &web(at_once(1))).await;
    assert_eq!(created(&scenario).len(), 5, "nobody waits while there is plenty");
}

#[tokio::test]
async fn a_surge_starts_in_steps_so_that_starts_do_not_starve_answers() {
    let mut tenant = acme();
    tenant.spec.capacity.limit = 100;
    let scenario = Scenario::new(Cached {
        tenants: vec![tenant],
        ..Cached::default()
    });
    let _commands = gateway(&scenario.context.fleet, &key(), "g1", 1_000);
    let mut pool = web(at_once(1));
    pool.spec.scaling.max = 100;
    for _ in 0..3 {
        reconciled(&scenario, &pool).await;
    }
    assert_eq!(scenario.context.live.pool(&key()).unwrap().desired, 50);
    assert_eq!(created(&scenario).len(), 16);
}

#[tokio::test]
async fn nothing_exceeds_the_tenants_limit() {
    let mut tenant = acme();
    tenant.spec.capacity.limit = 4;
    let other = {
        let mut other = web(at_once(2));
        other.metadata.name = Some("voice".to_owned());
        other
    };
    let scenario = Scenario::new(Cached {
        tenants: vec![tenant],
        pools: vec![other],
        ..Cached::default()
    });
    let mut commands = gateway(&scenario.context.fleet, &key(), "g1", 500);
    reconciled(&scenario, &web(at_once(1))).await;
    assert_eq!(created(&scenario).len(), 2, "two are kept for the other pool");
    assert_eq!(scenario.context.live.pool(&key()).unwrap().binding, "TenantLimit");
    let at_limit = |command: GatewayCommand| matches!(command.command, Some(Command::Endpoints(endpoints)) if endpoints.at_contract_limit);
    assert!(
        std::iter::from_fn(|| commands.try_recv().ok()).any(at_limit),
        "gateways count who finds no room as refused beyond the contract"
    );
}

#[tokio::test]
async fn when_a_tenants_limit_falls_its_pools_share_it_and_none_gives_up_all() {
    let mut tenant = acme();
    tenant.spec.capacity.limit = 10;
    let mut voice = web(at_once(1));
    voice.metadata.name = Some("voice".to_owned());
    let scenario = Scenario::new(Cached {
        tenants: vec![tenant],
        pools: vec![web(at_once(1)), voice],
        ..Cached::default()
    });
    let template = template_of(&web(at_once(1))).await;
    for ordinal in 0..8 {
        let (name, uid) = (format!("web-{ordinal}"), format!("u{ordinal}"));
        scenario.show_worker(&name, &uid, true, &template);
        TestWorker::attach(&scenario.context.fleet, &key(), &name, &uid);
    }
    let eight = crate::controllers::live::LivePool {
        desired: 8,
        demand: 8,
        ..{
            let other = self::scenario();
            reconciled(&other, &web(at_once(1))).await;
            other.context.live.pool(&key()).unwrap()
        }
    };
    let voice = PoolKey {
        pool: springtide_proto::ids::PoolId::parse("voice").unwrap(),
        ..key()
    };
    scenario.context.live.put(&voice, eight);
    reconciled(&scenario, &web(at_once(1))).await;
    assert_eq!(
        scenario.context.live.pool(&key()).unwrap().ceiling,
        5,
        "and not the two that the other leaves"
    );
}
