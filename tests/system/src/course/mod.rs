//! The demo's course: two client firms, a day of customers in minutes, faults, a manual scale, a promotion, and the bills.
//!
//! All that it claims is computed from the files that it leaves in its folder ([`crate::report`]).

mod billing;
mod events;
mod install;
mod live;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use serde::{Deserialize, Serialize};
use springtide_runtime::clock::{Clock as _, SystemClock};
use tokio::time::Instant;

use crate::cluster::Cluster;
use crate::data::TenantData;
use crate::load::ledger::Ledger;
use crate::load::{Load, PlannedBurst, TenantLoad};
use crate::manifests::{PoolManifest, TenantManifest};
use crate::report::AskedQuestion;
use crate::trace;

pub use install::{Database, SYSTEM, install_charts};

/// The two client firms: name, and name as people read it.
pub const TENANTS: [(&str, &str); 2] = [("acme", "安可商城"), ("bloom", "繁花小店")];
/// The plan of both.
pub const RATE_PLAN: &str = "standard-2026";

/// How long and how hard.
#[derive(Clone, Debug)]
pub struct Scale {
    /// Conversations of both tenants that follow the arrival curves.
    pub conversations: usize,
    /// Turns of each.
    pub turns: u32,
    /// Conversations that a worker takes.
    pub capacity: u32,
    /// Waves of bursts; between two the pools shrink again.
    pub waves: u32,
    /// Bursts of a wave, the tenants in turn.
    pub bursts: u32,
    /// Conversations of a burst: more than a worker takes, so that each needs a new one.
    pub burst_conversations: u32,
    /// Between two bursts.
    pub burst_every: Duration,
}

impl Scale {
    /// The demo's: more than 5,000 conversations, 15,000 turns and 50 steps.
    pub fn demo() -> Self {
        Self {
            conversations: 4_300,
            turns: 3,
            capacity: 12,
            waves: 3,
            bursts: 20,
            burst_conversations: 12,
            burst_every: Duration::from_millis(2_200),
        }
    }
}

/// What a course needs.
pub struct Course {
    /// Where it runs.
    pub cluster: Cluster,
    /// Its folder.
    pub report: PathBuf,
    /// What each tenant knows and is asked.
    pub data: [TenantData; 2],
    /// How much of it.
    pub scale: Scale,
    /// Seconds of phases before this one, by name, to be shown in the report.
    pub phases: Vec<(String, f64)>,
    /// The charts' folder.
    pub charts: PathBuf,
    /// Where billing keeps its data.
    pub database: Database,
}

/// When things happen, from the load's start.
#[derive(Clone, Debug)]
pub(crate) struct Timeline {
    bursts: [Vec<PlannedBurst>; 2],
    worker_kill: Duration,
    gateway_kill: Duration,
    /// When the first tenant's bursts end for the first time.
    falls: Duration,
    scale_up: Duration,
    scale_release: Duration,
    operator_kill: Duration,
    open: Duration,
    end: Duration,
    window: (jiff::Timestamp, jiff::Timestamp),
}

/// Before the first burst.
const LEAD: Duration = Duration::from_secs(12);
/// How long the first tenant's bursts stay after the last burst of a wave, and the second's after that.
const HOLD: Duration = Duration::from_secs(12);
const HOLD_SECOND: Duration = Duration::from_secs(10);
/// Until the pools have shrunk again.
const REST: Duration = Duration::from_secs(12);

impl Timeline {
    /// The last wave holds until the promotion has opened, which is at a whole minute.
    fn new(scale: &Scale, now: jiff::Timestamp) -> anyhow::Result<Self> {
        let seconds = Duration::from_secs;
        let wave = scale.burst_every * scale.bursts;
        let begin = |number: u32| LEAD + (wave + HOLD + HOLD_SECOND + REST) * number;
        let last = scale.waves.saturating_sub(1);
        let ramp_end = begin(last) + wave;
        let whole_minutes = (now + ramp_end + seconds(28)).as_second().div_euclid(60) + 1;
        let start = jiff::Timestamp::from_second(whole_minutes * 60)?;
        let open = Duration::try_from(start.duration_since(now))?;
        let mut bursts = [Vec::new(), Vec::new()];
        for number in 0..scale.waves {
            for place in 0..scale.bursts {
                let second = place % 2 == 1;
                let hold = if second { HOLD + HOLD_SECOND } else { HOLD };
                let until = if number == last {
                    open + seconds(10)
                } else {
                    begin(number) + wave + hold
                };
                let at = begin(number) + scale.burst_every * place;
                bursts[usize::from(second)].push(PlannedBurst {
                    at,
                    until,
                    conversations: scale.burst_conversations,
                });
            }
        }
        // A wave's hold is when most conversations are open.
        let (first, middle) = (begin(0) + wave, begin(last / 2) + wave);
        Ok(Self {
            bursts,
            worker_kill: first + seconds(1),
            gateway_kill: first + seconds(7),
            falls: first + HOLD,
            scale_up: middle + seconds(1),
            scale_release: middle + HOLD.saturating_sub(seconds(2)),
            operator_kill: ramp_end + seconds(4),
            open,
            end: open + seconds(14),
            window: (start, start + jiff::SignedDuration::from_mins(10)),
        })
    }
}

