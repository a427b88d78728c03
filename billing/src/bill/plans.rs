//! The plans that price a month: one, or several where the plan was changed within it.

use std::sync::Arc;

use super::BillError;
use super::contract::contract_within;
use super::document::{Document, PlanReference};
use super::slots::Slots;
use crate::digest::Digest;
use crate::rating::period::{Bounds, first_instant_of, zone_data_version};
use crate::rating::plan::RatePlan;
use crate::rating::rate::Part;
use crate::store::{Account, PlanVersion, Store};

/// A plan with the version it came from.
#[derive(Clone, Debug)]
pub struct KnownPlan {
    /// Where it came from.
    pub version: PlanVersion,
    /// Ready to rate with.
    pub plan: RatePlan,
}

impl KnownPlan {
    /// Reads a version.
    pub fn of(version: PlanVersion) -> Result<Self, BillError> {
        let plan = RatePlan::parse(&version.spec).map_err(|source| BillError::Plan {
            plan: version.name.clone(),
            source,
        })?;
        Ok(Self { version, plan })
    }
}

/// A plan with the time that it prices.
#[derive(Clone, Debug)]
pub struct PlanPart {
    /// The plan.
    pub known: Arc<KnownPlan>,
    /// Parts adjoin.
    pub bounds: Bounds,
}

impl PlanPart {
    /// As it stands on a bill.
    pub fn reference(&self) -> PlanReference {
        let KnownPlan { version, plan } = self.known.as_ref();
        PlanReference {
            name: version.name.clone(),
            uid: version.uid.clone(),
            generation: version.generation,
            digest: version.digest.to_string(),
            time_zone: plan.zone_name.clone(),
            from: self.bounds.start,
            to: self.bounds.end,
        }
    }

    /// As it is rated for an account.
    pub(super) fn rated(&self, account: &Account) -> Part<'_> {
        let plan = &self.known.plan;
        Part {
            plan,
            bounds: self.bounds,
            contract: contract_within(account, &plan.zone, self.bounds),
        }
    }
}

/// A month with the plans that price it.
#[derive(Clone, Debug)]
pub struct PlansInPeriod {
    first: Vec<PlanPart>,
    last: PlanPart,
    /// The month's instants.
    pub bounds: Bounds,
    /// Which of its quarters of an hour are priced alike.
    pub slots: Slots,
}

impl PlansInPeriod {
    /// Of parts that adjoin, in the order of time; `None` of no part.
    pub fn of(mut parts: Vec<PlanPart>) -> Option<Self> {
        let last = parts.pop()?;
        let bounds = Bounds {
            start: parts.first().unwrap_or(&last).bounds.start,
            end: last.bounds.end,
        };
        let all = parts.iter().chain([&last]);
        let priced: Vec<_> = all.map(|part| (&part.known.plan, part.bounds)).collect();
        let slots = Slots::of(bounds, &priced);
        Some(Self {
            first: parts,
            last,
            bounds,
            slots,
        })
    }

    /// In the order of time.
    pub fn parts(&self) -> impl Iterator<Item = &PlanPart> {
        self.first.iter().chain([&self.last])
    }

    /// The one with which the month begins.
    pub fn first(&self) -> &KnownPlan {
        &self.first.first().unwrap_or(&self.last).known
    }

    /// By which service levels and tax are computed.
    pub fn last(&self) -> &KnownPlan {
        &self.last.known
    }

    /// Versions of the plans, each once.
    pub fn versions(&self) -> Vec<&PlanVersion> {
        let mut versions: Vec<&PlanVersion> = Vec::new();
        for part in self.parts() {
            if !versions.contains(&&part.known.version) {
                versions.push(&part.known.version);
            }
        }
        versions
    }

    /// What an account's contract covers of the month.
    pub fn contract(&self, account: &Account) -> Option<Bounds> {
        let covered = || self.parts().filter_map(|part| part.rated(account).contract);
        let start = covered().map(|bounds| bounds.start).min()?;
        let end = covered().map(|bounds| bounds.end).max()?;
        Some(Bounds { start, end })
    }

    /// Some plan has modules.
    pub fn has_modules(&self) -> bool {
        self.parts().any(|part| !part.known.plan.modules.is_empty())
    }
}

/// The plans by which a bill was made, from the versions that are stored, for the time for which the bill has them.
pub async fn plans_of_bill(store: &Store, bill: &Document, number: &str) -> Result<PlansInPeriod, BillError> {
    let mut parts = Vec::new();
    for reference in &bill.plans {
        let gone = || BillError::PlanGone {
            plan: reference.name.clone(),
            number: number.to_owned(),
        };
        let version = store
            .plan_version(&reference.name, &reference.uid, reference.generation)
            .await?
            .filter(|version| Digest::of(version.spec.as_bytes()).to_string() == reference.digest)
            .ok_or_else(gone)?;
        parts.push(PlanPart {
            known: Arc::new(KnownPlan::of(version)?),
            bounds: reference.bounds(),
        });
    }
    PlansInPeriod::of(parts).ok_or_else(|| BillError::PlanGone {
        plan: String::new(),
        number: number.to_owned(),
    })
}

/// Other rules of a zone may make another month of it: each instant at which the bill or a part of it begins or ends must
/// still be a local midnight.
pub(super) fn check_zone_data(bill: &Document, plans: &PlansInPeriod, number: &str) -> Result<(), BillError> {
    if bill.time_zone_data == zone_data_version() {
        return Ok(());
    }
    let mut instants: Vec<_> = plans.parts().map(|part| part.bounds.start).collect();
    instants.push(plans.bounds.end);
    let is_midnight = |at: &jiff::Timestamp| {
        let mut zones = plans.parts().map(|part| &part.known.plan.zone);
        zones.any(|zone| first_instant_of(zone.to_datetime(*at).date(), zone) == Some(*at))
    };
    if instants.iter().all(is_midnight) {
        return Ok(());
    }
    Err(BillError::ZoneData {
        number: number.to_owned(),
        zone: bill.time_zone.clone(),
        theirs: bill.time_zone_data.clone(),
        ours: zone_data_version(),
    })
}
