//! A fleet for tests: workers and gateways that are attached without a network.

use futures::channel::mpsc;
use springtide_proto::epoch::Epoch;
use springtide_proto::fleet::worker_command::Command;
use springtide_proto::fleet::{GatewayCommand, WorkerCommand};
use springtide_proto::ids::{BootId, PodName, PodUid};

use super::{Book, Fleet, GatewayFacts, GatewayReport, PoolKey, WorkerFacts, WorkerReport};

/// A worker that is attached and answered its probe.
pub(crate) struct TestWorker {
    facts: WorkerFacts,
    attachment: u64,
    sequence: u64,
    commands: mpsc::Receiver<WorkerCommand>,
}

impl TestWorker {
    pub(crate) fn attach(fleet: &Fleet, key: &PoolKey, pod: &str, uid: &str) -> Self {
        let worker = Self::attach_unanswered(fleet, key, pod, uid);
        worker.answer(fleet);
        worker
    }

    /// One that accepts, but was not asked yet.
    pub(crate) fn attach_unanswered(fleet: &Fleet, key: &PoolKey, pod: &str, uid: &str) -> Self {
        let facts = WorkerFacts {
            key: key.clone(),
            pod: PodName::parse(pod).unwrap(),
            pod_uid: PodUid::parse(uid).unwrap(),
            boot_id: BootId::parse("boot").unwrap(),
            address: "127.0.0.1:7443".parse().unwrap(),
            node: "node".to_owned(),
            version: "0.1.0".to_owned(),
            capacity: 20,
        };
        let (sender, commands) = mpsc::channel(64);
        let now = fleet.now();
        let attachment = on(fleet, |book| book.attach_worker(facts.clone(), sender, now)).unwrap();
        let mut worker = Self {
            facts,
            attachment,
            sequence: 0,
            commands,
        };
        worker.report(fleet, 0, 0, true);
        worker
    }

    /// It answers its synthetic conversation.
    pub(crate) fn answer(&self, fleet: &Fleet) {
        let now = fleet.now();
        on(fleet, |book| book.probed(&self.facts, true, now));
    }

    pub(crate) fn report(&mut self, fleet: &Fleet, active: u32, spooled: u64, accepting: bool) {
        let report = WorkerReport {
            active,
            spooled,
            accepting,
            draining: !accepting,
            ..WorkerReport::default()
        };
        self.say(fleet, report);
    }

    /// It takes no conversations though nobody told it so, as where its disk is full.
    pub(crate) fn refuse(&mut self, fleet: &Fleet, active: u32) {
        let report = WorkerReport {
            active,
            ..WorkerReport::default()
        };
        self.say(fleet, report);
    }

    /// SIGTERM: it finishes those conversations.
    pub(crate) fn report_end(&mut self, fleet: &Fleet, active: u32) {
        let report = WorkerReport {
            active,
            draining: true,
            ending: true,
            ..WorkerReport::default()
        };
        self.say(fleet, report);
    }

    fn say(&mut self, fleet: &Fleet, report: WorkerReport) {
        self.sequence += 1;
        let report = WorkerReport {
            sequence: self.sequence,
            ..report
        };
        let now = fleet.now();
        on(fleet, |book| {
            book.report(&self.facts, self.attachment, report, now)
        })
        .unwrap();
    }

    pub(crate) fn detach(&self, fleet: &Fleet) {
        on(fleet, |book| book.detach_worker(&self.facts, self.attachment));
    }

    /// The epoch of a cordon, if one was sent since the last call.
    pub(crate) fn cordoned(&mut self) -> Option<Epoch> {
        let mut found = None;
        while let Ok(WorkerCommand { command }) = self.commands.try_recv() {
            match command {
                Some(Command::Cordon(cordon)) => found = cordon.epoch.map(Epoch::from),
                Some(Command::Uncordon(_)) => found = None,
                _ => {}
            }
        }
        found
    }

    pub(crate) fn acknowledge(&self, fleet: &Fleet, epoch: Epoch) {
        on(fleet, |book| {
            book.cordon_acknowledged(&self.facts, self.attachment, epoch)
        })
        .unwrap();
    }
}

/// A gateway that is attached and reports that many waiting conversations.
pub(crate) fn gateway(
    fleet: &Fleet,
    key: &PoolKey,
    uid: &str,
    waiting: u32,
) -> mpsc::Receiver<GatewayCommand> {
    let facts = GatewayFacts {
        tenant: key.tenant.clone(),
        pod: PodName::parse(format!("gateway-{uid}")).unwrap(),
        pod_uid: PodUid::parse(uid).unwrap(),
        boot_id: BootId::parse("boot").unwrap(),
        pools: vec![key.pool.clone()],
    };
    let report = GatewayReport {
        sequence: 1,
        measured: None,
        pool: key.pool.clone(),
        waiting,
        oldest_wait: std::time::Duration::ZERO,
        arrived: u64::from(waiting),
        ended: 0,
        spooled: 0,
    };
    let (sender, commands) = mpsc::channel(64);
    let now = fleet.now();
    on(fleet, |book| {
        let attachment = book.attach_gateway(facts.clone(), sender, now);
        book.gateway_report(&facts, attachment, report, now)
    })
    .unwrap();
    commands
}

fn on<T>(fleet: &Fleet, work: impl FnOnce(&mut Book) -> T) -> T {
    fleet.with_book(work).expect("a term has begun")
}
