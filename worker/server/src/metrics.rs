//! What the worker counts.

use std::sync::Arc;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use springtide_proto::error::Reason;
use springtide_proto::event::InteractionKind;

/// How a turn ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct TurnLabels {
    /// answer, list, sorry, replayed, synthetic, or the reason of an error.
    outcome: &'static str,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Metrics(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    turns: Family<TurnLabels, Counter>,
    turn_seconds: Histogram,
    active: Gauge,
    spooled: Gauge,
}

impl Default for Metrics {
    fn default() -> Self {
        Self(Arc::new(Inner {
            turns: Family::default(),
            turn_seconds: Histogram::new(exponential_buckets(0.000_5, 2.0, 14)),
            active: Gauge::default(),
            spooled: Gauge::default(),
        }))
    }
}

impl Metrics {
    /// Shows them on `/metrics`.
    pub fn register(&self, registry: &mut Registry) {
        let Inner {
            turns,
            turn_seconds,
            active,
            spooled,
        } = &*self.0;
        let registry = registry.sub_registry_with_prefix("springtide_worker");
        registry.register("turns", "Turns taken, by how they ended", turns.clone());
        registry.register_with_unit(
            "turn",
            "Time from a turn's arrival at this worker to its reply",
            Unit::Seconds,
            turn_seconds.clone(),
        );
        registry.register(
            "active_conversations",
            "Conversations that are active here",
            active.clone(),
        );
        registry.register(
            "spooled_records",
            "Usage records that billing has not acknowledged yet",
            spooled.clone(),
        );
    }

    /// A turn that got an answer.
    pub fn answered(&self, kind: InteractionKind, replayed: bool, synthetic: bool, seconds: f64) {
        let outcome = match (synthetic, replayed) {
            (true, _) => "synthetic",
            (false, true) => "replayed",
            (false, false) => kind.as_str(),
        };
        self.0.turns.get_or_create(&TurnLabels { outcome }).inc();
        self.0.turn_seconds.observe(seconds);
    }

    /// A turn that got an error.
    pub fn refused(&self, reason: Reason) {
        self.0
            .turns
            .get_or_create(&TurnLabels {
                outcome: reason.as_str(),
            })
            .inc();
    }

    /// Load and spool, each second.
    pub fn gauges(&self, active: u32, spooled: u64) {
        self.0.active.set(i64::from(active));
        self.0.spooled.set(i64::try_from(spooled).unwrap_or(i64::MAX));
    }
}
