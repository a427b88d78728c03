//! How a tenant's limit is shared by its pools.

use super::{TenantClaim, grants};

/// What a pool of the tenant holds and wants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Claim {
    /// Workers it has, or was granted, whichever is more.
    pub held: u32,
    /// Workers it wanted when it was decided last.
    pub wanted: u32,
    /// Workers of it that have conversations.
    pub occupied: u32,
    /// Its minimum: kept for it even while it has fewer.
    pub min: u32,
}

impl Claim {
    fn due(self) -> u32 {
        self.held.max(self.min)
    }

    fn as_tenants(self) -> TenantClaim {
        TenantClaim {
            wanted: self.wanted.max(self.min),
            kept: self.due(),
            occupied: self.occupied,
            guaranteed: self.min,
            weight: 1,
            size: 1,
        }
    }
}

/// What a tenant's limit leaves to one of its pools.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// Workers it may have at most: its fair part if all of them wanted more, but nothing that another has still.
    pub most: u32,
    /// Workers up to which it may keep those that it does not want now: beyond, another pool wants their room.
    pub kept: u32,
}

/// What `limit` leaves to one of the pools that claim it, by its place. Minimums come first, and then each gets the same; a worker
/// with conversations is not given up, and room that nobody wants is kept by those that have it.
pub fn share(limit: u32, claims: &[Claim], own: usize) -> Share {
    let mut all: Vec<_> = claims.iter().map(|claim| claim.as_tenants()).collect();
    let others = || all.iter().enumerate().filter(|(place, _)| *place != own);
    let others_most = others().fold(0_u32, |sum, (_, claim)| sum.saturating_add(claim.most()));
    let own_most = all.get(own).map_or(0, TenantClaim::most);
    // Usually there is enough for all, and nothing need be shared out worker by worker.
    if let Some(left) = limit.checked_sub(others_most).filter(|left| *left >= own_most) {
        return Share {
            most: left,
            kept: left,
        };
    }
    let taken = others().fold(0_u32, |sum, (_, claim)| sum.saturating_add(claim.kept));
    let held = claims.get(own).map_or(0, |claim| claim.held);
    let granted = grants(limit.into(), &all);
    let part = granted.get(own).copied().unwrap_or(0);
    // With what nobody has or wants.
    let all_parts = granted.into_iter().fold(0, u32::saturating_add);
    let kept = part.saturating_add(limit.saturating_sub(all_parts));
    if let Some(greedy) = all.get_mut(own) {
        greedy.wanted = limit;
    }
    let most = grants(limit.into(), &all).get(own).copied().unwrap_or(0);
    let most = most.min(held.max(limit.saturating_sub(taken)));
    Share { most, kept }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Of a pool that wants what it has.
    fn claim(held: u32, occupied: u32, min: u32) -> Claim {
        Claim {
            held,
            wanted: held,
            occupied,
            min,
        }
    }

    fn most(limit: u32, claims: &[Claim], own: usize) -> u32 {
        share(limit, claims, own).most
    }

    #[test]
    fn what_others_hold_or_are_due_is_not_shared_again() {
        let none = Claim::default();
        assert_eq!(most(10, &[none], 0), 10);
        assert_eq!(most(10, &[claim(3, 0, 1), none, claim(0, 0, 2)], 1), 5);
        assert_eq!(most(10, &[none, claim(u32::MAX, 0, 1), claim(9, 0, 1)], 0), 0);
    }

    #[test]
    fn a_limit_that_fell_below_what_pools_hold_is_shared_and_not_given_up_by_all_of_them() {
        let both = [claim(8, 0, 1), claim(8, 0, 1)];
        assert_eq!((most(10, &both, 0), most(10, &both, 1)), (5, 5));
        let occupied = [claim(8, 7, 1), claim(8, 0, 1)];
        assert_eq!(most(10, &occupied, 0), 7, "what is occupied is not reclaimed");
    }

    #[test]
    fn a_pool_keeps_what_it_does_not_want_only_while_no_other_wants_its_room() {
        let idle = Claim {
            wanted: 5,
            ..claim(15, 2, 1)
        };
        let wants = |wanted| Claim {
            wanted,
            ..claim(5, 5, 1)
        };
        assert_eq!(share(20, &[idle, wants(5)], 0).kept, 15);
        assert_eq!(share(30, &[idle, wants(5)], 0).kept, 25, "with what nobody wants");
        assert_eq!(share(20, &[idle, wants(15)], 0).kept, 5);
        // The other grows as it goes.
        assert_eq!(most(20, &[idle, wants(15)], 1), 5);
        assert_eq!(most(20, &[Claim { held: 9, ..idle }, wants(15)], 1), 11);
    }

    #[test]
    fn pools_that_want_more_than_the_limit_get_the_same_whoever_came_first() {
        let first = claim(18, 4, 1);
        let second = Claim {
            wanted: 15,
            ..claim(2, 2, 1)
        };
        assert_eq!(
            (most(20, &[first, second], 0), most(20, &[first, second], 1)),
            (10, 2)
        );
        let later = [Claim { held: 10, ..first }, second];
        assert_eq!((most(20, &later, 0), most(20, &later, 1)), (10, 10));
    }

    fn claims() -> impl Strategy<Value = Vec<Claim>> {
        let claim = (0_u32..40, 0_u32..60, 0_u32..40, 0_u32..10);
        let claim = claim.prop_map(|(held, wanted, occupied, min)| Claim {
            held,
            wanted,
            occupied: occupied.min(held),
            min,
        });
        prop::collection::vec(claim, 1..6)
    }

    proptest! {
        #[test]
        fn no_pool_grows_into_what_another_has_or_gives_up_workers_with_conversations(limit in 0_u32..100, claims in claims()) {
            for own in 0..claims.len() {
                let others = claims.iter().enumerate().filter(|(place, _)| *place != own);
                let free = limit.saturating_sub(others.map(|(_, claim)| claim.due()).sum());
                let Share { most, kept } = share(limit, &claims, own);
                prop_assert!(most <= free.max(claims[own].held));
                prop_assert!(most >= claims[own].occupied && kept >= claims[own].occupied);
            }
        }

        #[test]
        fn what_pools_keep_fits_the_limit_and_nothing_of_it_lies_idle(limit in 0_u32..100, claims in claims()) {
            let sum = |of: &dyn Fn(usize) -> u32| (0..claims.len()).map(of).sum::<u32>();
            let occupied = sum(&|own| claims[own].occupied);
            let all = sum(&|own| claims[own].due().max(claims[own].wanted));
            let most = |own: usize| claims[own].due().max(claims[own].wanted);
            let kept = sum(&|own| share(limit, &claims, own).kept.min(most(own)));
            prop_assert_eq!(kept, limit.max(occupied).min(all));
        }
    }
}
