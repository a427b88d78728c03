//! Lives of conversations, at random: witnesses of which each sees a part, that are killed, replaced or lose a disk. Whatever
//! happens, each conversation that got an answer ends once, as it ended for its customer, and none ends that goes on.
#![expect(clippy::unwrap_used, reason = "a test ends where it cannot go on")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use jiff::{SignedDuration, Timestamp};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use springtide_proto::ended::{ConversationEnd, Outcome};
use springtide_proto::ids::ConversationId;
use springtide_proto::metering::Delivery;
use springtide_runtime::spool::Spool;

const LIVES: u64 = 24;
const STEPS: usize = 70;
const CONVERSATIONS: usize = 6;
const IDLE: SignedDuration = SignedDuration::from_mins(3);
/// Two workers, then two gateways.
const WITNESSES: usize = 4;
const WORKERS: usize = 2;

struct Witness {
    folder: PathBuf,
    spool: Spool,
    /// What it has of each conversation that goes on.
    heard: BTreeMap<usize, ConversationEnd>,
}

struct Life {
    random: StdRng,
    now: Timestamp,
    witnesses: Vec<Witness>,
    folder: tempfile::TempDir,
    pods: usize,
    lost: usize,
    /// Where each conversation is: its worker and the gateway that its customer comes through.
    places: [(usize, usize); CONVERSATIONS],
    /// How each would have ended by now, for its customer.
    truth: BTreeMap<usize, ConversationEnd>,
    /// Of what witnesses may have said that it ended.
    over: BTreeSet<usize>,
    /// The end of each that counts.
    reported: BTreeMap<usize, ConversationEnd>,
}

fn end(conversation: usize, at: Timestamp, outcome: Outcome) -> ConversationEnd {
    ConversationEnd {
        last_message_at: at,
        outcome,
        channel: "web".into(),
        pool: "web".parse().unwrap(),
        conversation: id(conversation),
        tenant: "acme".parse().unwrap(),
        tenant_uid: "uid".parse().unwrap(),
    }
}

fn id(conversation: usize) -> ConversationId {
    format!("c{conversation}").parse().unwrap()
}

impl Life {
    async fn new(seed: u64) -> Self {
        let mut life = Self {
            random: StdRng::seed_from_u64(seed),
            now: "2026-11-11T00:00:00Z".parse().unwrap(),
            witnesses: Vec::new(),
            folder: tempfile::tempdir().unwrap(),
            pods: 0,
            lost: 0,
            places: [(0, WORKERS); CONVERSATIONS],
            truth: BTreeMap::new(),
            over: BTreeSet::new(),
            reported: BTreeMap::new(),
        };
        for _ in 0..WITNESSES {
            let witness = life.new_pod().await;
            life.witnesses.push(witness);
        }
        life
    }

    async fn new_pod(&mut self) -> Witness {
        self.pods += 1;
        let folder = self.folder.path().join(self.pods.to_string());
        Witness {
            spool: Spool::open(&folder).await.unwrap(),
            folder,
            heard: BTreeMap::new(),
        }
    }

    /// A message, and what becomes of it: answered, answered with nobody there to read it, or not answered.
    async fn message(&mut self, conversation: usize) {
        self.now += SignedDuration::from_secs(self.random.random_range(1..60));
        let (at, (worker, gateway)) = (self.now, self.places[conversation]);
        let outcome = Outcome::ALL[self.random.random_range(0..2)];
        let unread = end(conversation, at, Outcome::Abandoned);
        let fate = self.random.random_range(0..10);
        if fate == 0 {
            self.unanswered(gateway, conversation, &unread).await;
            return;
        }
        let answered = end(conversation, at, outcome);
        self.answered(worker, conversation, &answered).await;
        if fate == 1 {
            // The gateway was killed before it heard: the customer sends the message again, through the other.
            self.kill(gateway).await;
            self.places[conversation].1 = WORKERS + (gateway + 1) % 2;
            self.now += SignedDuration::from_secs(1);
            let again = end(conversation, self.now, outcome);
            self.answered(self.places[conversation].1, conversation, &again)
                .await;
            self.truth.insert(conversation, again);
            return;
        }
        self.answered(gateway, conversation, &answered).await;
        self.truth.insert(conversation, answered);
        if fate == 2 {
            self.unanswered(gateway, conversation, &unread).await;
        }
    }

    async fn answered(&mut self, witness: usize, conversation: usize, end: &ConversationEnd) {
        let Witness { spool, heard, .. } = &mut self.witnesses[witness];
        let turn = (Delivery::Delivered, true);
        let sequence = spool.append_turn(b"turn".to_vec(), turn, end).await.unwrap();
        spool.release(sequence);
        heard.insert(conversation, end.clone());
    }

    /// A gateway that has not heard of the conversation does not know that it is one.
    async fn unanswered(&mut self, gateway: usize, conversation: usize, end: &ConversationEnd) {
        let Witness { spool, heard, .. } = &mut self.witnesses[gateway];
        spool.unanswered(end).await.unwrap();
        if let Some(heard) = heard.get_mut(&conversation) {
            *heard = end.clone();
            self.truth.insert(conversation, end.clone());
        }
    }

