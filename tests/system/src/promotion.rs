//! A promotion of three times the load on a real cluster: when all that it asked for answers, and whether customers who come all
//! at once find it there.
//!
//! A pool has some conversations; a promotion of +200 % is applied that opens minutes later. Its status is watched until all of
//! its workers answer. Then three times as many conversations as before begin at one instant. All figures are computed from
//! what the run leaves in its folder.

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use springtide_runtime::clock::{Clock as _, SystemClock};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::cluster::Cluster;
use crate::course::{RATE_PLAN, say};
use crate::data::TenantData;
use crate::load::{Client, send_until_answered};
use crate::manifests::{PoolManifest, TenantManifest, promotion, rate_plan};
use crate::report::{percentile, read_lines};

const TENANT: &str = "festival";
const NAMESPACE: &str = "tenant-festival";
const NAME: &str = "festival-three-times";
/// What the promotion's status said, again and again.
const WATCHED: &str = "watched.jsonl";
/// Customers who came at once.
const CUSTOMERS: &str = "customers.jsonl";
/// What else the figures need.
const FACTS: &str = "facts.json";
const FIGURES: &str = "promotion.json";
const LIMIT: Duration = Duration::from_secs(90);
const LOOK: Duration = Duration::from_millis(250);
/// All of it is asked for so long before the window opens, and has [`SLACK`] to come.
const READY_BY_SECONDS: u32 = 300;
const SLACK: Duration = Duration::from_secs(75);
/// Conversations that one worker takes.
const CAPACITY: u32 = 4;

/// How much.
#[derive(clap::Args, Clone, Copy, Debug, Serialize, Deserialize)]
pub struct Size {
    /// Conversations before the promotion, each with a place
    #[arg(long, default_value_t = 24, value_name = "COUNT")]
    pub conversations: u32,
}

/// What the API server said of the promotion.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Watched {
    at: Timestamp,
    phase: String,
    wanted: u64,
    ready: u64,
    prewarm_ready: Option<String>,
}

/// A customer who came with all others.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Came {
    conversation: String,
    milliseconds: u64,
    waited: u32,
    answered: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Facts {
    size: Size,
    opens: Timestamp,
    applied: Timestamp,
    load_before: u64,
    baseline_from: String,
    /// Reasons of Events on the promotion.
    events: Vec<String>,
}

/// The figures.
#[derive(Clone, Debug, Serialize)]
#[expect(
    missing_docs,
    reason = "the field names are the figures' names; how each is computed is said in `compute`"
)]
pub struct Figures {
    pub load_before: u64,
    pub baseline_from: String,
    pub workers_before: u64,
    pub workers_wanted: u64,
    pub all_answering_after_apply_s: Option<f64>,
    pub all_answering_before_opening_s: Option<f64>,
    pub customers_at_once: usize,
    pub not_answered: usize,
    pub told_to_wait: usize,
    pub answered_ms_p50: Option<i64>,
    pub answered_ms_p99: Option<i64>,
    pub answered_ms_max: Option<i64>,
    pub events: Vec<String>,
}

/// Plays it in `folder`; the figures are also in `promotion.json`. The tenant and the promotion are gone when it returns.
pub async fn run(cluster: &Cluster, size: Size, folder: &Path) -> anyhow::Result<Figures> {
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let played = play(cluster, size, folder).await;
    let timeout = format!("--timeout={}s", LIMIT.as_secs());
    for (kind, name) in [("promo", NAME), ("tn", TENANT)] {
        let words = [
            "delete",
            kind,
            name,
            "--ignore-not-found",
            "--wait=true",
            &timeout,
        ];
        cluster.kubectl(&words).await?;
    }
    played?;
    let figures = compute(folder)?;
    std::fs::write(
        folder.join(FIGURES),
        serde_json::to_string_pretty(&figures)? + "\n",
    )?;
    Ok(figures)
}