/// An instant that the report needs.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Event {
    /// When, by the clients' clock.
    pub at: jiff::Timestamp,
    /// worker_kill, gateway_kill, operator_kill, operator_decides, scale_up, scale_release, promotion_open, first_answer, …
    pub event: String,
    /// Whom or what it struck.
    pub target: String,
    /// Conversations that were open.
    pub open: u64,
    /// What more there is to say.
    #[serde(default, skip_serializing_if = "serde_json::Value::is_null")]
    pub detail: serde_json::Value,
}

impl Course {
    /// Runs it and leaves its files; `Err` says which promise was not kept.
    pub async fn run(mut self) -> anyhow::Result<crate::report::Report> {
        std::fs::create_dir_all(&self.report)
            .with_context(|| format!("cannot make {}", self.report.display()))?;
        for ((name, _), data) in TENANTS.iter().zip(&self.data) {
            say(&format!(
                "{name}: {} entries of knowledge from {}",
                data.entries.len(),
                data.knowledge_file.display()
            ));
            say(&format!(
                "{name}: {} questions from {}",
                data.questions.len(),
                data.questions_file.display()
            ));
            say(&format!("{name}: arrivals from {}", data.trace_file.display()));
        }
        self.write_questions()?;
        let events = events::Events::create(&self.report.join(crate::report::EVENTS))?;
        let ledger = Ledger::create(&self.report)
            .await
            .context("cannot write the ledger")?;
        self.phase("charts", |course| {
            Box::pin(install_charts(&course.cluster, &course.charts, &course.database))
        })
        .await?;
        let gateways = {
            let begun = Instant::now();
            let gateways = install::take_on_tenants(&self, &events, &ledger).await?;
            self.phases
                .push(("tenants".to_owned(), begun.elapsed().as_secs_f64()));
            gateways
        };
        let begun = Instant::now();
        self.play(&gateways, &events, &ledger).await?;
        ledger.close().await?;
        self.phases
            .push(("load".to_owned(), begun.elapsed().as_secs_f64()));
        let begun = Instant::now();
        self.collect().await?;
        self.phases
            .push(("bills".to_owned(), begun.elapsed().as_secs_f64()));
        let report = crate::report::compute(&self.report, &self.phases)?;
        crate::report::write(&self.report, &report)?;
        for invoice in report.invoices.as_array().into_iter().flatten() {
            let text = |name: &str| invoice[name].as_str().unwrap_or_default();
            let (number, tenant) = (text("number"), text("tenant"));
            let (total, currency) = (text("total"), text("currency"));
            say(&format!(
                "bill {number} of {tenant}: {total} {currency} for {} interactions",
                invoice["interactions"]
            ));
        }
        Ok(report)
    }

    /// Which answers are right, so that the share of right ones can be computed from the folder alone.
    fn write_questions(&self) -> anyhow::Result<()> {
        let mut text = String::new();
        for ((tenant, _), data) in TENANTS.iter().zip(&self.data) {
            for question in &data.questions {
                let asked = AskedQuestion {
                    tenant: (*tenant).to_owned(),
                    question_id: question.id,
                    answer_id: question.answer_id.clone(),
                };
                text += &(serde_json::to_string(&asked)? + "\n");
            }
        }
        std::fs::write(self.report.join(crate::report::QUESTIONS), text).context("cannot write the questions")
    }