    /// A message is answered by another worker; the one before may hear that it has the conversation no more.
    async fn moved(&mut self, conversation: usize) {
        self.now += SignedDuration::from_secs(1);
        let (before, gateway) = self.places[conversation];
        self.places[conversation].0 = (before + 1) % WORKERS;
        let answered = end(conversation, self.now, Outcome::Resolved);
        self.answered(self.places[conversation].0, conversation, &answered)
            .await;
        self.answered(gateway, conversation, &answered).await;
        self.truth.insert(conversation, answered);
        if self.random.random_bool(0.7) {
            let Witness { spool, heard, .. } = &mut self.witnesses[before];
            spool.forget_conversation(&id(conversation)).await.unwrap();
            heard.remove(&conversation);
        }
    }

    async fn close(&mut self, conversation: usize) {
        let (worker, gateway) = self.places[conversation];
        for witness in [gateway, worker] {
            let Witness { spool, heard, .. } = &mut self.witnesses[witness];
            spool.end_conversation(&id(conversation)).await.unwrap();
            if heard.remove(&conversation).is_some() {
                self.over.insert(conversation);
            }
        }
    }

    /// What each witness does every second.
    async fn sweep(&mut self, witness: usize, since: Timestamp) {
        let Witness { spool, heard, .. } = &mut self.witnesses[witness];
        spool.end_silent(since).await.unwrap();
        let silent = heard.extract_if(.., |_, heard| heard.last_message_at < since);
        self.over.extend(silent.map(|(conversation, _)| conversation));
    }

    /// SIGKILL; the process starts again with its disk.
    async fn kill(&mut self, witness: usize) {
        let folder = &self.witnesses[witness].folder;
        self.witnesses[witness].spool = Spool::open(folder).await.unwrap();
    }

    /// SIGTERM; another Pod takes its place.
    async fn leave(&mut self, witness: usize) {
        self.sweep(witness, Timestamp::MAX).await;
        self.report(witness, true).await;
        assert_eq!(self.witnesses[witness].spool.depth(), 0);
        self.witnesses[witness] = self.new_pod().await;
    }

    /// The node is gone, and what the witness has not reported is lost: unless it alone had something, that is no matter.
    async fn lose(&mut self, witness: usize) {
        let others = |conversation: &usize| {
            let others = (0..WITNESSES).filter(|other| *other != witness);
            let mut heard = others.filter_map(|other| self.witnesses[other].heard.get(conversation));
            heard.any(|heard| Some(heard) == self.truth.get(conversation))
        };
        let is_known = |conversation: &usize| self.reported.get(conversation) == self.truth.get(conversation);
        if self
            .truth
            .keys()
            .all(|conversation| is_known(conversation) || others(conversation))
        {
            self.witnesses[witness] = self.new_pod().await;
            self.lost += 1;
        }
    }

    /// Billing hears all that is in the spool, and the witness hears of that, or not.
    async fn report(&mut self, witness: usize, is_acknowledged: bool) {
        let spool = &self.witnesses[witness].spool;
        let records = spool.oldest(10_000).await.unwrap();
        if is_acknowledged {
            let sequences = records.iter().map(|record| record.sequence).collect();
            spool.acknowledge(sequences).await.unwrap();
        }
        let ends = records.iter();
        for end in ends.filter_map(|record| ConversationEnd::decode(&record.event).ok()) {
            let conversation = end.conversation.as_str()[1..].parse().unwrap();
            let counted = self.reported.entry(conversation).or_insert_with(|| end.clone());
            *counted = end.max(counted.clone());
        }
        let ended: BTreeSet<_> = self.reported.keys().copied().collect();
        assert!(ended.is_subset(&self.over), "{ended:?} of {:?}", self.over);
    }

    async fn step(&mut self) {
        let conversation = self.random.random_range(0..CONVERSATIONS);
        let witness = self.random.random_range(0..WITNESSES);
        let since = self.now - IDLE;
        match self.random.random_range(0..24) {
            0..=10 => self.message(conversation).await,
            11 => self.moved(conversation).await,
            12 => self.places[conversation].1 = WORKERS + self.random.random_range(0..2),
            13 => self.close(conversation).await,
            14..=16 => self.sweep(witness, since).await,
            17 => self.now += SignedDuration::from_secs(self.random.random_range(1..240)),
            18 => self.kill(witness).await,
            19 => self.leave(witness).await,
            20 => self.lose(witness).await,
            21 => self.report(witness, false).await,
            _ => self.report(witness, true).await,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_conversation_that_got_an_answer_ends_once_as_it_ended_for_its_customer() {
    let mut lost = 0;
    for seed in 0..LIVES {
        let mut life = Life::new(seed).await;
        for _ in 0..STEPS {
            life.step().await;
        }
        for witness in 0..WITNESSES {
            let at_rest = life.now + IDLE + SignedDuration::from_secs(1);
            life.sweep(witness, at_rest - IDLE).await;
            life.report(witness, true).await;
            life.report(witness, true).await;
        }
        assert_eq!(life.reported, life.truth, "life {seed}");
        lost += life.lost;
    }
    assert!(lost > 0, "disks must be lost");
}
