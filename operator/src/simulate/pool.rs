//! The pool whose workers are simulated.

use std::collections::BTreeMap;

use jiff::tz::TimeZone;
use kube::ResourceExt as _;

use super::manifest::{Documents, ManifestError, Readable};
use crate::api::{BotPool, Promotion, Tenant};
use crate::autoscale::{Policy, PoolShape, TenantRoom};
use crate::names::tenant_of_namespace;

const MOST_CONVERSATIONS: u32 = 1_000;
const MOST_WORKERS: u32 = 10_000;

/// What a run needs to know of a pool.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Pool {
    /// Its name.
    pub(super) name: String,
    /// Whose it is, where the file says so.
    pub(super) tenant: Option<String>,
    /// Its labels, by which promotions select pools.
    pub(super) labels: BTreeMap<String, String>,
    /// Conversations that one worker takes.
    pub(super) capacity: u32,
    /// What its owner asked for.
    pub(super) policy: Policy,
    /// The most that its tenant's limit leaves to it.
    pub(super) tenant_share: u32,
    /// By whose clocks its customers live, an IANA name.
    pub(super) zone: String,
}

impl Readable for BotPool {
    const READ: &'static str = "spec.scaling";
}

impl Readable for Promotion {
    const READ: &'static str = "spec";
}

impl Readable for Tenant {
    const READ: &'static str = "spec.capacity";
}

impl Pool {
    /// Reads a file with a `BotPool`. If its `Tenant` is there too, its limit and its time zone count.
    pub(super) fn parse(text: &str) -> Result<Self, ManifestError> {
        let documents = Documents::parse(text)?;
        let pool = Self::of(&documents.one()?)?;
        let tenants: Vec<Tenant> = documents.all()?;
        let own = tenants
            .iter()
            .find(|tenant| pool.tenant.as_ref().is_none_or(|own| *own == tenant.name_any()));
        Ok(match own {
            Some(tenant) => Self {
                tenant_share: tenant.spec.capacity.limit,
                zone: tenant.spec.time_zone.clone(),
                ..pool
            },
            None => pool,
        })
    }

    /// What promotions count by.
    pub(super) fn shape(&self) -> PoolShape {
        PoolShape {
            capacity: self.capacity,
            level: self.policy.service_level,
            min: self.policy.min,
            max: self.policy.max,
            suspended: false,
            held_to: None,
        }
    }

    /// The room of its tenant, of which others take nothing.
    pub(super) fn room(&self) -> TenantRoom {
        TenantRoom {
            zone: TimeZone::get(&self.zone).unwrap_or(TimeZone::UTC),
            limit: self.tenant_share,
            granted: None,
            others: 0,
            beside: Vec::new(),
        }
    }

    /// A `BotPool` whose tenant has no limit, and lives by UTC.
    pub(super) fn of(pool: &BotPool) -> Result<Self, ManifestError> {
        validate(pool)?;
        let policy = pool
            .policy()
            .map_err(|message| ManifestError::Invalid(format!("spec.{message}")))?;
        Ok(Self {
            name: pool.name_any(),
            labels: pool.labels().clone(),
            tenant: pool
                .namespace()
                .and_then(|namespace| tenant_of_namespace(&namespace).map(str::to_owned)),
            capacity: pool.spec.worker.conversations,
            policy,
            tenant_share: u32::MAX,
            zone: "UTC".to_owned(),
        })
    }
}

fn validate(pool: &BotPool) -> Result<(), ManifestError> {
    let (scaling, conversations) = (&pool.spec.scaling, pool.spec.worker.conversations);
    let invalid = |message: String| Err(ManifestError::Invalid(message));
    if !(1..=MOST_CONVERSATIONS).contains(&conversations) {
        return invalid(format!(
            "spec.worker.conversations is {conversations}; give 1 to {MOST_CONVERSATIONS}"
        ));
    }
    if scaling.max > MOST_WORKERS {
        return invalid(format!(
            "spec.scaling.max is {}; give at most {MOST_WORKERS}",
            scaling.max
        ));
    }
    if scaling.min > scaling.max {
        return invalid("spec.scaling.min is greater than spec.scaling.max".to_owned());
    }
    let percent_down = scaling.max_down_percent_per_minute;
    if !(1..=100).contains(&percent_down) {
        return invalid(format!(
            "spec.scaling.maxDownPercentPerMinute is {percent_down}; give 1 to 100"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const POOL: &str = "
apiVersion: springtide.dev/v1alpha1
kind: BotPool
metadata: {name: web, namespace: tenant-acme}
spec:
  worker: {image: w, conversations: 20, resources: {requests: {cpu: 50m}, limits: {}}}
  scaling: {min: 2, max: 300, headroom: {workers: 1}, downWindow: 30s}
";

    fn error(from: &str, to: &str) -> String {
        Pool::parse(&POOL.replace(from, to)).unwrap_err().to_string()
    }

    #[test]
    fn a_pool_is_read_from_yaml_and_json_with_its_defaults() {
        let pool = Pool::parse(POOL).unwrap();
        assert_eq!(
            (pool.name.as_str(), pool.tenant.as_deref()),
            ("web", Some("acme"))
        );
        assert_eq!((pool.capacity, pool.policy.max_down_percent_per_minute), (20, 50));
        let value: serde_json::Value = serde_saphyr::from_str(POOL).unwrap();
        assert_eq!(Pool::parse(&value.to_string()).unwrap(), pool);
    }

    #[test]
    fn its_tenants_limit_and_zone_are_read_from_the_same_file() {
        let tenant = |name: &str| {
            format!(
                "apiVersion: springtide.dev/v1alpha1\nkind: Tenant\nmetadata: {{name: {name}}}\nspec: {{displayName: x, \
                 timeZone: Asia/Shanghai, ratePlan: x, billing: {{legalName: x, email: x@y.example}}, capacity: {{limit: 40}}}}\n"
            )
        };
        let of = |name: &str| {
            let pool = Pool::parse(&format!("{}---{POOL}", tenant(name))).unwrap();
            (pool.tenant_share, pool.zone)
        };
        assert_eq!(of("acme"), (40, "Asia/Shanghai".to_owned()));
        assert_eq!(of("bloom"), (u32::MAX, "UTC".to_owned()), "another's");
    }

    #[test]
    fn what_the_api_server_would_refuse_is_refused() {
        assert_eq!(
            error("kind: BotPool", "kind: Tenant"),
            "it is a Tenant, springtide.dev/v1alpha1, and a BotPool, springtide.dev/v1alpha1 is needed"
        );
        assert_eq!(
            error("min: 2", "min: 400"),
            "spec.scaling.min is greater than spec.scaling.max"
        );
        assert!(error("conversations: 20", "conversations: 0").contains("give 1 to 1000"));
        assert!(error("workers: 1", "percent: \"-1\"").contains("headroom.percent"));
        assert!(error("max: 300", "max: lots").contains("lots"));
        assert!(error("max: 300,", "").contains("max"));
    }
}
