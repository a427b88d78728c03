//! One worker, as the leader knows it.

use futures::channel::mpsc;
use springtide_proto::epoch::Epoch;
use springtide_proto::fleet::worker_command::Command;
use springtide_proto::fleet::{Cordon, Uncordon, Welcome, WorkerCommand};
use springtide_proto::time::duration_to_wire;

use crate::autoscale::Moment;

use super::nonsense::Nonsense;
use super::{SILENCE, WorkerFacts, WorkerReport};

/// Number of a stream; a later stream of the same worker has a higher one.
pub(super) type Attachment = u64;

#[derive(Debug)]
pub(super) struct Worker {
    pub(super) facts: WorkerFacts,
    /// The last good one.
    pub(super) report: Option<WorkerReport>,
    /// When it came; until there is one, when this boot attached first.
    pub(super) heard: Moment,
    /// Its pool was told that it fell silent, and it was not heard since.
    pub(super) told_silent: bool,
    pub(super) attachment: Option<(Attachment, mpsc::Sender<WorkerCommand>)>,
    pub(super) probing: bool,
    pub(super) answered: Option<Moment>,
    /// Since when it refuses conversations although nobody told it to.
    pub(super) refusing: Option<Moment>,
    pub(super) cordon: Option<CordonState>,
    /// When it was told to stay after all, until it was heard to.
    pub(super) called_back: Option<Moment>,
    /// The cordon that was taken back before it was acknowledged: until it is, what the worker reports is from before both.
    unacknowledged: Option<Epoch>,
    pub(super) terminating: bool,
    /// Conversations at once that its Pod was given, where that is known.
    pub(super) given: Option<u32>,
    pub(super) epoch: Epoch,
    /// The last one of the term of ours before, if there was one.
    earlier: Option<Epoch>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct CordonState {
    pub(super) epoch: Epoch,
    pub(super) since: Moment,
    pub(super) deadline: std::time::Duration,
    pub(super) acknowledged: bool,
    /// A report came after the acknowledgement: its count of conversations can only fall.
    pub(super) settled: bool,
}

impl Worker {
    pub(super) fn new(facts: WorkerFacts, term: u64, now: Moment) -> Self {
        Self {
            facts,
            report: None,
            heard: now,
            told_silent: false,
            attachment: None,
            probing: false,
            answered: None,
            refusing: None,
            cordon: None,
            called_back: None,
            unacknowledged: None,
            terminating: false,
            given: None,
            epoch: Epoch {
                transitions: term,
                sequence: 0,
            },
            earlier: None,
        }
    }

    /// A new stream, perhaps of a new boot, of which nothing is known yet. What is known of the same boot is no younger for it.
    pub(super) fn attach(
        &mut self,
        facts: WorkerFacts,
        attachment: Attachment,
        sender: mpsc::Sender<WorkerCommand>,
        now: Moment,
    ) {
        if facts.boot_id != self.facts.boot_id {
            self.report = None;
            self.probing = false;
            (self.answered, self.refusing) = (None, None);
            self.heard = now;
        }
        self.facts = facts;
        self.attachment = Some((attachment, sender));
        let epoch = self.next_epoch();
        self.send(Command::Welcome(Welcome {
            epoch: Some(epoch.into()),
        }));
        if let Some(CordonState { deadline, since, .. }) = self.cordon {
            self.cordon(deadline, since);
        }
    }

    pub(super) fn cordon(&mut self, deadline: std::time::Duration, since: Moment) {
        let epoch = self.next_epoch();
        self.called_back = None;
        self.cordon = Some(CordonState {
            epoch,
            since,
            deadline,
            acknowledged: false,
            settled: false,
        });
        self.send(Command::Cordon(Cordon {
            epoch: Some(epoch.into()),
            drain_deadline: Some(duration_to_wire(deadline)),
        }));
    }

    pub(super) fn uncordon(&mut self, now: Moment) {
        let epoch = self.next_epoch();
        let cordon = self.cordon.take();
        self.unacknowledged = cordon
            .filter(|cordon| !cordon.acknowledged)
            .map(|cordon| cordon.epoch);
        self.called_back = Some(now);
        if let Some(report) = &mut self.report {
            // Until it says so itself again.
            report.accepting = false;
            report.draining = false;
        }
        self.send(Command::Uncordon(Uncordon {
            epoch: Some(epoch.into()),
        }));
    }

    /// It acknowledged a cordon.
    pub(super) fn acknowledged(&mut self, epoch: Epoch) -> Result<(), Nonsense> {
        let of_terms = [Some(self.epoch), self.earlier];
        let given = of_terms
            .into_iter()
            .flatten()
            .any(|last| epoch.transitions == last.transitions && epoch.sequence <= last.sequence);
        if self.unacknowledged == Some(epoch) {
            self.unacknowledged = None;
        }
        match self.cordon.as_mut().filter(|cordon| cordon.epoch == epoch) {
            Some(cordon) if !cordon.acknowledged => cordon.acknowledged = true,
            // Another command has overtaken it.
            None if given => {}
            _ => return Err(Nonsense::Acknowledgement),
        }
        Ok(())
    }

    /// A report that says it drains, right after it was called back, was on its way already: it is not that somebody else told it.
    pub(super) fn without_what_crossed(&mut self, report: WorkerReport, now: Moment) -> WorkerReport {
        let crossed = self.called_back.is_some_and(|then| now <= then + SILENCE);
        if crossed && self.unacknowledged.is_some() && !report.draining {
            return WorkerReport {
                accepting: false,
                ..report
            };
        }
        if crossed && report.draining && !report.ending {
            return WorkerReport {
                accepting: false,
                draining: false,
                ..report
            };
        }
        self.called_back = None;
        report
    }

    pub(super) fn is_silent(&self, now: Moment) -> bool {
        self.attachment.is_none() || self.heard + SILENCE < now
    }

    /// It may be given conversations.
    pub(super) fn is_available(&self) -> bool {
        let reports = self
            .report
            .as_ref()
            .is_some_and(|report| report.accepting && !report.draining);
        reports && self.answered.is_some() && self.cordon.is_none() && !self.terminating
    }

    /// Epochs are of another term from now on; of what was commanded before they stay what they are.
    pub(super) fn resume(&mut self, term: u64) {
        self.earlier = Some(self.epoch);
        self.epoch = Epoch {
            transitions: term,
            sequence: 0,
        };
    }

    fn next_epoch(&mut self) -> Epoch {
        self.epoch = self.epoch.next();
        self.epoch
    }

    /// A stream that does not take its commands is ended: the worker attaches again.
    fn send(&mut self, command: Command) {
        let full = self.attachment.as_mut().is_some_and(|(_, sender)| {
            sender
                .try_send(WorkerCommand {
                    command: Some(command),
                })
                .is_err()
        });
        if full {
            self.attachment = None;
        }
    }
}