async fn play(cluster: &Cluster, size: Size, folder: &Path) -> anyhow::Result<()> {
    let data = TenantData::shipped("arrivals_evening.csv")?;
    let url = take_on(cluster, &data, size).await?;
    let load_before = have_conversations(cluster, &data, &url, size).await?;
    let applied = SystemClock.now();
    let opens = whole_minute_after(applied + Duration::from_secs(READY_BY_SECONDS.into()) + SLACK)?;
    let end = opens + jiff::SignedDuration::from_mins(10);
    let boost = json!({"percent": "200"});
    cluster
        .apply(&promotion(NAME, TENANT, opens, end, READY_BY_SECONDS, &boost))
        .await?;
    let status = watch(cluster, opens, folder).await?;
    say(&format!("all workers of {NAME} answer"));
    come_at_once(&data, &url, 3 * size.conversations, folder).await?;
    let facts = Facts {
        size,
        opens,
        applied,
        load_before,
        baseline_from: text(&status, "/pools/0/baselineFrom"),
        events: events(cluster).await?,
    };
    std::fs::write(folder.join(FACTS), serde_json::to_string_pretty(&facts)? + "\n")?;
    Ok(())
}

fn text(value: &Value, path: &str) -> String {
    value
        .pointer(path)
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned()
}

fn whole_minute_after(time: Timestamp) -> anyhow::Result<Timestamp> {
    Ok(Timestamp::from_second(
        (time.as_second().div_euclid(60) + 1) * 60,
    )?)
}

/// Its gateways' URL.
async fn take_on(cluster: &Cluster, data: &TenantData, size: Size) -> anyhow::Result<String> {
    cluster.apply(&rate_plan(RATE_PLAN)).await?;
    let most = 4 * size.conversations.div_ceil(CAPACITY) + 8;
    let manifest = TenantManifest {
        name: TENANT,
        display_name: "佳节商城",
        rate_plan: RATE_PLAN,
        limit: most,
        knowledge: &data.knowledge_parts()?,
        pool: PoolManifest {
            conversations: CAPACITY,
            min: 1,
            max: most,
            down_window_seconds: 60,
            drain_seconds: 10,
        },
    };
    cluster.apply(&manifest.to_yaml()).await?;
    let service = || cluster.service_address(NAMESPACE, "gateway");
    let address = cluster.wait_for("the gateways' service", LIMIT, service).await?;
    Ok(format!("http://{address}"))
}

/// Conversations that begin one by one, are all there at once, and end; the highest load that the pool's status showed.
async fn have_conversations(
    cluster: &Cluster,
    data: &TenantData,
    url: &str,
    size: Size,
) -> anyhow::Result<u64> {
    let question = data.questions.first().context("no question")?;
    let client = Client::new(url)?;
    let mut tokens = Vec::new();
    for number in 0..size.conversations {
        let id = format!("before-{number}");
        let asked = send_until_answered(&client, &id, "t1", &question.text, "", || ()).await;
        let reply = asked.reply.with_context(|| format!("{id} was not answered"))?;
        tokens.push((id, reply.resume_token));
    }
    let load = || async {
        let status = cluster.get(&["bp", "web", "-n", NAMESPACE]).await?["status"].take();
        let active = status["active"].as_u64().unwrap_or_default();
        ensure!(active >= u64::from(size.conversations), "{active} are active");
        Ok(active)
    };
    let load = cluster.wait_for("conversations", LIMIT, load).await?;
    for (id, token) in tokens {
        client.close(&id, &token).await?;
    }
    Ok(load)
}

/// Until all that is wanted answers, or the window opens; the status then.
async fn watch(cluster: &Cluster, opens: Timestamp, folder: &Path) -> anyhow::Result<Value> {
    let mut lines = String::new();
    let status = loop {
        let promotion = cluster.get(&["promo", NAME]).await?;
        let status = &promotion["status"];
        let conditions = status["conditions"].as_array().cloned().unwrap_or_default();
        let prewarm = conditions.iter().find(|one| one["type"] == "PrewarmReady");
        let seen = Watched {
            at: SystemClock.now(),
            phase: text(status, "/phase"),
            wanted: status["wanted"].as_u64().unwrap_or_default(),
            ready: status["ready"].as_u64().unwrap_or_default(),
            prewarm_ready: prewarm.and_then(|one| one["status"].as_str().map(str::to_owned)),
        };
        let done = seen.prewarm_ready.as_deref() == Some("True") || seen.at >= opens;
        lines += &(serde_json::to_string(&seen)? + "\n");
        if done {
            break status.clone();
        }
        tokio::time::sleep(LOOK).await;
    };
    std::fs::write(folder.join(WATCHED), lines)?;
    Ok(status)
}

