//! Every figure of a run, computed from the files that it left in its folder.

mod beyond;
mod ways;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::Context as _;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::report::{PodEvent, after, first_pods, percentile, read_lines, read_pod_events};

use super::Size;
use super::notes::Note;
use super::programs::{Account, Machine};
use super::steps::Step;
use beyond::beyond_desired;
use ways::{Ways, ways};

/// What the run was made of.
pub(super) const SIZE: &str = "size.json";
/// What the simulation did.
pub(super) const NOTES: &str = "notes.jsonl";
/// Every step.
pub(super) const STEPS: &str = "steps.jsonl";
/// What was measured of processes.
pub(super) const SAMPLES: &str = "samples.jsonl";
/// Of the API server's audit log.
pub(super) const AUDIT: &str = "audit.log";
/// The figures.
pub(super) const FIGURES: &str = "scale.json";

/// Logs of a replica's starts.
pub(super) fn log(replica: usize, start: u32) -> String {
    format!("operator-{replica}-{start}.log")
}

/// The kernel's accounts and the leader's metrics at one moment.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Sample {
    pub(super) at: Timestamp,
    pub(super) what: String,
    pub(super) leader: Account,
    pub(super) follower: Option<Account>,
    pub(super) metrics: String,
    pub(super) cpu_seconds: BTreeMap<String, f64>,
    pub(super) machine: Machine,
    /// Requests that the API server answered so far, by verb and resource.
    pub(super) requests: BTreeMap<String, f64>,
}

/// The figures.
#[derive(Clone, Debug, Serialize)]
#[expect(
    missing_docs,
    reason = "the field names are the figures' names; how each is computed is said in `compute`"
)]
pub struct Figures {
    pub size: Size,
    pub workers_attached: u64,
    pub window_s: f64,
    pub steps_per_s: f64,
    pub step_late_ms: Spread,
    pub decided_steps_per_s: f64,
    pub step_to_create_ms: Spread,
    pub way_of_step_ms: Ways,
    pub step_to_decision: Decisions,
    pub operator_cores: f64,
    pub operator_waited_for_a_core: f64,
    pub machine: MachineUse,
    pub operator_most_rss_mib: f64,
    pub operator_most_rss_after_failover_mib: f64,
    pub creations: u64,
    pub creations_beyond_desired: u64,
    pub creations_that_found_the_name_taken: u64,
    pub deletions: u64,
    pub opposing_writes: u64,
    pub overrides_given: u64,
    pub leader_lost: Failover,
    pub api_server: ApiServer,
    pub cores_by_program: BTreeMap<String, f64>,
}

/// Milliseconds.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Spread {
    pub n: usize,
    pub p50: Option<i64>,
    pub p99: Option<i64>,
    pub max: Option<i64>,
}

/// How busy the machine was on which all of it ran.
#[derive(Clone, Debug, Default, Serialize)]
pub struct MachineUse {
    /// Its processors.
    pub processors: usize,
    /// Of the window, the share in which at least one task could run and had no processor.
    pub some_waited_share: Option<f64>,
}

/// From the report of a step until the pool was decided, by the operator's own histogram.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Decisions {
    pub n: u64,
    /// Upper bound of the bucket in which the quantile is.
    pub p50_at_most_ms: Option<f64>,
    pub p99_at_most_ms: Option<f64>,
    pub within_150_ms_share: Option<f64>,
}

/// Seconds after the leader was killed.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Failover {
    /// Until the other one decided a pool for the first time.
    pub decides_again_s: Option<f64>,
    /// Until it created a worker for a step.
    pub creates_again_s: Option<f64>,
    /// Until it had decided all pools.
    pub all_pools_decided_s: Option<f64>,
    /// From steps between its death and the round's end to the call that creates a Pod.
    pub step_to_create_ms: Spread,
}

/// What the API server took.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ApiServer {
    /// Pods created in a second while the pools were filled, and in the best ten seconds of that.
    pub filled_per_s: f64,
    /// See there.
    pub filled_per_s_best: f64,
    /// Pods created and deleted by the operator in a second of the window.
    pub created_per_s: f64,
    /// See there.
    pub deleted_per_s: f64,
    /// Requests in a second of the window, by verb and resource; of those there was at least one in ten seconds.
    pub requests_per_s: BTreeMap<String, f64>,
    /// From its receipt of a create until it had answered, in the window.
    pub create_ms: Spread,
}

