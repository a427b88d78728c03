//! How a tenant's limit is shared by its pools.

/// What another pool of the tenant holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Workers it has, or was granted, whichever is more.
    pub held: u32,
    /// Its minimum: kept for it even while it has fewer.
    pub min: u32,
}

/// The most workers that `limit` leaves to one pool beside `others`.
pub fn share(limit: u32, others: &[Claim]) -> u32 {
    let taken = others
        .iter()
        .fold(0_u32, |sum, claim| sum.saturating_add(claim.held.max(claim.min)));
    limit.saturating_sub(taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_hold_or_are_due_is_not_shared_again() {
        assert_eq!(share(10, &[]), 10);
        assert_eq!(
            share(10, &[Claim { held: 3, min: 1 }, Claim { held: 0, min: 2 }]),
            5
        );
        assert_eq!(
            share(
                10,
                &[
                    Claim {
                        held: u32::MAX,
                        min: 1
                    },
                    Claim { held: 9, min: 1 }
                ]
            ),
            0
        );
    }
}
