//! One customer: one conversation, each message sent until it is answered.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rand::RngExt as _;
use rand::rngs::StdRng;
use tokio::time::Instant;

use super::LoadCounts;
use super::client::{Client, Reply, Sent};
use super::ledger::{Ledger, LedgerLine};
use crate::data::Question;

/// How long a customer goes on sending one message.
const PATIENCE: Duration = Duration::from_secs(90);
/// Pause before a message is sent again after a failure, at first and at most.
const RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(1));

/// See the module.
pub struct Customer {
    /// Whose customer.
    pub tenant: String,
    /// Id of the conversation.
    pub conversation: String,
    /// To the gateways.
    pub client: Client,
    /// What is going on.
    pub counts: Arc<LoadCounts>,
    /// What was got.
    pub ledger: Ledger,
    /// Think times.
    pub random: StdRng,
}

impl Customer {
    /// Asks each question, then ends the conversation.
    pub async fn ask_each(self, questions: Vec<Question>, think: (Duration, Duration)) {
        self.converse(questions, think, None).await;
    }

    /// Asks until `until`, then ends the conversation.
    pub async fn ask_until(self, questions: Vec<Question>, think: (Duration, Duration), until: Instant) {
        self.converse(questions, think, Some(until)).await;
    }

    async fn converse(
        mut self,
        questions: Vec<Question>,
        think: (Duration, Duration),
        until: Option<Instant>,
    ) {
        self.counts.begun.fetch_add(1, Ordering::Relaxed);
        let mut token = String::new();
        let last = questions.len().saturating_sub(1);
        for (number, question) in questions.iter().enumerate() {
            if until.is_some_and(|until| Instant::now() >= until) {
                break;
            }
            if !self.ask(&format!("t{number}"), question, &mut token).await {
                break;
            }
            if number < last {
                let pause = self.random.random_range(think.0..=think.1);
                let pause = until.map_or(pause, |until| {
                    pause.min(until.saturating_duration_since(Instant::now()))
                });
                tokio::time::sleep(pause).await;
            }
        }
        if let Err(error) = self.client.close(&self.conversation, &token).await {
            tracing::debug!(%error, "a close did not arrive");
        }
        self.counts.finished.fetch_add(1, Ordering::Relaxed);
    }

    /// Sends one message until it is answered; whether it was.
    async fn ask(&mut self, turn: &str, question: &Question, token: &mut String) -> bool {
        self.counts.sent.fetch_add(1, Ordering::Relaxed);
        let sent = self.ledger.now();
        let waiting = || {
            self.counts.waiting.fetch_add(1, Ordering::Relaxed);
        };
        let Asked { reply, attempts } = send_until_answered(
            &self.client,
            &self.conversation,
            turn,
            &question.text,
            token,
            waiting,
        )
        .await;
        let counter = if reply.is_some() {
            &self.counts.answered
        } else {
            &self.counts.lost
        };
        counter.fetch_add(1, Ordering::Relaxed);
        self.ledger
            .line(self.line(turn, question, sent, attempts, reply.as_ref()));
        let answered = reply.is_some();
        if let Some(reply) = reply {
            *token = reply.resume_token;
        }
        answered
    }

    fn line(
        &self,
        turn: &str,
        question: &Question,
        sent: jiff::Timestamp,
        attempts: u32,
        reply: Option<&Reply>,
    ) -> LedgerLine {
        LedgerLine {
            tenant: self.tenant.clone(),
            conversation: self.conversation.clone(),
            turn: turn.to_owned(),
            question_id: question.id,
            sent,
            answered: reply.map(|_| self.ledger.now()),
            attempts,
            kind: reply.map(|reply| reply.kind.clone()),
            answer_id: reply.and_then(|reply| reply.answer_id.clone()),
            worker: reply.and_then(|reply| worker_of(&reply.resume_token)),
        }
    }
}

/// What came of a message.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The answer; none if it was refused for good, or patience ended.
    pub reply: Option<Reply>,
    /// Requests that were sent for it.
    pub attempts: u32,
}

/// Sends one message until it is answered; `waiting` hears each time that it waits for a worker.
pub async fn send_until_answered(
    client: &Client,
    conversation: &str,
    turn: &str,
    text: &str,
    token: &str,
    waiting: impl Fn(),
) -> Asked {
    let begun = Instant::now();
    let (mut attempts, mut pause) = (0, RETRY.0);
    let reply = loop {
        attempts += 1;
        match client.turn(conversation, turn, text, token).await {
            Sent::Reply(reply) => break Some(reply),
            Sent::Waiting => waiting(),
            Sent::Again(why) => {
                tracing::debug!(conversation, turn, why, "sent again");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(RETRY.1);
            }
            Sent::Refused(status, why) => {
                tracing::error!(conversation, turn, %status, why, "refused");
                break None;
            }
        }
        if begun.elapsed() >= PATIENCE {
            tracing::error!(conversation, turn, attempts, "not answered");
            break None;
        }
    };
    Asked { reply, attempts }
}

/// The worker named in the clear part of a resume token: `1.SEQUENCE.WORKER.SEALED`.
pub fn worker_of(token: &str) -> Option<String> {
    let (head, _) = token.strip_prefix("1.")?.rsplit_once('.')?;
    Some(head.split_once('.')?.1.to_owned())
}
