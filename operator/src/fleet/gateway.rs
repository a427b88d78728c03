//! One gateway, as the leader knows it.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::channel::mpsc;
use springtide_proto::epoch::Epoch;
use springtide_proto::fleet::gateway_command::Command;
use springtide_proto::fleet::{Endpoint, Endpoints, GatewayCommand, Welcome};
use springtide_proto::ids::PoolId;

use crate::autoscale::{CounterWindow, Moment};

use super::nonsense::{Nonsense, in_order};
use super::view::LoadRise;
use super::worker::Attachment;
use super::{GatewayFacts, GatewayReport, SILENCE};

#[derive(Debug)]
pub(super) struct Gateway {
    pub(super) facts: GatewayFacts,
    pub(super) attachment: Option<(Attachment, mpsc::Sender<GatewayCommand>)>,
    /// What it said of each pool that it asks for.
    pub(super) pools: BTreeMap<PoolId, GatewayPool>,
    epoch: Epoch,
}

/// What a report says of the waiting room.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    /// The gateway had fallen silent.
    pub(super) heard_again: bool,
    /// More or fewer wait than before.
    pub(super) changed: bool,
    /// More do.
    pub(super) rise: Option<LoadRise>,
}

/// The last good report of one pool.
#[derive(Debug)]
pub(super) struct GatewayPool {
    /// 0: there is none yet.
    pub(super) sequence: u64,
    pub(super) waiting: u32,
    pub(super) counters: CounterWindow,
    /// When it came; until there is one, when this boot attached first.
    heard: Moment,
    /// The pool was told that the gateway fell silent, and it was not heard since.
    told_silent: bool,
}

impl GatewayPool {
    fn new(now: Moment) -> Self {
        Self {
            sequence: 0,
            waiting: 0,
            counters: CounterWindow::default(),
            heard: now,
            told_silent: false,
        }
    }

    /// How long ago it came, if there is one.
    pub(super) fn age(&self, now: Moment) -> Option<Duration> {
        (self.sequence > 0).then(|| now.saturating_sub(self.heard))
    }
}

impl Gateway {
    pub(super) fn new(facts: GatewayFacts, term: u64) -> Self {
        let epoch = Epoch {
            transitions: term,
            sequence: 0,
        };
        Self {
            facts,
            attachment: None,
            pools: BTreeMap::new(),
            epoch,
        }
    }

    /// A new stream, perhaps of a new boot. What is known of the same boot is no younger for it.
    pub(super) fn attach(
        &mut self,
        facts: GatewayFacts,
        attachment: Attachment,
        sender: mpsc::Sender<GatewayCommand>,
        now: Moment,
    ) {
        if facts.boot_id != self.facts.boot_id {
            self.pools.clear();
        }
        self.pools.retain(|pool, _| facts.pools.contains(pool));
        for pool in &facts.pools {
            let known = self.pools.entry(pool.clone());
            known.or_insert_with(|| GatewayPool::new(now));
        }
        self.facts = facts;
        self.attachment = Some((attachment, sender));
        let epoch = self.next_epoch();
        self.send(Command::Welcome(Welcome {
            epoch: Some(epoch.into()),
        }));
    }

    /// Takes note of a report; of none that was seen already, or is older than one seen.
    pub(super) fn report(&mut self, report: GatewayReport, now: Moment) -> Result<Waiting, Nonsense> {
        let GatewayReport {
            sequence,
            measured,
            pool,
            waiting,
            oldest_wait: _,
            arrived,
            ended,
            spooled: _,
        } = report;
        let Some(known) = self.pools.get_mut(&pool) else {
            return Ok(Waiting::default());
        };
        in_order(sequence, known.sequence, now.saturating_sub(known.heard))?;
        known.sequence = sequence;
        known.heard = now;
        known.counters.push(now, arrived, ended);
        let before = std::mem::replace(&mut known.waiting, waiting);
        Ok(Waiting {
            changed: before != waiting,
            heard_again: std::mem::take(&mut known.told_silent),
            rise: (waiting > before).then(|| LoadRise {
                heard: now,
                measured,
                by: self.facts.pod.clone(),
            }),
        })
    }

    /// Nothing good was heard of it about that pool of late. Of one that it does not ask for it has nothing to say.
    pub(super) fn is_silent(&self, pool: &PoolId, now: Moment) -> bool {
        let about = |pool: &GatewayPool| pool.heard + SILENCE < now;
        let silent = match self.pools.get(pool) {
            Some(pool) => about(pool),
            None => self.pools.values().all(about),
        };
        self.attachment.is_none() || silent
    }

    /// Pools about which it fell silent since this was asked last.
    pub(super) fn fell_silent(&mut self, now: Moment) -> Vec<PoolId> {
        let detached = self.attachment.is_none();
        let silent = self
            .pools
            .iter_mut()
            .filter(|(_, pool)| detached || pool.heard + SILENCE < now);
        let news =
            silent.filter_map(|(id, pool)| (!std::mem::replace(&mut pool.told_silent, true)).then_some(id));
        news.cloned().collect()
    }

    pub(super) fn send_endpoints(
        &mut self,
        pool: &PoolId,
        endpoints: Vec<Endpoint>,
        at_contract_limit: bool,
    ) {
        let epoch = self.next_epoch();
        let pool = pool.as_str().to_owned();
        self.send(Command::Endpoints(Endpoints {
            epoch: Some(epoch.into()),
            pool,
            endpoints,
            at_contract_limit,
        }));
    }

    /// Epochs are of another term from now on.
    pub(super) fn resume(&mut self, term: u64) {
        self.epoch = Epoch {
            transitions: term,
            sequence: 0,
        };
    }

    fn next_epoch(&mut self) -> Epoch {
        self.epoch = self.epoch.next();
        self.epoch
    }

    /// A stream that does not take its commands is ended: the gateway attaches again and gets everything anew.
    fn send(&mut self, command: Command) {
        let full = self.attachment.as_mut().is_some_and(|(_, sender)| {
            sender
                .try_send(GatewayCommand {
                    command: Some(command),
                })
                .is_err()
        });
        if full {
            self.attachment = None;
        }
    }
}