/// Computes all figures of the files in `folder`.
pub fn compute(folder: &Path) -> anyhow::Result<Figures> {
    let size: Size = serde_json::from_str(&std::fs::read_to_string(folder.join(SIZE))?)?;
    let notes: Vec<Note> = read_lines(&folder.join(NOTES))?;
    let samples: Vec<Sample> = read_lines(&folder.join(SAMPLES))?;
    let pods = read_pod_events(&folder.join(AUDIT))?;
    let decisions = read_decisions(folder)?;
    let at = |what: &str| {
        let note = notes.iter().find(|note| note.what == what);
        note.map(|note| note.at)
            .with_context(|| format!("nothing is noted of {what}"))
    };
    let sample = |what: &str| {
        let sample = samples.iter().find(|sample| sample.what == what);
        sample.with_context(|| format!("there is no sample {what}"))
    };
    let (begin, end, late) = (sample("begin")?, sample("end")?, sample("after")?);
    let window = begin.at..end.at;
    let window_s = end.at.duration_since(begin.at).as_secs_f64();
    let steps: Vec<Step> = read_lines(&folder.join(STEPS))?;
    let taken: Vec<_> = steps.iter().filter(|step| window.contains(&step.at)).collect();
    let decided = decided(&begin.metrics, &end.metrics);
    let some_waited = begin
        .machine
        .some_waited_seconds
        .zip(end.machine.some_waited_seconds);
    let mebibytes = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let pool_writes = pool_writes(&folder.join(AUDIT))?;
    let count = |verb: &str| {
        pods.iter()
            .filter(|pod| pod.verb == verb && pod.by_operator)
            .count() as u64
    };
    Ok(Figures {
        workers_attached: metric(&begin.metrics, "springtide_attached_streams{peer=\"worker\"}"),
        window_s,
        steps_per_s: taken.len() as f64 / window_s,
        step_late_ms: spread(
            taken
                .iter()
                .map(|step| i64::try_from(step.late_ms).unwrap_or(i64::MAX)),
        ),
        decided_steps_per_s: decided.n as f64 / window_s,
        step_to_create_ms: steps_in(&pods, &window),
        way_of_step_ms: ways(&pods, &steps, &decisions, &window),
        step_to_decision: decided,
        operator_cores: (end.leader.cpu_seconds - begin.leader.cpu_seconds) / window_s,
        operator_waited_for_a_core: (end.leader.waited_seconds - begin.leader.waited_seconds) / window_s,
        machine: MachineUse {
            processors: end.machine.processors,
            some_waited_share: some_waited.map(|(before, after)| (after - before) / window_s),
        },
        operator_most_rss_mib: mebibytes(end.leader.most_rss_bytes),
        operator_most_rss_after_failover_mib: mebibytes(late.leader.most_rss_bytes),
        creations: count("create"),
        creations_beyond_desired: beyond_desired(&pods, &decisions, &notes),
        creations_that_found_the_name_taken: metric(&end.metrics, "springtide_worker_names_taken_total")
            + metric(&late.metrics, "springtide_worker_names_taken_total"),
        deletions: count("delete"),
        opposing_writes: pool_writes.by_operator,
        overrides_given: pool_writes.by_others,
        leader_lost: failover(&pods, &decisions, size.pools, at("leader_killed")?, at("over")?),
        api_server: ApiServer {
            requests_per_s: per_second(&begin.requests, &end.requests, window_s, 0.1),
            ..api_server(&pods, &window, at("make_pools")?..at("filled")?)
        },
        cores_by_program: per_second(&begin.cpu_seconds, &end.cpu_seconds, window_s, 0.01),
        size,
    })
}

/// A pool was decided: so many workers there should be from then on.
struct Decided {
    at: Timestamp,
    pool: String,
    to: u32,
}

