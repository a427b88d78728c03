//! Each pool's size and load as metrics, read from the board of live pools when they are asked for: what `status` says, but of
//! now. A replica that does not lead shows none, so the sum over replicas is the truth.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric as _};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use super::live::{LiveBoard, LivePool};

/// One pool.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct PoolLabels {
    tenant: String,
    pool: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct BindingLabels {
    tenant: String,
    pool: String,
    binding: &'static str,
}

/// What is shown of a pool: name without its prefix, meaning, value.
type Figure = (&'static str, &'static str, fn(&LivePool) -> u32);

const FIGURES: [Figure; 9] = [
    ("desired_workers", "Workers that there should be", |live| {
        live.desired
    }),
    ("ready_workers", "Workers that take conversations", |live| {
        live.ready
    }),
    ("starting_workers", "Workers that have not answered yet", |live| {
        live.starting
    }),
    ("draining_workers", "Workers that are leaving", |live| {
        live.draining
    }),
    ("occupied_workers", "Workers that have conversations", |live| {
        live.occupied
    }),
    (
        "floor_workers",
        "The lowest number of workers that is allowed now",
        |live| live.floor,
    ),
    (
        "ceiling_workers",
        "The highest number of workers that is allowed now",
        |live| live.ceiling,
    ),
    (
        "active_conversations",
        "Conversations that are going on",
        |live| live.active,
    ),
    (
        "waiting_conversations",
        "Conversations in waiting rooms",
        |live| live.waiting,
    ),
];

/// All pools, while this replica leads.
#[derive(Debug)]
pub struct PoolMetrics(LiveBoard);

impl PoolMetrics {
    /// Of this board.
    pub fn new(live: LiveBoard) -> Self {
        Self(live)
    }
}

impl Collector for PoolMetrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let pools = self.0.pools().unwrap_or_default();
        for (name, help, value) in FIGURES {
            let name = format!("springtide_pool_{name}");
            let mut family = encoder.encode_descriptor(&name, help, None, MetricType::Gauge)?;
            for live in &pools {
                let labels = labels(live);
                ConstGauge::new(i64::from(value(live))).encode(family.encode_family(&labels)?)?;
            }
        }
        let help = "Turns answered since this leader watches";
        let mut family =
            encoder.encode_descriptor("springtide_pool_turns_answered", help, None, MetricType::Counter)?;
        for live in &pools {
            let labels = labels(live);
            ConstCounter::new(live.turns_answered_total).encode(family.encode_family(&labels)?)?;
        }
        let help = "1 for the term or bound that decided the pool's size last";
        let mut family =
            encoder.encode_descriptor("springtide_pool_binding", help, None, MetricType::Gauge)?;
        for live in &pools {
            let PoolLabels { tenant, pool } = labels(live);
            let binding = BindingLabels {
                tenant,
                pool,
                binding: live.binding,
            };
            ConstGauge::new(1_i64).encode(family.encode_family(&binding)?)?;
        }
        Ok(())
    }
}

fn labels(live: &LivePool) -> PoolLabels {
    PoolLabels {
        tenant: live.tenant.clone(),
        pool: live.pool.clone(),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use prometheus_client::encoding::text::encode;
    use prometheus_client::registry::Registry;
    use serde_json::json;

    use super::*;
    use crate::controllers::metrics::Metrics;
    use crate::controllers::pool::reconcile;
    use crate::controllers::testing::{Cached, Scenario, acme, web};

    fn shown(live: &LiveBoard) -> String {
        let (mut registry, mut text) = (Registry::default(), String::new());
        registry.register_collector(Box::new(PoolMetrics::new(live.clone())));
        encode(&mut text, &registry).unwrap();
        text
    }

    #[test]
    fn the_dashboards_ask_only_for_what_is_shown() {
        let (mut registry, mut known) = (Registry::default(), String::new());
        registry.register_collector(Box::new(PoolMetrics::new(LiveBoard::default())));
        Metrics::default().register(&mut registry);
        encode(&mut known, &registry).unwrap();
        let dashboard = include_str!("../../../charts/springtide/dashboards/pools.json");
        let asked = dashboard.split("springtide_").skip(1).map(|rest| {
            let end = rest.find(|letter: char| !letter.is_ascii_lowercase() && letter != '_');
            let name = &rest[..end.unwrap_or(rest.len())];
            name.trim_end_matches("_total").trim_end_matches("_bucket")
        });
        let asked: std::collections::BTreeSet<_> = asked.collect();
        assert!(asked.len() > 8, "{asked:?}");
        for name in asked {
            assert!(
                known.contains(&format!("# TYPE springtide_{name} ")),
                "{name} is in no metric"
            );
        }
    }

    #[tokio::test]
    async fn the_leader_shows_what_it_decided_of_each_pool_and_nobody_else_shows_any() {
        let scenario = Scenario::new(Cached {
            tenants: vec![acme()],
            ..Cached::default()
        });
        let pool = web(json!({"min": 2, "max": 10}));
        scenario.know(&pool);
        scenario.context.live.begin();
        reconcile(Arc::new(pool), scenario.context.clone()).await.unwrap();
        let text = shown(&scenario.context.live);
        for line in [
            r#"springtide_pool_desired_workers{tenant="acme",pool="web"} 2"#,
            r#"springtide_pool_floor_workers{tenant="acme",pool="web"} 2"#,
            r#"springtide_pool_ceiling_workers{tenant="acme",pool="web"} 10"#,
            r#"springtide_pool_turns_answered_total{tenant="acme",pool="web"} 0"#,
            r#"springtide_pool_binding{tenant="acme",pool="web",binding="Minimum"} 1"#,
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
        scenario.context.live.end();
        assert!(
            !shown(&scenario.context.live).contains("acme"),
            "it does not lead any more"
        );
    }
}
