//! One gateway, as the leader knows it.

use std::collections::BTreeMap;

use futures::channel::mpsc;
use springtide_proto::epoch::Epoch;
use springtide_proto::fleet::gateway_command::Command;
use springtide_proto::fleet::{Endpoint, Endpoints, GatewayCommand, Welcome};
use springtide_proto::ids::PoolId;

use crate::autoscale::{CounterWindow, Moment};

use super::view::LoadRise;
use super::worker::Attachment;
use super::{GatewayFacts, GatewayReport, SILENCE};

#[derive(Debug)]
pub(super) struct Gateway {
    pub(super) facts: GatewayFacts,
    pub(super) heard: Moment,
    /// Its pools were told that it fell silent, and it was not heard since.
    pub(super) told_silent: bool,
    pub(super) attachment: Option<(Attachment, mpsc::Sender<GatewayCommand>)>,
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

#[derive(Debug, Default)]
pub(super) struct GatewayPool {
    pub(super) sequence: u64,
    pub(super) waiting: u32,
    pub(super) counters: CounterWindow,
}

impl Gateway {
    pub(super) fn new(facts: GatewayFacts, term: u64, now: Moment) -> Self {
        let epoch = Epoch {
            transitions: term,
            sequence: 0,
        };
        Self {
            facts,
            heard: now,
            told_silent: false,
            attachment: None,
            pools: BTreeMap::new(),
            epoch,
        }
    }

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
        self.facts = facts;
        self.heard = now;
        self.attachment = Some((attachment, sender));
        let epoch = self.next_epoch();
        self.send(Command::Welcome(Welcome {
            epoch: Some(epoch.into()),
        }));
    }

    /// Takes note of a report. One that was seen already, or is older than one seen, is dropped.
    pub(super) fn report(&mut self, report: GatewayReport, now: Moment) -> Waiting {
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
        self.heard = now;
        let heard_again = std::mem::take(&mut self.told_silent);
        let known = self.pools.entry(pool).or_default();
        if sequence <= known.sequence {
            return Waiting {
                heard_again,
                ..Waiting::default()
            };
        }
        known.sequence = sequence;
        known.counters.push(now, arrived, ended);
        let before = std::mem::replace(&mut known.waiting, waiting);
        Waiting {
            changed: before != waiting,
            heard_again,
            rise: (waiting > before).then(|| LoadRise {
                heard: now,
                measured,
                by: self.facts.pod.clone(),
            }),
        }
    }

    pub(super) fn is_silent(&self, now: Moment) -> bool {
        self.attachment.is_none() || self.heard + SILENCE < now
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