/// By all replicas, in order.
fn read_decisions(folder: &Path) -> anyhow::Result<Vec<Decided>> {
    let mut decisions = Vec::new();
    for replica in 0..2 {
        for start in 0..2 {
            let file = folder.join(log(replica, start));
            if !file.exists() {
                continue;
            }
            // The last line of a killed process may be half a line.
            for line in std::fs::read_to_string(&file)?.lines() {
                let Ok(line) = serde_json::from_str::<Value>(line) else {
                    continue;
                };
                if line["message"] == "decided"
                    && let (Some(at), Some(pool), Some(to)) = (
                        line["timestamp"].as_str(),
                        line["pool"].as_str(),
                        line["to"].as_u64(),
                    )
                {
                    decisions.push(Decided {
                        at: at.parse()?,
                        pool: pool.to_owned(),
                        to: u32::try_from(to)?,
                    });
                }
            }
        }
    }
    decisions.sort_by_key(|decision| decision.at);
    Ok(decisions)
}

fn spread(milliseconds: impl Iterator<Item = i64>) -> Spread {
    let mut sorted: Vec<_> = milliseconds.collect();
    sorted.sort_unstable();
    Spread {
        n: sorted.len(),
        p50: percentile(&sorted, 50),
        p99: percentile(&sorted, 99),
        max: sorted.last().copied(),
    }
}

/// Of rises that were reported in that time: from the report to the API server's receipt of the create.
fn steps_in(pods: &[PodEvent], time: &std::ops::Range<Timestamp>) -> Spread {
    let first = first_pods(pods);
    let within = first.into_iter().filter(|(rise, _)| time.contains(&rise.at));
    spread(within.map(|(rise, at)| after(rise.at, at)))
}

/// Whose worker a Pod is, as the operator's log names pools.
fn pool_of(pod: &PodEvent) -> String {
    let tenant = pod.namespace.strip_prefix("tenant-").unwrap_or_default();
    let pool = pod.name.rsplit_once('-').map_or("", |(pool, _)| pool);
    format!("{tenant}/{pool}")
}

/// Writes into pools, statuses aside.
#[derive(Default)]
struct PoolWrites {
    by_operator: u64,
    by_others: u64,
}

fn pool_writes(file: &Path) -> anyhow::Result<PoolWrites> {
    let mut writes = PoolWrites::default();
    for line in read_lines::<Value>(file)? {
        let subresource = line.pointer("/objectRef/subresource").and_then(Value::as_str);
        if line.pointer("/objectRef/resource") != Some(&"botpools".into()) || subresource == Some("status") {
            continue;
        }
        let user = line
            .pointer("/user/username")
            .and_then(Value::as_str)
            .unwrap_or_default();
        if user.ends_with(":springtide-operator") {
            writes.by_operator += 1;
        } else {
            writes.by_others += 1;
        }
    }
    Ok(writes)
}

fn failover(
    pods: &[PodEvent],
    decisions: &[Decided],
    pools: u32,
    killed: Timestamp,
    over: Timestamp,
) -> Failover {
    let seconds = |at: Timestamp| at.duration_since(killed).as_secs_f64();
    let later: Vec<_> = decisions.iter().filter(|decision| decision.at > killed).collect();
    let mut seen = BTreeSet::new();
    let all = later.iter().find(|decision| {
        seen.insert(decision.pool.as_str());
        seen.len() == usize::try_from(pools).unwrap_or(usize::MAX)
    });
    // What the API server got before is the killed leader's.
    let created = later.first().and_then(|first| {
        let mut after = pods.iter().filter(|pod| pod.at > first.at);
        after.find(|pod| pod.verb == "create" && pod.rise.is_some())
    });
    Failover {
        decides_again_s: later.first().map(|decision| seconds(decision.at)),
        creates_again_s: created.map(|pod| seconds(pod.at)),
        all_pools_decided_s: all.map(|decision| seconds(decision.at)),
        step_to_create_ms: steps_in(pods, &(killed..over)),
    }
}

