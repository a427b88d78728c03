//! Who gets what when the cluster cannot hold all the workers that are wanted.
//!
//! - *guaranteed*: what a tenant gets before anybody gets more.
//! - *weight*: by which what is left is shared: a tenant of weight 3 gets three workers beyond its guarantee where one of
//!   weight 1 gets one, until it has what it wants (weighted max-min fairness).
//! - *kept*: workers that a tenant has beyond what it wants now, and lets go only later (its load just fell, or a promotion
//!   holds them): it keeps those for whose room nobody has a use.
//! - *size*: what one worker takes of the room; a large one counts for several small ones.
//! - *occupied*: workers with conversations; they are never reclaimed, so they are granted whatever else holds.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// What one tenant claims.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TenantClaim {
    /// Workers it wants, within its limit.
    pub wanted: u32,
    /// Workers it would have if nobody else had a use for their room: at least those it wants, or else those.
    pub kept: u32,
    /// Workers that have conversations.
    pub occupied: u32,
    /// Workers it gets first.
    pub guaranteed: u32,
    /// Its weight; at least 1.
    pub weight: u32,
    /// Of one of its workers; at least 1.
    pub size: u32,
}

impl TenantClaim {
    /// With what nobody else has a use for.
    pub fn most(&self) -> u32 {
        self.wanted.max(self.kept)
    }
}

/// Workers granted to each claim, in their order, when there is room for workers of `capacity` in all.
pub fn grants(capacity: u64, claims: &[TenantClaim]) -> Vec<u32> {
    let mut granted: Vec<u32> = claims.iter().map(|claim| claim.occupied).collect();
    let sizes = claims
        .iter()
        .map(|claim| u64::from(claim.occupied) * u64::from(claim.size));
    let left = capacity.saturating_sub(sizes.fold(0, u64::saturating_add));
    let guaranteed = |claim: &TenantClaim| claim.guaranteed.min(claim.wanted);
    let left = fill(&mut granted, claims, left, guaranteed, |claim, has| {
        Share::of(has, 1, claim.guaranteed)
    });
    let beyond = |claim: &TenantClaim, has: u32| {
        Share::of(has.saturating_sub(guaranteed(claim)), claim.size, claim.weight)
    };
    let left = fill(&mut granted, claims, left, |claim| claim.wanted, beyond);
    fill(&mut granted, claims, left, TenantClaim::most, beyond);
    granted
}

/// Gives the workers one by one, each to the claim with the smallest share so far, up to its target, as long as there is
/// room for one of its size; what is left over.
fn fill(
    granted: &mut [u32],
    claims: &[TenantClaim],
    mut left: u64,
    target: impl Fn(&TenantClaim) -> u32,
    share: impl Fn(&TenantClaim, u32) -> Share,
) -> u64 {
    let mut open: BinaryHeap<_> = claims
        .iter()
        .zip(granted.iter())
        .enumerate()
        .filter(|(_, (claim, has))| **has < target(claim))
        .map(|(place, (claim, has))| Reverse((share(claim, *has), place)))
        .collect();
    while left > 0
        && let Some(Reverse((_, place))) = open.pop()
    {
        let (Some(has), Some(claim)) = (granted.get_mut(place), claims.get(place)) else {
            continue;
        };
        let Some(rest) = left.checked_sub(claim.size.into()) else {
            continue;
        };
        *has += 1;
        left = rest;
        if *has < target(claim) {
            open.push(Reverse((share(claim, *has), place)));
        }
    }
    left
}

/// A fraction, compared exactly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Share {
    has: u64,
    of: u64,
}

impl Share {
    fn of(has: u32, size: u32, of: u32) -> Self {
        Self {
            has: u64::from(has) * u64::from(size),
            of: of.max(1).into(),
        }
    }
}

impl Ord for Share {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        let product = |has: u64, of: u64| u128::from(has) * u128::from(of);
        product(self.has, other.of).cmp(&product(other.has, self.of))
    }
}

impl PartialOrd for Share {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn claim(wanted: u32, occupied: u32, guaranteed: u32, weight: u32) -> TenantClaim {
        TenantClaim {
            wanted,
            kept: 0,
            occupied,
            guaranteed,
            weight,
            size: 1,
        }
    }

