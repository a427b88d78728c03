//! What the gateway counts.

use std::sync::Arc;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use springtide_proto::rated::Score;

/// How a turn ended.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct TurnLabels {
    /// unique, list, sorry, waiting, or the reason of an error.
    outcome: &'static str,
}

/// How a customer liked a conversation.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct RatingLabels {
    /// 1 to 5.
    score: u8,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Metrics(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    turns: Family<TurnLabels, Counter>,
    turn_seconds: Histogram,
    ratings: Family<RatingLabels, Counter>,
    moves: Counter,
    undelivered: Counter,
    taken_over: Counter,
    waiting: Gauge,
    active: Gauge,
    spooled: Gauge,
}

impl Default for Metrics {
    fn default() -> Self {
        Self(Arc::new(Inner {
            turns: Family::default(),
            turn_seconds: Histogram::new(exponential_buckets(0.001, 2.0, 14)),
            ratings: Family::default(),
            moves: Counter::default(),
            undelivered: Counter::default(),
            taken_over: Counter::default(),
            waiting: Gauge::default(),
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
            ratings,
            moves,
            undelivered,
            taken_over,
            waiting,
            active,
            spooled,
        } = &*self.0;
        let registry = registry.sub_registry_with_prefix("springtide_gateway");
        registry.register("turns", "Turns taken, by how they ended", turns.clone());
        registry.register_with_unit(
            "turn",
            "Time from a turn's arrival at the door to its reply",
            Unit::Seconds,
            turn_seconds.clone(),
        );
        registry.register("ratings", "Ratings taken, by their score", ratings.clone());
        registry.register(
            "conversations_moved",
            "Conversations that went on at another worker",
            moves.clone(),
        );
        registry.register(
            "replies_undelivered",
            "Replies whose customer had gone",
            undelivered.clone(),
        );
        registry.register(
            "records_taken_over",
            "Usage records of workers that left before billing took them",
            taken_over.clone(),
        );
        registry.register(
            "waiting_conversations",
            "Conversations that wait for a worker",
            waiting.clone(),
        );
        registry.register(
            "active_conversations",
            "Conversations that came through this gateway and are active",
            active.clone(),
        );
        registry.register(
            "spooled_records",
            "Usage records that billing has not acknowledged yet",
            spooled.clone(),
        );
    }

    /// A turn ended.
    pub fn turn(&self, outcome: &'static str, seconds: f64) {
        self.0.turns.get_or_create(&TurnLabels { outcome }).inc();
        self.0.turn_seconds.observe(seconds);
    }

    /// A customer rated a conversation.
    pub fn rated(&self, score: Score) {
        let score = score.number();
        self.0.ratings.get_or_create(&RatingLabels { score }).inc();
    }

    /// A conversation went on elsewhere.
    pub fn moved(&self) {
        self.0.moves.inc();
    }

    /// The customer had gone.
    pub fn undelivered(&self) {
        self.0.undelivered.inc();
    }

    /// Records of a worker are in this gateway's spool.
    pub fn taken_over(&self, records: u64) {
        self.0.taken_over.inc_by(records);
    }

    /// Load and spool, each second.
    pub fn gauges(&self, waiting: u64, active: u64, spooled: u64) {
        for (gauge, value) in [
            (&self.0.waiting, waiting),
            (&self.0.active, active),
            (&self.0.spooled, spooled),
        ] {
            gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        }
    }
}
