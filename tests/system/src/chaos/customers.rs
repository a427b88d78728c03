//! Customers: each asks for what is answered by a list, chooses from it, and leaves. Some go away while they wait and ask again,
//! some send again what was answered, some come back through another gateway.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::Size;
use crate::load::{Asked, Client, Reply, send_until_answered, worker_of};
use crate::parts::SHIPPING;
use crate::turns::{Fault, Turns};

/// Shares of messages: whose customer goes while they wait, that are sent again after the answer, and before which the customer
/// changes the gateway.
const GOES: f64 = 0.02;
const REPEATS: f64 = 0.02;
const CHANGES: f64 = 0.25;
/// The longest wait of a customer who goes.
const GOES_AFTER: Duration = Duration::from_millis(10);
/// The choice from a list.
const CHOICE: &str = "2";

/// See the module.
pub(super) struct Customers {
    size: Size,
    turns: Turns,
    doors: Vec<Client>,
    next: AtomicUsize,
    /// Conversations that have ended.
    pub(super) ended: AtomicUsize,
}

/// One of them, in one conversation.
struct Conversation<'a> {
    all: &'a Customers,
    number: usize,
    id: String,
    door: &'a Client,
    token: String,
}

impl Customers {
    pub(super) fn new(size: Size, turns: Turns, doors: Vec<Client>) -> Self {
        Self {
            size,
            turns,
            doors,
            next: AtomicUsize::new(0),
            ended: AtomicUsize::new(0),
        }
    }

    /// Until all conversations have ended.
    pub(super) async fn talk(self: Arc<Self>) {
        let mut customers = JoinSet::new();
        for customer in 0..self.size.customers {
            let all = self.clone();
            let mut random = StdRng::seed_from_u64(self.size.seed ^ (u64::from(customer) << 32));
            customers.spawn(async move {
                loop {
                    let number = all.next.fetch_add(1, Ordering::Relaxed);
                    if number >= all.size.conversations {
                        return;
                    }
                    all.converse(number, &mut random).await;
                    all.ended.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        customers.join_all().await;
    }

    fn door(&self, random: &mut StdRng) -> &Client {
        &self.doors[random.random_range(0..self.doors.len())]
    }

    async fn converse(&self, number: usize, random: &mut StdRng) {
        let mut conversation = Conversation {
            all: self,
            number,
            id: format!("c{number}"),
            door: self.door(random),
            token: String::new(),
        };
        for turn in 0..self.size.turns {
            if turn > 0 {
                let think = random.random_range(0..=self.size.think);
                tokio::time::sleep(Duration::from_millis(think)).await;
                if random.random_bool(CHANGES) {
                    conversation.door = self.door(random);
                }
            }
            if !conversation.take(turn, random).await {
                break;
            }
        }
        // A close that does not arrive is silence that ends the conversation.
        drop(
            conversation
                .door
                .close(&conversation.id, &conversation.token)
                .await,
        );
    }
}

impl Conversation<'_> {
    /// One message, until it is answered; whether it was.
    async fn take(&mut self, turn: usize, random: &mut StdRng) -> bool {
        let text = if turn.is_multiple_of(2) { SHIPPING } else { CHOICE };
        let name = format!("t{turn}");
        let begun = Instant::now();
        let mut attempts = 0;
        if random.random_bool(GOES) {
            attempts = 1;
            let patience = random.random_range(Duration::ZERO..GOES_AFTER);
            let sending = self.door.turn(&self.id, &name, text, &self.token);
            // What came in time is not read: a customer that has gone.
            drop(tokio::time::timeout(patience, sending).await);
        }
        let asked = send_until_answered(self.door, &self.id, &name, text, &self.token, || ()).await;
        let worker = asked
            .reply
            .as_ref()
            .and_then(|reply| worker_of(&reply.resume_token));
        let fault = match &asked.reply {
            None => Some(Fault::NotAnswered),
            Some(reply) => (!goes_on(reply, turn)).then_some(Fault::StateLost),
        };
        self.all.turns.note(self.number, turn, |line| {
            line.got(
                attempts + asked.attempts,
                begun.elapsed(),
                worker.as_deref(),
                fault,
            );
        });
        let Asked {
            reply: Some(reply), ..
        } = asked
        else {
            return false;
        };
        if random.random_bool(REPEATS) {
            let again = send_until_answered(self.door, &self.id, &name, text, &self.token, || ()).await;
            if !again.reply.is_some_and(|again| is_same(&again, &reply)) {
                self.all.turns.note(self.number, turn, |line| {
                    line.fault = Some(Fault::AnsweredOtherwise);
                });
            }
        }
        self.token = reply.resume_token;
        true
    }
}

/// The answer is that of a conversation in which all earlier turns were taken: the choice means something only after the list.
fn goes_on(reply: &Reply, turn: usize) -> bool {
    let kind = if turn.is_multiple_of(2) { "list" } else { "unique" };
    reply.kind == kind && usize::try_from(reply.turn_sequence) == Ok(turn + 1)
}

fn is_same(again: &Reply, first: &Reply) -> bool {
    let of = |reply: &Reply| {
        (
            reply.kind.clone(),
            reply.answer_id.clone(),
            reply.text.clone(),
            reply.turn_sequence,
        )
    };
    of(again) == of(first)
}
