//! The order of a leader's commands.

use crate::fleet;

/// (transitions of the leader's Lease, sequence): a higher one is newer. Who saw a higher one refuses a lower one, so a
/// replica that lost its lease commands nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Epoch {
    /// How often the Lease changed hands.
    pub transitions: u64,
    /// Counts the commands of this leader to one pod.
    pub sequence: u64,
}

impl Epoch {
    /// The command after this one, of the same leader.
    #[must_use]
    pub fn next(self) -> Self {
        Self {
            sequence: self.sequence + 1,
            ..self
        }
    }
}

impl From<fleet::Epoch> for Epoch {
    fn from(wire: fleet::Epoch) -> Self {
        let fleet::Epoch {
            transitions,
            sequence,
        } = wire;
        Self {
            transitions,
            sequence,
        }
    }
}

impl From<Epoch> for fleet::Epoch {
    fn from(epoch: Epoch) -> Self {
        let Epoch {
            transitions,
            sequence,
        } = epoch;
        Self {
            transitions,
            sequence,
        }
    }
}

/// The highest epoch seen, which decides whether a command is obeyed.
#[derive(Debug, Default)]
pub struct EpochGate {
    highest: Epoch,
}

impl EpochGate {
    /// Takes note of `epoch`; `Err` with the highest one seen if it is older than that.
    pub fn admit(&mut self, epoch: Epoch) -> Result<(), Epoch> {
        if epoch < self.highest {
            return Err(self.highest);
        }
        self.highest = epoch;
        Ok(())
    }

    /// The highest epoch seen.
    pub fn highest(&self) -> Epoch {
        self.highest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_leaders_first_command_outranks_an_old_leaders_last() {
        let mut gate = EpochGate::default();
        let old = Epoch {
            transitions: 3,
            sequence: 900,
        };
        let new = Epoch {
            transitions: 4,
            sequence: 1,
        };
        assert_eq!(gate.admit(old), Ok(()));
        assert_eq!(gate.admit(new), Ok(()));
        assert_eq!(gate.admit(old.next()), Err(new));
        assert_eq!(gate.admit(new), Ok(()), "the same command again is no harm");
    }
}
