//! Writes what was found, where it changed: beside the pool's next decisions, which do not wait for it.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{Api, ResourceExt as _};
use tokio::sync::OwnedSemaphorePermit;

use crate::api::{BotPool, BotPoolStatus, DecisionStatus};
use crate::controllers::apply::{WriteError, apply_status};
use crate::controllers::conditions::{Finding, merge, whole_seconds};
use crate::controllers::context::{Context, reference};

use super::apply::Applied;
use super::build::Prepared;
use super::dereference::Seen;
use super::findings::findings;
use super::memory::PoolMemory;
use super::{PoolError, SAFETY, STATUS_PERIOD, template};

/// Counts of conversations alone are written no more often than this.
const COUNTS_PERIOD: Duration = Duration::from_secs(5);

/// A status on its way, with what is told when it is written.
struct Telling {
    pool: Arc<BotPool>,
    status: BotPoolStatus,
    news: Vec<Finding>,
    scaled: Option<String>,
    permit: OwnedSemaphorePermit,
}

/// Begins to write; after which time there is more to write, if there is. Fails with what became of the last one.
pub(super) fn update_status(
    context: &Arc<Context>,
    pool: &Arc<BotPool>,
    prepared: &Prepared<'_>,
    applied: &Applied,
    seen: &Seen,
    memory: &mut PoolMemory,
) -> Result<Option<Duration>, PoolError> {
    let told = memory.telling.take_if(|telling| telling.is_finished());
    if let Some(Ok(Some(told))) = told.and_then(FutureExt::now_or_never) {
        told?;
    }
    let known = pool.status.clone().unwrap_or_default();
    let (conditions, news) = merge(
        &known.conditions,
        findings(prepared, seen, applied.refused.as_deref()),
        pool.metadata.generation,
        seen.time,
    );
    let status = BotPoolStatus {
        conditions,
        ..status(prepared, applied, seen, &known)
    };
    if status == known {
        return Ok(None);
    }
    let since = memory
        .status_written
        .map(|written| seen.now.saturating_sub(written));
    // How far workers have come changes several times while one starts, and each write is dear to the API server.
    let is_progress =
        news.is_empty() && status.desired == known.desired && status.r#override == known.r#override;
    let period = if is_progress { SAFETY } else { STATUS_PERIOD };
    if since.is_some_and(|since| since < period) {
        return Ok(Some(period));
    }
    let counts_only = BotPoolStatus {
        active: known.active,
        waiting: known.waiting,
        ..status.clone()
    } == known;
    let early = since.is_some_and(|since| since < COUNTS_PERIOD);
    if counts_only && (early || !context.may_keep_up()) {
        return Ok(None);
    }
    if memory.telling.is_some() {
        return Ok(Some(period));
    }
    let Some(permit) = context.calls.to_tell() else {
        return Ok(Some(SAFETY));
    };
    let because = prepared.decision.binding.as_str();
    let scaled = (status.desired != known.desired).then(|| {
        format!(
            "{} to {} workers because of {because}",
            known.desired, status.desired
        )
    });
    memory.status_written = Some(seen.now);
    let telling = Telling {
        pool: pool.clone(),
        status,
        news,
        scaled,
        permit,
    };
    let (key, context) = (prepared.valid.key.clone(), context.clone());
    memory.telling = Some(context.clone().beside.spawn(async move {
        let told = telling.tell(&context).await;
        if told.is_err() {
            // A decision takes note of it.
            context.fleet.request_decision(&key);
        }
        told
    }));
    Ok(None)
}

impl Telling {
    async fn tell(self, context: &Context) -> Result<(), WriteError> {
        let pool = &self.pool;
        let pools: Api<BotPool> =
            Api::namespaced(context.client.clone(), &pool.namespace().unwrap_or_default());
        apply_status(&pools, &pool.name_any(), &self.status).await?;
        drop(self.permit);
        context.events.publish_news(&reference(&**pool), &self.news);
        if let Some(note) = &self.scaled {
            context.events.publish(&reference(&**pool), false, "Scaled", note);
        }
        Ok(())
    }
}

fn status(prepared: &Prepared<'_>, applied: &Applied, seen: &Seen, known: &BotPoolStatus) -> BotPoolStatus {
    let decision = &prepared.decision;
    let starting = decision.observation.starting + u32::try_from(applied.created.len()).unwrap_or(0);
    let changed = known.desired != decision.desired || known.decision.is_none();
    // One that lapsed is remembered until the field is set back: an edit in between must not make it look new.
    let manual = prepared.valid.manual.as_ref();
    BotPoolStatus {
        conditions: Vec::new(),
        replicas: decision.observation.ready + starting,
        ready_replicas: prepared.live.ready,
        starting_replicas: starting,
        draining_replicas: prepared.live.draining,
        active: decision.observation.active,
        waiting: decision.observation.waiting,
        desired: decision.desired,
        selector: template::selector(prepared.valid),
        decision: if changed {
            Some(decided(prepared, seen, known.desired))
        } else {
            known.decision.clone()
        },
        r#override: manual.map(|manual| manual.status(prepared.valid.pool.spec.scaling.manual.mode)),
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the cast saturates, and growth is not negative"
)]
fn decided(prepared: &Prepared<'_>, seen: &Seen, from: u32) -> DecisionStatus {
    let decision = &prepared.decision;
    DecisionStatus {
        at: Time(whole_seconds(seen.time)),
        from,
        to: decision.desired,
        binding: decision.binding.as_str().to_owned(),
        active: decision.observation.active,
        waiting: decision.observation.waiting,
        growth: decision.growth.ceil() as u32,
        react: decision.react(),
        forecast: decision.forecast_needed,
        plan: decision.plan,
        floor: decision.floor,
        ceiling: decision.ceiling,
    }
}
