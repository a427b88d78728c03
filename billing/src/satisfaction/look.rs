//! Looks for bursts of complaints in what was reported, every ten seconds, and tells the tenants whose they are.
//!
//! The one server that watches service levels does it. A burst is in the database together with the message about it, so that
//! it is told once, whichever server ends when. Each look goes back a little beyond the last one, because a report may be
//! committed after a later one; the first goes back a day, and so far a burst that nobody looked for is still told.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use springtide_proto::rated::{Comment, Rating};

use super::burst::{BEFORE, Burst, FEWEST, WINDOW, expected, find, is_over};
use crate::service_level::watch::Watch;
use crate::store::{Account, NewComplaints, StoreError, Topic, with_causes};

/// Between looks.
const PACE: SignedDuration = SignedDuration::from_secs(10);
/// So far a look goes back beyond the one before.
const OVERLAP: SignedDuration = SignedDuration::from_secs(60);
/// Complaints that are older than this are no news.
const NEWS: SignedDuration = SignedDuration::from_hours(24);
/// Between times at which old ratings are forgotten.
const FORGETTING: SignedDuration = SignedDuration::from_hours(1);
/// Examples that go with a message.
pub const EXAMPLES: usize = 5;
/// The name of the alert.
const ALERT: &str = "complaints";

/// When it was looked, tried to, and when old ratings were forgotten.
#[derive(Debug, Default)]
pub struct BurstLooks {
    looked: Option<Timestamp>,
    tried: Option<Timestamp>,
    forgot: Option<Timestamp>,
}

/// So long before; or the earliest there is.
fn before(at: Timestamp, span: SignedDuration) -> Timestamp {
    at.saturating_sub(span).unwrap_or(Timestamp::UNIX_EPOCH)
}

fn is_due(last: Option<Timestamp>, pace: SignedDuration, now: Timestamp) -> bool {
    // A clock that was set back is waited for by nobody.
    last.is_none_or(|last| now < last || now.duration_since(last) >= pace)
}

impl BurstLooks {
    /// Looks, if it is time to; says whether it was.
    pub async fn look_if_due(&mut self, watch: &Watch, now: Timestamp) -> bool {
        if !is_due(self.tried, PACE, now) {
            return false;
        }
        self.tried = Some(now);
        let since = self.looked.map(|looked| before(looked, OVERLAP));
        match watch.look_for_bursts(since, now).await {
            // What failed is looked at again by the next look.
            Ok(true) => self.looked = Some(now),
            Ok(false) => {}
            Err(error) => {
                tracing::warn!(error = %with_causes(&error), "bursts of complaints cannot be looked for");
            }
        }
        if is_due(self.forgot, FORGETTING, now) {
            let old = before(before(before(now, NEWS), WINDOW), BEFORE);
            match watch.store.forget_ratings(old).await {
                Ok(()) => self.forgot = Some(now),
                Err(error) => tracing::warn!(error = %with_causes(&error), "old ratings are not forgotten"),
            }
        }
        true
    }
}

impl Watch {
    /// Looks at all that was reported since then, of a day at most, and notes what is news; `false` if something of it could not be
    /// looked at.
    pub async fn look_for_bursts(
        &self,
        since: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let earliest = before(now, NEWS);
        let since = since.unwrap_or(earliest);
        let mut is_whole = true;
        for complaints in self.store.new_complaints(since, earliest).await? {
            let ledger = complaints.topic.ledger;
            if let Err(error) = self.look_at_topic(&complaints, now).await {
                is_whole = false;
                tracing::warn!(ledger, error = %with_causes(&error), "complaints about a topic cannot be looked at");
            }
        }
        for told in self.store.bursts_under_way().await? {
            let account = self.store.account_of_ledger(told.topic.ledger).await?;
            if let Some(account) = account.filter(|_| is_over(told.burst.last_at, now)) {
                let body = message(&account, &told.topic, &told.burst, None, now);
                self.store.end_burst(&told, &body, now).await?;
            }
        }
        Ok(is_whole)
    }

    async fn look_at_topic(&self, complaints: &NewComplaints, now: Timestamp) -> Result<(), StoreError> {
        let NewComplaints { topic, earliest } = complaints;
        let store = &self.store;
        let window = before(*earliest, WINDOW);
        // Mostly they are few: then nobody reads those of a week.
        let few = usize::try_from(FEWEST).unwrap_or_default();
        if store.complaint_times(topic, window).await?.len() < few {
            return Ok(());
        }
        let account = store.account_of_ledger(topic.ledger).await?;
        let Some(account) = account.filter(|account| account.closed_at.is_none()) else {
            return Ok(());
        };
        let times = store.complaint_times(topic, before(window, BEFORE)).await?;
        let known = store.last_burst(topic).await?;
        let found = find(&times, *earliest, known.as_ref().map(|told| told.burst));
        if let Some((burst, told)) = found.goes_on.zip(known) {
            store.extend_burst(told.id, &burst).await?;
        }
        for burst in found.new {
            let examples = store
                .complaint_examples(topic, (burst.first_at, burst.last_at), EXAMPLES)
                .await?;
            let body = message(&account, topic, &burst, Some(&examples), now);
            if store.tell_burst(topic, &burst, &body, now).await? {
                let tenant = &account.details.party.tenant;
                tracing::info!(%tenant, topic = topic.answer_id, complaints = burst.complaints, "a burst of complaints");
            }
        }
        Ok(())
    }
}

/// With examples: that it began; without: that it is over.
fn message(
    account: &Account,
    topic: &Topic,
    burst: &Burst,
    examples: Option<&[Rating]>,
    now: Timestamp,
) -> String {
    let party = &account.details.party;
    json!({
        "tenant": party.tenant.as_str(),
        "tenantUid": party.tenant_uid.as_str(),
        "alert": ALERT,
        "state": if examples.is_some() { "raised" } else { "resolved" },
        "until": now.to_string(),
        "complaints": burst_to_json(topic, burst),
        "examples": examples.unwrap_or_default().iter().map(example_to_json).collect::<Vec<_>>(),
    })
    .to_string()
}

/// As programs read it. A topic without an entry is `null`.
pub fn burst_to_json(topic: &Topic, burst: &Burst) -> Value {
    let Burst {
        first_at,
        last_at,
        complaints,
        before,
    } = burst;
    let topic = Some(topic.answer_id.as_str()).filter(|topic| !topic.is_empty());
    json!({
        "topic": topic,
        "from": first_at.to_string(),
        "to": last_at.to_string(),
        "complaints": complaints,
        "expectedInAQuarterOfAnHour": expected(*before).padded(2),
    })
}

/// A complaint as programs read it: masked by the gateway that took it, and with what leads to its conversation.
pub fn example_to_json(rating: &Rating) -> Value {
    json!({
        "conversation": rating.conversation.as_str(),
        "ratedAt": rating.rated_at.to_string(),
        "score": rating.score.number(),
        "comment": rating.comment.as_ref().map(Comment::as_str),
        "channel": rating.channel,
        "pool": rating.pool.as_str(),
    })
}
