//! Which worker a conversation goes to, and who waits.
//!
//! A new conversation goes to the fullest worker that has room and is no victim, so that others empty. Where none has room it
//! waits: a *ticket* keeps its place, also while the customer asks again. A ticket is *present* while somebody waits on it; the
//! first present one is served first. One that nobody asked for in a while is given up.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::time::Duration;

use springtide_proto::ids::{ConversationId, PodUid};
use tokio::time::Instant;

/// How long an unattended ticket keeps its place.
pub const TICKET_KEPT: Duration = Duration::from_secs(15);
/// Admissions from the waiting room that an estimate looks back on.
const ADMISSIONS: usize = 20;
/// How long a worker that failed is left alone.
pub const SUSPECT_FOR: Duration = Duration::from_secs(1);

/// A worker as far as this gateway knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Worker {
    /// UID of its Pod.
    pub pod: PodUid,
    /// "IP:PORT".
    pub address: String,
    /// Conversations it takes at once.
    pub capacity: u32,
    /// Conversations it has, as last heard.
    pub active: u32,
    /// Takes new ones.
    pub accepting: bool,
}

/// Where a conversation stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Assignment {
    /// It goes to this worker; room is taken there.
    Worker(Worker),
    /// It waits; 1 is next.
    Waiting {
        /// Its position, from 1.
        position: usize,
    },
    /// The waiting room is full.
    Overflow,
}

#[derive(Debug)]
struct Ticket {
    conversation: ConversationId,
    since: Instant,
    seen: Instant,
    present: bool,
}

/// One pool, seen from one gateway.
#[derive(Debug)]
pub struct Pool {
    workers: HashMap<PodUid, Worker>,
    suspects: HashMap<PodUid, Instant>,
    tickets: BTreeMap<u64, Ticket>,
    next_ticket: u64,
    most_waiting: usize,
    admissions: VecDeque<Instant>,
    /// Tickets that nobody came back for.
    pub abandoned: u64,
    /// The tenant has all the workers that its contract gives it: who finds no room is refused beyond the contract.
    pub at_contract_limit: bool,
}

impl Pool {
    /// No worker known yet; at most `most_waiting` wait.
    pub fn new(most_waiting: usize) -> Self {
        Self {
            workers: HashMap::new(),
            suspects: HashMap::new(),
            tickets: BTreeMap::new(),
            next_ticket: 0,
            most_waiting,
            admissions: VecDeque::new(),
            abandoned: 0,
            at_contract_limit: false,
        }
    }

    /// Replaces what was known of the workers.
    pub fn replace_workers(&mut self, workers: Vec<Worker>) {
        self.workers = workers
            .into_iter()
            .map(|worker| (worker.pod.clone(), worker))
            .collect();
        self.suspects.retain(|pod, _| self.workers.contains_key(pod));
    }

    /// All workers known.
    pub fn workers(&self) -> impl Iterator<Item = &Worker> {
        self.workers.values()
    }

    /// The worker of that pod, if it is known and not suspect.
    pub fn worker(&self, pod: &PodUid, now: Instant) -> Option<&Worker> {
        self.workers.get(pod).filter(|_| !self.is_suspect(pod, now))
    }

    /// Any worker that answers, even if it has no room for another conversation: a probe takes none.
    pub fn for_probe(&self, refused: &HashSet<PodUid>, now: Instant) -> Option<&Worker> {
        let known = self.workers.values();
        known
            .filter(|worker| !refused.contains(&worker.pod) && !self.is_suspect(&worker.pod, now))
            .max_by_key(|worker| worker.accepting)
    }

    /// Where the worker of that pool is reached, if it is known.
    pub fn address(&self, pod: &PodUid) -> Option<String> {
        self.workers.get(pod).map(|worker| worker.address.clone())
    }