    async fn phase<F>(&mut self, name: &str, work: F) -> anyhow::Result<()>
    where
        F: for<'a> FnOnce(&'a Self) -> std::pin::Pin<Box<dyn Future<Output = anyhow::Result<()>> + 'a>>,
    {
        let begun = Instant::now();
        work(self).await.with_context(|| format!("phase {name}"))?;
        let seconds = begun.elapsed().as_secs_f64();
        say(&format!("{name}: {seconds:.1} s"));
        self.phases.push((name.to_owned(), seconds));
        Ok(())
    }

    pub(crate) fn manifest<'a>(&'a self, place: usize, knowledge: &'a [String]) -> TenantManifest<'a> {
        let (name, display_name) = TENANTS[place];
        let pool = PoolManifest {
            conversations: self.scale.capacity,
            min: 2,
            max: 50,
            down_window_seconds: 10,
            drain_seconds: 10,
        };
        TenantManifest {
            name,
            display_name,
            rate_plan: RATE_PLAN,
            limit: 100,
            knowledge,
            pool,
        }
    }

    /// The load and all that happens meanwhile.
    async fn play(
        &self,
        gateways: &[String; 2],
        events: &events::Events,
        ledger: &Ledger,
    ) -> anyhow::Result<()> {
        let timeline = Timeline::new(&self.scale, SystemClock.now())?;
        let tenants = [0, 1].map(|place| self.tenant_load(place, gateways, &timeline));
        let tenants = tenants.into_iter().collect::<anyhow::Result<Vec<_>>>()?;
        let load = Arc::new(Load::start(tenants, 20_261_111, ledger)?);
        let view = tokio::spawn(live::show(
            self.cluster.clone(),
            load.clone(),
            self.report.join("live.jsonl"),
        ));
        let happened = events::play(&self.cluster, &load, events, &timeline, &self.report).await;
        tokio::time::sleep_until(load.started + timeline.end).await;
        view.abort();
        // The view has ended, or is ending: then the load is ours alone.
        drop(view.await);
        let load = Arc::into_inner(load).context("the load is still shared")?;
        load.finish().await;
        happened
    }

    fn tenant_load(
        &self,
        place: usize,
        gateways: &[String; 2],
        timeline: &Timeline,
    ) -> anyhow::Result<TenantLoad> {
        let data = &self.data[place];
        let mut random = StdRng::seed_from_u64(618 + u64::try_from(place)?);
        let curve = trace::first_day(&data.trace_file)?;
        let span = timeline.end.saturating_sub(Duration::from_secs(8));
        Ok(TenantLoad {
            tenant: TENANTS[place].0.to_owned(),
            gateway: gateways[place].clone(),
            questions: data.questions.clone(),
            arrivals: trace::arrivals(&curve, self.scale.conversations / 2, span, &mut random),
            turns: self.scale.turns,
            think: (Duration::from_secs(2), Duration::from_secs(5)),
            bursts: timeline.bursts[place].clone(),
            burst_think: (Duration::from_secs(9), Duration::from_secs(14)),
        })
    }

    /// Waits until billing has everything, then writes what it says, and what the API server and kubectl say.
    async fn collect(&self) -> anyhow::Result<()> {
        let answered = crate::report::read_ledger(&self.report)?
            .iter()
            .filter(|line| line.answered.is_some())
            .count();
        let period = billing::period_of(SystemClock.now())?;
        billing::export_when_complete(
            &self.cluster,
            &period,
            answered,
            &self.report.join(crate::report::INTERACTIONS),
        )
        .await?;
        let invoices = billing::issue_invoices(&self.cluster, &period).await?;
        std::fs::write(self.report.join(crate::report::INVOICES), invoices)?;
        copy_pod_events(&self.cluster.audit_log, &self.report.join(crate::report::AUDIT))
    }
}

/// The audit log is the API server's own; only lines on pods are kept.
fn copy_pod_events(from: &Path, to: &Path) -> anyhow::Result<()> {
    let text = std::fs::read_to_string(from).with_context(|| format!("cannot read {}", from.display()))?;
    let kept: String = text
        .lines()
        .filter(|line| line.contains("\"resource\":\"pods\""))
        .flat_map(|line| [line, "\n"])
        .collect();
    std::fs::write(to, kept).with_context(|| format!("cannot write {}", to.display()))
}

/// Progress goes to standard error.
pub(crate) fn say(line: &str) {
    eprintln!("  {line}");
}