fn api_server(
    pods: &[PodEvent],
    window: &std::ops::Range<Timestamp>,
    fill: std::ops::Range<Timestamp>,
) -> ApiServer {
    const BEST_MS: i64 = 10_000;
    let at = |verb: &'static str, time: std::ops::Range<Timestamp>| {
        pods.iter()
            .filter(move |pod| pod.by_operator && pod.verb == verb && time.contains(&pod.at))
    };
    let per_s = |verb: &'static str| {
        at(verb, window.clone()).count() as f64 / window.end.duration_since(window.start).as_secs_f64()
    };
    let filled: Vec<_> = at("create", fill).map(|pod| pod.at).collect();
    let (mut first, mut best) = (0, 0);
    for (place, one) in filled.iter().enumerate() {
        while after(filled[first], *one) > BEST_MS {
            first += 1;
        }
        best = best.max(place + 1 - first);
    }
    let took = filled
        .first()
        .zip(filled.last())
        .map_or(0, |(first, last)| after(*first, *last));
    ApiServer {
        filled_per_s: filled.len() as f64 * 1_000.0 / took.max(1) as f64,
        filled_per_s_best: best as f64 * 1_000.0 / BEST_MS as f64,
        created_per_s: per_s("create"),
        deleted_per_s: per_s("delete"),
        requests_per_s: BTreeMap::new(),
        create_ms: spread(at("create", window.clone()).map(|pod| after(pod.at, pod.answered))),
    }
}

/// What sums gained in a second, where that is at least so much.
fn per_second(
    begin: &BTreeMap<String, f64>,
    end: &BTreeMap<String, f64>,
    window_s: f64,
    least: f64,
) -> BTreeMap<String, f64> {
    let gains = end.iter().map(|(name, sum)| {
        let before = begin.get(name).copied().unwrap_or(0.0);
        (name.clone(), (sum - before) / window_s)
    });
    gains.filter(|(_, gain)| *gain >= least).collect()
}

/// A counter or gauge, by its name and labels as they are written.
fn metric(text: &str, name: &str) -> u64 {
    let value = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    value.and_then(|value| value.parse().ok()).unwrap_or(0)
}

/// What the histogram of decisions gained from one text to the other.
fn decided(begin: &str, end: &str) -> Decisions {
    const NAME: &str = "springtide_step_to_decision_seconds_bucket{le=\"";
    let buckets = |text: &str| -> Vec<(f64, u64)> {
        let lines = text
            .lines()
            .filter_map(|line| line.strip_prefix(NAME)?.split_once("\"} "));
        lines
            .filter_map(|(bound, count)| {
                Some((bound.replace("+Inf", "inf").parse().ok()?, count.parse().ok()?))
            })
            .collect()
    };
    let before = buckets(begin);
    let gained: Vec<_> = buckets(end)
        .into_iter()
        .enumerate()
        .map(|(place, (bound, count))| (bound, count - before.get(place).map_or(0, |(_, count)| *count)))
        .collect();
    let n = gained.last().map_or(0, |(_, count)| *count);
    let quantile = |percent: u64| {
        let rank = (n * percent).div_ceil(100);
        let bucket = gained.iter().find(|(_, count)| n > 0 && *count >= rank);
        bucket.map(|(bound, _)| bound * 1_000.0)
    };
    let within = gained.iter().find(|(bound, _)| (*bound - 0.15).abs() < 1e-9);
    Decisions {
        n,
        p50_at_most_ms: quantile(50),
        p99_at_most_ms: quantile(99),
        within_150_ms_share: within
            .filter(|_| n > 0)
            .map(|(_, count)| *count as f64 / n as f64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_of_decisions_is_of_what_was_added_between_two_looks() {
        let text = |counts: [u32; 3]| {
            let line = |(bound, count)| {
                format!("springtide_step_to_decision_seconds_bucket{{le=\"{bound}\"}} {count}\n")
            };
            ["0.01", "0.15", "+Inf"]
                .into_iter()
                .zip(counts)
                .map(line)
                .collect::<String>()
        };
        let gained = decided(&text([50, 60, 70]), &text([148, 159, 170]));
        assert_eq!(
            (gained.n, gained.p50_at_most_ms, gained.p99_at_most_ms),
            (100, Some(10.0), Some(150.0))
        );
        assert_eq!(gained.within_150_ms_share, Some(0.99));
    }
}
