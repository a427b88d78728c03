//! What is shown of service levels on the admin port.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::burn::{Burn, Objective};

/// Most tenants whose burn rates are shown, so that the page stays readable; alerts are for all.
pub(super) const MOST_TENANTS: usize = 500;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BurnLabels {
    tenant: String,
    window: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct AttemptLabels {
    result: &'static str,
}

/// Handles to the metrics.
#[derive(Clone, Debug, Default)]
pub struct ServiceMetrics {
    burn_rates: Family<BurnLabels, Gauge<f64, AtomicU64>>,
    raised: Gauge,
    attempts: Family<AttemptLabels, Counter>,
    failed_looks: Counter,
}

impl ServiceMetrics {
    /// Registers them.
    pub fn register(&self, registry: &mut Registry) {
        let Self {
            burn_rates,
            raised,
            attempts,
            failed_looks,
        } = self;
        let registry = registry.sub_registry_with_prefix("springtide_billing");
        registry.register(
            "service_burn_rate",
            "How fast a tenant uses up the bad turns that its plan allows, by window; 1 is as fast as it may. Of the replica that watches",
            burn_rates.clone(),
        );
        registry.register(
            "service_alerts",
            "Alerts of service that are raised",
            raised.clone(),
        );
        registry.register(
            "alert_attempts",
            "Alerts posted to tenants, by what became of it",
            attempts.clone(),
        );
        registry.register(
            "service_looks_failed",
            "Times that a tenant's service could not be looked at",
            failed_looks.clone(),
        );
    }

    /// Nothing is known any more: another replica watches, or a new look begins.
    pub(super) fn clear(&self) {
        self.burn_rates.clear();
        self.raised.set(0);
    }

    pub(super) fn show(&self, tenant: &str, objective: &Objective, burns: &[Burn]) {
        for burn in burns {
            for (window, share) in [(burn.window.long, burn.long), (burn.window.short, burn.short)] {
                let tenant = tenant.to_owned();
                let gauge = self
                    .burn_rates
                    .get_or_create_owned(&BurnLabels { tenant, window });
                gauge.set(objective.rate(share));
            }
        }
    }

    pub(super) fn raised(&self, number: usize) {
        self.raised.inc_by(i64::try_from(number).unwrap_or(i64::MAX));
    }

    pub(super) fn attempted(&self, result: &'static str) {
        self.attempts.get_or_create(&AttemptLabels { result }).inc();
    }

    pub(super) fn look_failed(&self) {
        self.failed_looks.inc();
    }
}