    #[test]
    fn a_large_worker_counts_for_several_small_ones() {
        let large = |claim| TenantClaim { size: 8, ..claim };
        // Room for 100: 24 are guaranteed to the last; the other 76 are shared by size and not by number.
        let claims = [
            claim(20, 0, 0, 1),
            large(claim(40, 0, 0, 1)),
            large(claim(3, 0, 3, 1)),
        ];
        assert_eq!(grants(100, &claims), [20, 7, 3]);
        assert_eq!(
            grants(20, &claims),
            [4, 0, 2],
            "what no large one fits is for small ones"
        );
    }

    #[test]
    fn guarantees_come_first_and_weights_share_the_rest() {
        // 20 workers: 4 and 2 guaranteed; the other 14 by 3 to 1, as whole workers 10 and 4.
        let claims = [claim(100, 0, 4, 3), claim(100, 0, 2, 1)];
        assert_eq!(grants(20, &claims), [14, 6]);
    }

    #[test]
    fn what_one_does_not_want_goes_to_the_others() {
        let claims = [claim(3, 0, 8, 5), claim(100, 0, 0, 1), claim(100, 0, 0, 1)];
        assert_eq!(grants(13, &claims), [3, 5, 5]);
    }

    #[test]
    fn a_worker_with_conversations_is_never_reclaimed() {
        let claims = [claim(10, 10, 0, 1), claim(10, 0, 6, 1)];
        assert_eq!(grants(12, &claims), [10, 2]);
    }

    #[test]
    fn what_a_tenant_only_keeps_makes_way_for_what_another_wants_and_for_nothing_else() {
        let keeps = |claim, kept| TenantClaim { kept, ..claim };
        // It wants 5 and has 15; the other wants its guarantee, or one worker more than there is room for.
        let first = keeps(claim(5, 2, 0, 1), 15);
        assert_eq!(grants(20, &[first, claim(15, 3, 15, 1)]), [5, 15]);
        assert_eq!(grants(20, &[first, claim(6, 3, 0, 1)]), [14, 6]);
        assert_eq!(grants(30, &[first, claim(6, 3, 0, 1)]), [15, 6]);
    }

    proptest! {
        #[test]
        fn grants_keep_their_promises(
            capacity in 0_u64..300,
            claims in prop::collection::vec((0_u32..80, 0_u32..40, 0_u32..30, 1_u32..10, 0_u32..90), 1..8),
        ) {
            let claims: Vec<_> = claims
                .into_iter()
                .map(|(wanted, occupied, guaranteed, weight, kept)| TenantClaim { kept, ..claim(wanted, occupied, guaranteed, weight) })
                .collect();
            let granted = grants(capacity, &claims);
            let total = |of: &mut dyn Iterator<Item = u32>| of.map(u64::from).sum::<u64>();
            let sum = total(&mut granted.iter().copied());
            let occupied = total(&mut claims.iter().map(|claim| claim.occupied));
            let all = total(&mut claims.iter().map(|claim| claim.most().max(claim.occupied)));
            prop_assert!(sum <= capacity.max(occupied));
            prop_assert_eq!(sum, capacity.max(occupied).min(all), "nothing lies idle that somebody wants or keeps");
            let entitled = total(&mut claims.iter().map(|claim| claim.occupied.max(claim.guaranteed.min(claim.wanted))));
            let nobody_keeps: Vec<_> = claims.iter().map(|claim| TenantClaim { kept: 0, ..*claim }).collect();
            for (granted, without) in granted.iter().zip(grants(capacity, &nobody_keeps)) {
                prop_assert!(*granted >= without, "what is kept takes from nobody what it wants");
            }
            for (claim, granted) in claims.iter().zip(&granted) {
                prop_assert!(*granted >= claim.occupied);
                prop_assert!(*granted <= claim.most().max(claim.occupied));
                prop_assert!(entitled > capacity || *granted >= claim.guaranteed.min(claim.wanted));
            }
        }

        #[test]
        fn a_greater_weight_never_gets_less(
            capacity in 0_u64..200, wanted in 0_u32..80, guaranteed in 0_u32..20, weight in 1_u32..9,
            others in prop::collection::vec((0_u32..80, 0_u32..40, 0_u32..30, 1_u32..10), 0..5),
        ) {
            let rest = others.into_iter().map(|(wanted, occupied, guaranteed, weight)| claim(wanted, occupied, guaranteed, weight));
            let with = |weight| std::iter::once(claim(wanted, 0, guaranteed, weight)).chain(rest.clone()).collect::<Vec<_>>();
            prop_assert!(grants(capacity, &with(weight + 1))[0] >= grants(capacity, &with(weight))[0]);
        }
    }
}
