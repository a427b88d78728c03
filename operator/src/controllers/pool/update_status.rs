//! Writes what was found, where it changed: beside the pool's next decisions, which do not wait for it.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{Api, ResourceExt as _};
use parking_lot::Mutex;
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use crate::api::{BotPool, BotPoolStatus, DecisionStatus};
use crate::controllers::apply::{WriteError, apply_status};
use crate::controllers::conditions::{Finding, merge, whole_seconds};
use crate::controllers::context::{Context, reference};
use crate::fleet::PoolKey;

use super::apply::Applied;
use super::build::Prepared;
use super::dereference::Seen;
use super::findings::findings;
use super::memory::PoolMemory;
use super::{PoolError, SAFETY, STATUS_PERIOD, template};

/// Counts of conversations alone are written no more often than this.
const COUNTS_PERIOD: Duration = Duration::from_secs(5);

/// A status that waits for its turn at the API server, or is being written. While it waits, a later one takes its place.
#[derive(Debug)]
pub(super) struct Telling {
    waiting: Arc<Mutex<Option<News>>>,
    /// Ends without a result where the term ends.
    written: AbortOnDropHandle<Option<Result<(), WriteError>>>,
}

/// A status, with what is told when it is written.
#[derive(Debug)]
struct News {
    pool: Arc<BotPool>,
    status: BotPoolStatus,
    findings: Vec<Finding>,
    scaled: Option<String>,
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
    if let Some(Ok(Some(told))) = told.and_then(|telling| telling.written.now_or_never()) {
        told?;
    }
    let known = pool.status.clone().unwrap_or_default();
    let news = news(pool, prepared, applied, seen, &known);
    if let Some(mut waiting) = memory.telling.as_ref().map(|telling| telling.waiting.lock())
        && waiting.is_some()
    {
        *waiting = (news.status != known).then_some(news);
        return Ok(None);
    }
    if news.status == known {
        return Ok(None);
    }
    let since = memory
        .status_written
        .map(|written| seen.now.saturating_sub(written));
    let period = news.period(&known);
    if since.is_some_and(|since| since < period) {
        return Ok(Some(period));
    }
    let counts_only = BotPoolStatus {
        active: known.active,
        waiting: known.waiting,
        ..news.status.clone()
    } == known;
    let early = since.is_some_and(|since| since < COUNTS_PERIOD);
    if counts_only && (early || !context.may_keep_up()) {
        return Ok(None);
    }
    if memory.telling.is_some() {
        return Ok(Some(period));
    }
    memory.status_written = Some(seen.now);
    memory.telling = Some(Telling::begin(context, prepared.valid.key.clone(), news));
    Ok(None)
}

impl Telling {
    fn begin(context: &Arc<Context>, key: PoolKey, news: News) -> Self {
        let waiting = Arc::new(Mutex::new(Some(news)));
        let (context, turn) = (context.clone(), waiting.clone());
        let written = context.clone().beside.spawn(async move {
            let _permit = context.calls.to_tell().await;
            let Some(news) = turn.lock().take() else {
                return Ok(());
            };
            let begun = Instant::now();
            let told = news.tell(&context).await;
            tokio::time::sleep(begun.elapsed()).await;
            if told.is_err() {
                // A decision takes note of it.
                context.fleet.request_decision(&key);
            }
            told
        });
        Self { waiting, written }
    }

    pub(super) fn is_finished(&self) -> bool {
        self.written.is_finished()
    }
}

impl News {
    /// How far workers have come changes several times while one starts, and each write is dear to the API server.
    fn period(&self, known: &BotPoolStatus) -> Duration {
        let is_progress = self.findings.is_empty()
            && self.status.desired == known.desired
            && self.status.r#override == known.r#override;
        if is_progress { SAFETY } else { STATUS_PERIOD }
    }

    async fn tell(self, context: &Context) -> Result<(), WriteError> {
        let pool = &self.pool;
        let pools: Api<BotPool> =
            Api::namespaced(context.client.clone(), &pool.namespace().unwrap_or_default());
        apply_status(&pools, &pool.name_any(), &self.status).await?;
        context.events.publish_news(&reference(&**pool), &self.findings);
        if let Some(note) = &self.scaled {
            context.events.publish(&reference(&**pool), false, "Scaled", note);
        }
        Ok(())
    }
}

/// What differs from what is `known`.
fn news(
    pool: &Arc<BotPool>,
    prepared: &Prepared<'_>,
    applied: &Applied,
    seen: &Seen,
    known: &BotPoolStatus,
) -> News {
    let (conditions, findings) = merge(
        &known.conditions,
        findings(prepared, seen, applied.refused.as_deref()),
        pool.metadata.generation,
        seen.time,
    );
    let status = BotPoolStatus {
        conditions,
        ..status(prepared, applied, seen, known)
    };
    let because = prepared.decision.binding.as_str();
    let scaled = (status.desired != known.desired).then(|| {
        format!(
            "{} to {} workers because of {because}",
            known.desired, status.desired
        )
    });
    News {
        pool: pool.clone(),
        status,
        findings,
        scaled,
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
