//! Ready workers that have room, by load: the fullest is found at once.

use super::units::{to_u32, to_usize};

const WORD: usize = 64;

/// Ready workers with room, by how many conversations they hold.
#[derive(Clone, Debug)]
pub(super) struct Rooms {
    capacity: u32,
    /// The workers of each load below the capacity.
    by_load: Vec<Vec<u32>>,
    /// Where in its list each worker is, by number of the worker.
    position: Vec<u32>,
    /// A bit for each load that some worker has.
    present: Vec<u64>,
}

impl Rooms {
    pub(super) fn new(capacity: u32) -> Self {
        let loads = to_usize(capacity);
        Self {
            capacity,
            by_load: vec![Vec::new(); loads],
            position: Vec::new(),
            present: vec![0; loads.div_ceil(WORD)],
        }
    }

    /// A worker with this load has room, unless that is all it takes.
    pub(super) fn insert(&mut self, worker: u32, load: u32) {
        if load >= self.capacity {
            return;
        }
        let (index, list) = (to_usize(load), &mut self.by_load[to_usize(load)]);
        if self.position.len() <= to_usize(worker) {
            self.position.resize(to_usize(worker) + 1, 0);
        }
        self.position[to_usize(worker)] = to_u32(list.len());
        list.push(worker);
        self.present[index / WORD] |= 1 << (index % WORD);
    }

    /// A worker that had this load is gone, or has another.
    pub(super) fn remove(&mut self, worker: u32, load: u32) {
        if load >= self.capacity {
            return;
        }
        let (index, list) = (to_usize(load), &mut self.by_load[to_usize(load)]);
        let position = self.position[to_usize(worker)];
        list.swap_remove(to_usize(position));
        if let Some(moved) = list.get(to_usize(position)) {
            self.position[to_usize(*moved)] = position;
        }
        if list.is_empty() {
            self.present[index / WORD] &= !(1 << (index % WORD));
        }
    }

    /// The fullest of them.
    pub(super) fn fullest(&self) -> Option<u32> {
        let word = self.present.iter().rposition(|word| *word != 0)?;
        let bit = WORD - 1 - to_usize(self.present[word].leading_zeros());
        self.by_load[word * WORD + bit].last().copied()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_fullest_with_room_is_found_whatever_came_before(
            capacity in 1_u32..200, changes in proptest::collection::vec((0_u32..12, 0_u32..=200), 0..80),
        ) {
            let mut rooms = Rooms::new(capacity);
            let mut loads: Vec<Option<u32>> = vec![None; 12];
            for (worker, load) in changes {
                if let Some(before) = loads[worker as usize].take() {
                    rooms.remove(worker, before);
                }
                // Above the capacity stands for a worker that is not there.
                if load <= capacity {
                    rooms.insert(worker, load);
                    loads[worker as usize] = Some(load);
                }
                let most = loads.iter().flatten().filter(|load| **load < capacity).max().copied();
                let found = rooms.fullest().map(|worker| loads[worker as usize].unwrap());
                prop_assert_eq!(found, most);
            }
        }
    }
}
