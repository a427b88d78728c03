//! How a tenant's limit is shared by its pools.

use super::{TenantClaim, grants};

/// What a pool of the tenant holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Claim {
    /// Workers it has, or was granted, whichever is more.
    pub held: u32,
    /// Workers of it that have conversations.
    pub occupied: u32,
    /// Its minimum: kept for it even while it has fewer.
    pub min: u32,
}

impl Claim {
    fn due(self) -> u32 {
        self.held.max(self.min)
    }
}

/// The most workers that `limit` leaves to one of the pools that claim it, by its place. Where they hold more than the limit
/// together, because it fell, each keeps its fair part of it; asked in the same order, their parts come to no more than it.
pub fn share(limit: u32, claims: &[Claim], own: usize) -> u32 {
    let others = claims.iter().enumerate().filter(|(place, _)| *place != own);
    let taken = others.fold(0_u32, |sum, (_, claim)| sum.saturating_add(claim.due()));
    let held = claims.get(own).map_or(0, |claim| claim.held);
    if taken.saturating_add(held) <= limit {
        return limit - taken;
    }
    let claims: Vec<_> = claims
        .iter()
        .map(|claim| TenantClaim {
            wanted: claim.due(),
            occupied: claim.occupied,
            guaranteed: claim.min,
            weight: 1,
            size: 1,
        })
        .collect();
    grants(limit.into(), &claims).get(own).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn claim(held: u32, occupied: u32, min: u32) -> Claim {
        Claim { held, occupied, min }
    }

    #[test]
    fn what_others_hold_or_are_due_is_not_shared_again() {
        let none = Claim::default();
        assert_eq!(share(10, &[none], 0), 10);
        assert_eq!(share(10, &[claim(3, 0, 1), none, claim(0, 0, 2)], 1), 5);
        assert_eq!(share(10, &[none, claim(u32::MAX, 0, 1), claim(9, 0, 1)], 0), 0);
    }

    #[test]
    fn a_limit_that_fell_below_what_pools_hold_is_shared_and_not_given_up_by_all_of_them() {
        let both = [claim(8, 0, 1), claim(8, 0, 1)];
        assert_eq!((share(10, &both, 0), share(10, &both, 1)), (5, 5));
        let occupied = [claim(8, 7, 1), claim(8, 0, 1)];
        assert_eq!(share(10, &occupied, 0), 7, "what is occupied is not reclaimed");
    }

    proptest! {
        #[test]
        fn all_pools_together_keep_to_a_limit_that_fell_and_leave_nothing_of_it_idle(
            limit in 0_u32..100, pools in prop::collection::vec((0_u32..40, 0_u32..10), 1..6),
        ) {
            let claims: Vec<_> = pools.into_iter().map(|(held, min)| claim(held, 0, min)).collect();
            prop_assume!(claims.iter().map(|claim| claim.held).sum::<u32>() > limit);
            let shares: u32 = (0..claims.len()).map(|own| share(limit, &claims, own)).sum();
            prop_assert_eq!(shares, limit);
        }
    }
}
