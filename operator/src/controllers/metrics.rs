//! What the controllers count.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// Bounds by which delays are counted, in seconds.
const DELAYS: [f64; 14] = [
    0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// The term or bound that decided.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct BindingLabels {
    /// One of the bindings.
    pub binding: &'static str,
}

/// A kind of resource.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct KindLabels {
    /// One of the four.
    pub kind: &'static str,
}

/// Worker or gateway.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct StreamLabels {
    /// "worker" or "gateway".
    pub peer: &'static str,
}

/// What became of a checkpoint.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct CheckpointLabels {
    /// "written", "`not_written`" or "`not_read`" (of a shard); "`not_understood`" or "`left_out`" (of a pool).
    pub outcome: &'static str,
}

/// How a probe of a public door went.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub struct ProbeLabels {
    /// "answered"; "empty" (no worker); "failed" (an error of ours); "silent" (nothing came back); "`own_trouble`" (nothing, from
    /// any door).
    pub outcome: &'static str,
}

/// What the controllers count.
#[derive(Clone, Debug)]
pub struct Metrics {
    /// Decisions that changed a pool's size.
    pub decisions: Family<BindingLabels, Counter>,
    /// Workers created.
    pub creations: Counter,
    /// Creations that found the name taken.
    pub creations_lost: Counter,
    /// Workers deleted.
    pub deletions: Counter,
    /// From a step in load until its pool is decided.
    pub step_to_decision: Histogram,
    /// From a step in load to the call that creates a Pod.
    pub step_to_create: Histogram,
    /// Reconciles that failed.
    pub failures: Family<KindLabels, Counter>,
    /// What became of checkpoints.
    pub checkpoints: Family<CheckpointLabels, Counter>,
    /// How probes of public doors went.
    pub probes: Family<ProbeLabels, Counter>,
    /// 1 while no public door is reached, by the operator's own network as it seems.
    pub probes_in_trouble: Gauge,
    /// Streams that are held.
    pub streams: Family<StreamLabels, Gauge>,
    /// 1 while this replica leads.
    pub leading: Gauge,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            decisions: Family::default(),
            creations: Counter::default(),
            creations_lost: Counter::default(),
            deletions: Counter::default(),
            step_to_decision: Histogram::new(DELAYS),
            step_to_create: Histogram::new(DELAYS),
            failures: Family::default(),
            checkpoints: Family::default(),
            probes: Family::default(),
            probes_in_trouble: Gauge::default(),
            streams: Family::default(),
            leading: Gauge::default(),
        }
    }
}

impl Metrics {
    /// Registers them.
    pub fn register(&self, registry: &mut Registry) {
        let Self {
            decisions,
            creations,
            creations_lost,
            deletions,
            step_to_decision,
            step_to_create,
            failures,
            checkpoints,
            probes,
            probes_in_trouble,
            streams,
            leading,
        } = self;
        registry.register(
            "springtide_decisions",
            "Decisions that changed a pool's size, by what decided",
            decisions.clone(),
        );
        registry.register(
            "springtide_workers_created",
            "Worker Pods created",
            creations.clone(),
        );
        registry.register(
            "springtide_worker_names_taken",
            "Creations that found the name taken",
            creations_lost.clone(),
        );
        registry.register(
            "springtide_workers_deleted",
            "Worker Pods deleted",
            deletions.clone(),
        );
        registry.register(
            "springtide_step_to_decision_seconds",
            "From a step in load until its pool is decided",
            step_to_decision.clone(),
        );
        registry.register(
            "springtide_step_to_create_seconds",
            "From a step in load to the call that creates a Pod",
            step_to_create.clone(),
        );
        registry.register(
            "springtide_reconcile_failures",
            "Reconciles that failed, by kind",
            failures.clone(),
        );
        registry.register(
            "springtide_checkpoints",
            "What became of checkpoints: of shards written, not written and not read; of pools not understood and left out",
            checkpoints.clone(),
        );
        registry.register(
            "springtide_door_probes",
            "Probes of public doors by how they went: answered, empty (no worker), failed (an error of ours), silent (nothing came back), own_trouble (nothing from any door: nothing is said of tenants)",
            probes.clone(),
        );
        registry.register(
            "springtide_door_probes_in_trouble",
            "1 while no public door is reached, by the operator's own network as it seems",
            probes_in_trouble.clone(),
        );
        registry.register(
            "springtide_attached_streams",
            "Streams that are held",
            streams.clone(),
        );
        registry.register(
            "springtide_leading",
            "1 while this replica leads",
            leading.clone(),
        );
    }
}