    /// A worker for `conversation`, or its place among those who wait. `refused` are workers that were tried for this turn.
    pub fn assign(
        &mut self,
        conversation: &ConversationId,
        refused: &HashSet<PodUid>,
        now: Instant,
    ) -> Assignment {
        self.give_up_unattended(now);
        let ticket = self.ticket_of(conversation);
        let first = ticket.is_none_or(|own| !self.tickets.range(..own).any(|(_, earlier)| earlier.present));
        let none_waits = ticket.is_some() || !self.tickets.values().any(|waiting| waiting.present);
        if first
            && none_waits
            && let Some(pod) = self.fullest_with_room(refused, now)
            && let Some(worker) = self.workers.get_mut(&pod)
        {
            worker.active += 1;
            let worker = worker.clone();
            if let Some(own) = ticket {
                self.tickets.remove(&own);
                self.admissions.push_back(now);
                let surplus = self.admissions.len().saturating_sub(ADMISSIONS);
                self.admissions.drain(..surplus);
            }
            return Assignment::Worker(worker);
        }
        let own = match ticket {
            Some(own) => own,
            None if self.tickets.len() >= self.most_waiting => return Assignment::Overflow,
            None => self.new_ticket(conversation, now),
        };
        if let Some(ticket) = self.tickets.get_mut(&own) {
            (ticket.seen, ticket.present) = (now, true);
        }
        Assignment::Waiting {
            position: self.tickets.range(..=own).count(),
        }
    }

    /// Nobody waits on the conversation's ticket for the moment; it keeps its place for [`TICKET_KEPT`].
    pub fn step_back(&mut self, conversation: &ConversationId, now: Instant) {
        if let Some(ticket) = self
            .ticket_of(conversation)
            .and_then(|own| self.tickets.get_mut(&own))
        {
            (ticket.seen, ticket.present) = (now, false);
        }
    }

    /// The conversation no longer waits.
    pub fn leave(&mut self, conversation: &ConversationId) {
        if let Some(own) = self.ticket_of(conversation) {
            self.tickets.remove(&own);
        }
    }

    /// What a worker said of itself with a reply.
    pub fn heard(&mut self, pod: &PodUid, active: u32) {
        if let Some(worker) = self.workers.get_mut(pod) {
            worker.active = active;
        }
        self.suspects.remove(pod);
    }

    /// The conversation did not begin there after all.
    pub fn release(&mut self, pod: &PodUid) {
        if let Some(worker) = self.workers.get_mut(pod) {
            worker.active = worker.active.saturating_sub(1);
        }
    }

    /// The worker has no room after all.
    pub fn full(&mut self, pod: &PodUid) {
        if let Some(worker) = self.workers.get_mut(pod) {
            worker.active = worker.active.max(worker.capacity);
        }
    }

    /// The worker takes nothing new.
    pub fn draining(&mut self, pod: &PodUid) {
        if let Some(worker) = self.workers.get_mut(pod) {
            worker.accepting = false;
        }
    }

    /// The worker failed: it is left alone for a moment.
    pub fn suspect(&mut self, pod: &PodUid, now: Instant) {
        self.suspects.insert(pod.clone(), now);
    }

    /// Conversations that wait, and for how long the first has.
    pub fn waiting(&self, now: Instant) -> (usize, Duration) {
        let oldest = self
            .tickets
            .values()
            .map(|ticket| now.saturating_duration_since(ticket.since))
            .max();
        (self.tickets.len(), oldest.unwrap_or_default())
    }

    /// How long the one at `position` will wait, by the pace of the last admissions; `None` while there is no pace.
    pub fn estimate(&self, position: usize, now: Instant) -> Option<Duration> {
        let first = self.admissions.front()?;
        let elapsed = now.saturating_duration_since(*first);
        let admitted = u32::try_from(self.admissions.len()).ok()?;
        Some(elapsed / admitted * u32::try_from(position).ok()?)
    }

    fn is_suspect(&self, pod: &PodUid, now: Instant) -> bool {
        self.suspects
            .get(pod)
            .is_some_and(|since| now.saturating_duration_since(*since) < SUSPECT_FOR)
    }

    fn fullest_with_room(&self, refused: &HashSet<PodUid>, now: Instant) -> Option<PodUid> {
        self.workers
            .values()
            .filter(|worker| worker.accepting && worker.active < worker.capacity)
            .filter(|worker| !refused.contains(&worker.pod) && !self.is_suspect(&worker.pod, now))
            // Equally full ones: the same one for every gateway.
            .max_by(|one, other| {
                one.active
                    .cmp(&other.active)
                    .then_with(|| other.pod.cmp(&one.pod))
            })
            .map(|worker| worker.pod.clone())
    }

    fn ticket_of(&self, conversation: &ConversationId) -> Option<u64> {
        self.tickets
            .iter()
            .find(|(_, ticket)| ticket.conversation == *conversation)
            .map(|(own, _)| *own)
    }