async fn come_at_once(data: &TenantData, url: &str, customers: u32, folder: &Path) -> anyhow::Result<()> {
    let client = Client::new(url)?;
    let question = data.questions.first().context("no question")?.text.clone();
    let mut coming = JoinSet::new();
    for number in 0..customers {
        let (client, question) = (client.clone(), question.clone());
        coming.spawn(async move {
            let conversation = format!("came-{number}");
            let (begun, waited) = (Instant::now(), AtomicU32::new(0));
            let told = || {
                waited.fetch_add(1, Ordering::Relaxed);
            };
            let asked = send_until_answered(&client, &conversation, "t1", &question, "", told).await;
            let milliseconds = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
            if let Some(reply) = &asked.reply {
                // An error means that silence ends it.
                drop(client.close(&conversation, &reply.resume_token).await);
            }
            Came {
                conversation,
                milliseconds,
                waited: waited.into_inner(),
                answered: asked.reply.is_some(),
            }
        });
    }
    let mut lines = String::new();
    for came in coming.join_all().await {
        lines += &(serde_json::to_string(&came)? + "\n");
    }
    std::fs::write(folder.join(CUSTOMERS), lines).context("cannot write who came")
}

/// Reasons of Events on the promotion.
async fn events(cluster: &Cluster) -> anyhow::Result<Vec<String>> {
    let of = format!("involvedObject.kind=Promotion,involvedObject.name={NAME}");
    let list = cluster.get(&["events", "-A", "--field-selector", &of]).await?;
    let items = list["items"].as_array().cloned().unwrap_or_default();
    let mut reasons: Vec<_> = items.iter().map(|event| text(event, "/reason")).collect();
    reasons.sort();
    reasons.dedup();
    Ok(reasons)
}

/// Computes the figures of the files in `folder`.
pub fn compute(folder: &Path) -> anyhow::Result<Figures> {
    let facts: Facts = serde_json::from_str(&std::fs::read_to_string(folder.join(FACTS))?)?;
    let watched: Vec<Watched> = read_lines(&folder.join(WATCHED))?;
    let came: Vec<Came> = read_lines(&folder.join(CUSTOMERS))?;
    let first = watched.first().context("the promotion was not watched")?;
    let last = watched.last().unwrap_or(first);
    // The condition must not say more than the counts.
    let all = watched.iter().find(|seen| {
        seen.wanted > 0 && seen.ready >= seen.wanted && seen.prewarm_ready.as_deref() == Some("True")
    });
    let seconds = |from: Timestamp, to: Timestamp| to.duration_since(from).as_secs_f64();
    let mut times: Vec<_> = came
        .iter()
        .map(|came| i64::try_from(came.milliseconds).unwrap_or(i64::MAX))
        .collect();
    times.sort_unstable();
    Ok(Figures {
        load_before: facts.load_before,
        baseline_from: facts.baseline_from,
        workers_before: first.ready,
        workers_wanted: last.wanted,
        all_answering_after_apply_s: all.map(|seen| seconds(facts.applied, seen.at)),
        all_answering_before_opening_s: all.map(|seen| seconds(seen.at, facts.opens)),
        customers_at_once: came.len(),
        not_answered: came.iter().filter(|came| !came.answered).count(),
        told_to_wait: came.iter().filter(|came| came.waited > 0).count(),
        answered_ms_p50: percentile(&times, 50),
        answered_ms_p99: percentile(&times, 99),
        answered_ms_max: times.last().copied(),
        events: facts.events,
    })
}
