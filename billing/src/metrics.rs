//! What billing counts of itself.

use std::collections::BTreeMap;

use jiff::Timestamp;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

use crate::metering::report::{Examined, Verdict};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StatusLabel {
    status: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TenantLabel {
    tenant: String,
}

/// Handles to the metrics.
#[derive(Clone, Debug)]
pub struct Metrics {
    records: Family<StatusLabel, Counter>,
    failed_batches: Counter,
    transaction_seconds: Histogram,
    lag_seconds: Histogram,
    invoices: Gauge,
    drift: Family<TenantLabel, Gauge>,
    budgets: Family<TenantLabel, Gauge>,
    events_dropped: Counter,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            records: Family::default(),
            failed_batches: Counter::default(),
            transaction_seconds: Histogram::new(exponential_buckets(0.001, 2.0, 14)),
            lag_seconds: Histogram::new(exponential_buckets(0.01, 3.0, 14)),
            invoices: Gauge::default(),
            drift: Family::default(),
            budgets: Family::default(),
            events_dropped: Counter::default(),
        }
    }
}

impl Metrics {
    /// Registers them.
    pub fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("springtide_billing");
        registry.register(
            "records",
            "Usage records by what became of them",
            self.records.clone(),
        );
        registry.register(
            "failed_reports",
            "Report calls of which nothing was acknowledged because the store failed",
            self.failed_batches.clone(),
        );
        registry.register(
            "ingest_transaction_seconds",
            "Time from the start of an ingest transaction until it is durable",
            self.transaction_seconds.clone(),
        );
        registry.register(
            "usage_lag_seconds",
            "Time from an event until it is on the running bill",
            self.lag_seconds.clone(),
        );
        registry.register(
            "invoices_issued",
            "Invoices issued since the beginning",
            self.invoices.clone(),
        );
        registry.register(
            "drift",
            "Figures of a tenant's books that do not agree; nothing is issued to it while there are any",
            self.drift.clone(),
        );
        registry.register(
            "budget_used_percent",
            "Whole percent of a tenant's budget of the month that its bill so far is",
            self.budgets.clone(),
        );
        registry.register(
            "events_dropped_of_tenants",
            "Times that a tenant's oldest events were dropped, as its contract says",
            self.events_dropped.clone(),
        );
    }

    /// Notes a durable transaction.
    pub fn ingested(&self, verdicts: &[Verdict], records: &[Examined], started: Timestamp, now: Timestamp) {
        self.transaction_seconds
            .observe(now.duration_since(started).as_secs_f64());
        let mut counts = BTreeMap::<_, u64>::new();
        for (verdict, record) in verdicts.iter().zip(records) {
            *counts.entry(verdict.name()).or_default() += 1;
            if let (Verdict::Accepted, Ok(report)) = (verdict, record) {
                let lag = now.duration_since(report.event.time).as_secs_f64();
                self.lag_seconds.observe(lag.max(0.0));
            }
        }
        for (status, count) in counts {
            self.records.get_or_create(&StatusLabel { status }).inc_by(count);
        }
    }

    /// Notes a report of which nothing was acknowledged.
    pub fn report_failed(&self) {
        self.failed_batches.inc();
    }

    /// Notes how many figures of a tenant's books do not agree.
    pub fn drift(&self, tenant: &str, figures: usize) {
        let label = TenantLabel {
            tenant: tenant.to_owned(),
        };
        let figures = i64::try_from(figures).unwrap_or(i64::MAX);
        self.drift.get_or_create(&label).set(figures);
    }

    /// Notes how much of each budget is used; what is not named has none.
    pub fn budgets(&self, used: Vec<(String, u32)>) {
        self.budgets.clear();
        for (tenant, percent) in used {
            self.budgets
                .get_or_create(&TenantLabel { tenant })
                .set(percent.into());
        }
    }

    /// Notes that events of so many tenants were dropped.
    pub fn events_dropped(&self, tenants: usize) {
        self.events_dropped.inc_by(tenants as u64);
    }

    /// Notes how many invoices there are.
    pub fn invoices_issued(&self, number: i64) {
        self.invoices.set(number);
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct SourceLabel {
    source: &'static str,
}

/// Handles to the metrics of a read replica.
#[derive(Clone, Debug, Default)]
pub struct ReplicaMetrics {
    reads: Family<SourceLabel, Counter>,
    usable: Gauge,
    lag_bytes: Gauge,
}

impl ReplicaMetrics {
    /// Registers them; for a server that has a replica.
    pub fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("springtide_billing");
        registry.register(
            "tenant_reads",
            "Reads of tenants by where they went: replica, or primary while the replica lacks the tenant's last write or cannot be used",
            self.reads.clone(),
        );
        registry.register(
            "replica_usable",
            "1 while tenants may read from the replica",
            self.usable.clone(),
        );
        registry.register(
            "replica_lag_bytes",
            "Bytes of the write-ahead log that the replica has still to replay",
            self.lag_bytes.clone(),
        );
    }

    /// Notes where a read went.
    pub fn read(&self, is_from_replica: bool) {
        let source = if is_from_replica { "replica" } else { "primary" };
        self.reads.get_or_create(&SourceLabel { source }).inc();
    }

    /// Reads so far, from the replica and from the primary.
    pub fn reads(&self) -> (u64, u64) {
        let of = |source| self.reads.get_or_create(&SourceLabel { source }).get();
        (of("replica"), of("primary"))
    }

    /// Notes whether it may be read from.
    pub fn usable(&self, is_usable: bool) {
        self.usable.set(i64::from(is_usable));
    }

    /// Whether it may be read from.
    pub fn is_usable(&self) -> bool {
        self.usable.get() == 1
    }

    /// Notes how far behind it is.
    pub fn lag(&self, bytes: i64) {
        self.lag_bytes.set(bytes);
    }
}

/// Handles to the metrics of a SQLite database's archive.
#[derive(Clone, Debug, Default)]
pub struct ArchiveMetrics {
    until: Gauge,
    failures: Counter,
    gaps: Counter,
}

impl ArchiveMetrics {
    /// Registers them; for a server that archives.
    pub fn register(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("springtide_billing");
        registry.register(
            "archived_until_timestamp_seconds",
            "Instant until which nothing is missing in the archive, in seconds since 1970",
            self.until.clone(),
        );
        registry.register(
            "archive_failures",
            "Times that the archive could not be written",
            self.failures.clone(),
        );
        registry.register(
            "archive_gaps",
            "Times that it was not known what had been written since",
            self.gaps.clone(),
        );
    }

    /// Notes until when nothing is missing.
    pub fn whole_until(&self, until: Timestamp) {
        self.until.set(until.as_second());
    }

    /// Notes that it could not be written.
    pub fn failed(&self) {
        self.failures.inc();
    }

    /// Notes a gap.
    pub fn gap(&self) {
        self.gaps.inc();
    }
}
