//! `static`: the same number of workers all the time.

use super::{Autoscaler, Cadence, Removable, View, Wish};
use crate::simulate::units::Time;

/// As often as anything else, for nothing changes.
const LOOK_SECONDS: u64 = 60;

/// The same number all the time.
#[derive(Clone, Copy, Debug)]
pub(in crate::simulate) struct Constant {
    workers: u32,
}

impl Constant {
    pub(in crate::simulate) fn new(workers: u32) -> Self {
        Self { workers }
    }
}

impl Autoscaler for Constant {
    fn cadence(&self) -> Cadence {
        Cadence {
            every_seconds: LOOK_SECONDS,
            on_change: None,
        }
    }

    fn first(&self, _needed: u32) -> u32 {
        self.workers
    }

    fn decide(&mut self, _view: &View) -> Wish {
        Wish::at_once(self.workers)
    }

    fn victims(&self, _now: Time, _removable: Vec<Removable>, _count: usize) -> Vec<u32> {
        Vec::new()
    }
}