    fn new_ticket(&mut self, conversation: &ConversationId, now: Instant) -> u64 {
        let own = self.next_ticket;
        self.next_ticket += 1;
        self.tickets.insert(
            own,
            Ticket {
                conversation: conversation.clone(),
                since: now,
                seen: now,
                present: true,
            },
        );
        own
    }

    fn give_up_unattended(&mut self, now: Instant) {
        let before = self.tickets.len();
        self.tickets
            .retain(|_, ticket| ticket.present || now.saturating_duration_since(ticket.seen) < TICKET_KEPT);
        self.abandoned += u64::try_from(before - self.tickets.len()).unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn worker(pod: &str, active: u32, accepting: bool) -> Worker {
        Worker {
            pod: PodUid::parse(pod).unwrap(),
            address: String::new(),
            capacity: 3,
            active,
            accepting,
        }
    }

    fn pool(workers: &[(&str, u32, bool)]) -> Pool {
        let mut pool = Pool::new(2);
        pool.replace_workers(
            workers
                .iter()
                .map(|(pod, active, accepting)| worker(pod, *active, *accepting))
                .collect(),
        );
        pool
    }

    fn id(text: &str) -> ConversationId {
        ConversationId::parse(text).unwrap()
    }

    fn assigned(pool: &mut Pool, conversation: &str, now: Instant) -> String {
        match pool.assign(&id(conversation), &HashSet::new(), now) {
            Assignment::Worker(worker) => worker.pod.to_string(),
            Assignment::Waiting { position } => position.to_string(),
            Assignment::Overflow => "overflow".into(),
        }
    }

    #[test]
    fn the_fullest_worker_with_room_that_is_no_victim_is_taken() {
        let now = Instant::now();
        let mut pool = pool(&[("a", 1, true), ("b", 2, true), ("c", 3, true), ("d", 2, false)]);
        let taken: Vec<_> = (0..4)
            .map(|number| assigned(&mut pool, &format!("c{number}"), now))
            .collect();
        assert_eq!(taken, ["b", "a", "a", "1"]);
    }

    #[test]
    fn who_came_first_is_served_first_and_a_place_is_kept_while_its_owner_asks_again() {
        let now = Instant::now();
        let mut pool = pool(&[("a", 3, true)]);
        assert_eq!(assigned(&mut pool, "one", now), "1");
        assert_eq!(assigned(&mut pool, "two", now), "2");
        assert_eq!(assigned(&mut pool, "three", now), "overflow");
        pool.heard(&PodUid::parse("a").unwrap(), 2);
        assert_eq!(assigned(&mut pool, "two", now), "2");
        pool.step_back(&id("one"), now);
        assert_eq!(
            assigned(&mut pool, "two", now),
            "a",
            "nobody waits for the first at this moment"
        );
        assert_eq!(assigned(&mut pool, "one", now), "1", "its place was kept");
    }

    #[test]
    fn a_newcomer_does_not_pass_those_who_wait() {
        let now = Instant::now();
        let mut pool = pool(&[("a", 3, true)]);
        assert_eq!(assigned(&mut pool, "one", now), "1");
        pool.heard(&PodUid::parse("a").unwrap(), 2);
        assert_eq!(assigned(&mut pool, "late", now), "2");
        assert_eq!(assigned(&mut pool, "one", now), "a");
    }

    #[test]
    fn an_unattended_ticket_is_given_up_after_a_while() {
        let now = Instant::now();
        let mut pool = pool(&[("a", 3, true)]);
        assigned(&mut pool, "one", now);
        pool.step_back(&id("one"), now);
        assert_eq!(assigned(&mut pool, "two", now + TICKET_KEPT / 2), "2");
        assert_eq!(assigned(&mut pool, "two", now + TICKET_KEPT), "1");
        assert_eq!(pool.abandoned, 1);
    }

    #[test]
    fn a_suspect_is_left_alone_for_a_moment() {
        let now = Instant::now();
        let mut pool = pool(&[("a", 1, true), ("b", 0, true)]);
        pool.suspect(&PodUid::parse("a").unwrap(), now);
        assert_eq!(assigned(&mut pool, "one", now), "b");
        assert_eq!(assigned(&mut pool, "two", now + SUSPECT_FOR), "a");
    }
}
