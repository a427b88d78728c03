//! Every figure of a course, computed from the files that it left in its folder, and from nothing else but the seconds of its phases.

mod pods;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use anyhow::Context as _;
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::course::Event;
use crate::load::ledger::{LEDGER, LedgerLine};

pub use pods::{PodEvent, read_pod_events};
pub(crate) use pods::{Rise, first_pods};

/// What happened and when.
pub const EVENTS: &str = "events.jsonl";
/// What billing's export printed.
pub const INTERACTIONS: &str = "interactions.jsonl";
/// The invoices.
pub const INVOICES: &str = "invoices.json";
/// The API server's audit log of pods.
pub const AUDIT: &str = "audit.log";
/// What kubectl showed at the peak.
pub const KUBECTL: &str = "kubectl-get.txt";
/// The figures.
pub const REPORT: &str = "report.json";
/// Which questions were asked: `{"tenant","questions_file"}`, and each question's right answer.
pub const QUESTIONS: &str = "questions.jsonl";

/// A conversation that begins is active at its worker, or waits at its gateway, within this.
const BEGIN_MS: i64 = 1_000;
/// A killed leader's successor decides within this.
const FAILOVER_MS: i64 = 10_000;
/// A killed gateway's container is back within this.
const GATEWAY_REPLACED_MS: i64 = 5_000;
/// Turns sent within this after a kill may have been struck by it.
const AFTER_KILL_MS: i64 = 15_000;

/// A billed turn, as billing exports it.
#[derive(Clone, Debug, Deserialize)]
pub struct Interaction {
    /// Whose.
    pub tenant: String,
    /// Id of the conversation.
    pub conversation: String,
    /// Id of the turn.
    pub turn: String,
    /// interactions or unanswered.
    pub meter: String,
    /// Who reported it.
    pub witnesses: BTreeSet<String>,
}

/// A question that was asked, and what answers it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AskedQuestion {
    /// Whose customers asked it.
    pub tenant: String,
    /// Number, from 0, of its line in the questions file.
    pub question_id: usize,
    /// Id of the entry that answers it; null if none does.
    pub answer_id: Option<String>,
}

/// The figures.
#[derive(Clone, Debug, Serialize)]
#[expect(
    missing_docs,
    reason = "the field names are the figures' names; how each is computed is said in `compute`"
)]
pub struct Report {
    pub conversations: usize,
    pub turns_sent: usize,
    pub answers: usize,
    pub answered_twice: usize,
    pub lost: usize,
    pub moved: usize,
    pub billed_interactions: usize,
    pub metered_turns: usize,
    pub billed_but_not_received: usize,
    pub received_but_not_billed: usize,
    pub witnesses: BTreeMap<&'static str, usize>,
    pub answers_kind: BTreeMap<&'static str, usize>,
    pub top1_right_share: f64,
    pub top1_right_share_by_tenant: BTreeMap<String, f64>,
    pub first_answer_s: Option<f64>,
    pub first_answer_s_by_tenant: BTreeMap<String, f64>,
    pub step_to_create_ms: Steps,
    pub promotion: BTreeMap<&'static str, Value>,
    pub pause_ms: BTreeMap<&'static str, Option<i64>>,
    pub operator_decides_again_s: Option<f64>,
    pub open_at_events: BTreeMap<String, u64>,
    pub fullest_scale_in: Option<ScaleIn>,
    pub invoices: Value,
    pub phases_s: BTreeMap<String, f64>,
    pub total_s: f64,
}

impl Report {
    /// What the course promises and did not keep, a sentence each.
    pub fn broken_promises(&self) -> Vec<String> {
        let answered_billed = self.answers_kind.get("unique").copied().unwrap_or(0)
            + self.answers_kind.get("list").copied().unwrap_or(0);
        let promises = [
            (self.lost == 0, format!("{} turns were never answered", self.lost)),
            (
                self.answered_twice == 0,
                format!("{} turns were answered twice", self.answered_twice),
            ),
            (
                self.billed_interactions == answered_billed,
                format!(
                    "{} interactions were billed, {answered_billed} answers and lists received",
                    self.billed_interactions
                ),
            ),
            (
                self.metered_turns == self.answers,
                format!(
                    "{} turns were metered, {} answered",
                    self.metered_turns, self.answers
                ),
            ),
            (
                self.billed_but_not_received == 0,
                format!("{} billed turns were not received", self.billed_but_not_received),
            ),
            (
                self.received_but_not_billed == 0,
                format!("{} received turns were not billed", self.received_but_not_billed),
            ),
        ];
        promises
            .into_iter()
            .filter(|(kept, _)| !kept)
            .map(|(_, sentence)| sentence)
            .collect()
    }
}

/// From a rise in load, as its worker or gateway measured it, to the API server's receipt of the first pod that the
/// operator created for it, in milliseconds.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Steps {
    /// Rises that needed a pod.
    pub n: usize,
    /// Of them, those before which, within a second, the ledger has the first turn of a conversation of that tenant.
    pub confirmed_by_ledger: usize,
    /// Rises within ten seconds of the leader's death, which are counted here and not above.
    pub in_failover: usize,
    /// The longest of those, in milliseconds.
    pub in_failover_max: Option<i64>,
    /// Pods that were created for a rise.
    pub pods: usize,
    /// Pods that were created for another reason: a minimum, a promotion, an override, in another's place.
    pub pods_for_other_reasons: usize,
    /// Median.
    pub p50: Option<i64>,
    /// 99th percentile, nearest rank.
    pub p99: Option<i64>,
    /// Largest.
    pub max: Option<i64>,
}

/// Of the pods that the operator deleted, the one at which most conversations were open.
#[derive(Clone, Debug, Serialize)]
pub struct ScaleIn {
    /// When.
    pub at: Timestamp,
    /// Conversations that were open then: begun and not yet at their last answer, by the ledger.
    pub open: usize,
}

/// The ledger of a folder.
pub fn read_ledger(folder: &Path) -> anyhow::Result<Vec<LedgerLine>> {
    read_lines(&folder.join(LEDGER))
}

pub(crate) fn read_lines<T: DeserializeOwned>(file: &Path) -> anyhow::Result<Vec<T>> {
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    text.lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty())
        .map(|(number, line)| {
            serde_json::from_str(line).with_context(|| format!("{}, line {}", file.display(), number + 1))
        })
        .collect()
}

/// Computes all figures of the files in `folder`.
pub fn compute(folder: &Path, phases: &[(String, f64)]) -> anyhow::Result<Report> {
    let ledger = read_ledger(folder)?;
    let interactions: Vec<Interaction> = read_lines(&folder.join(INTERACTIONS))?;
    let events: Vec<Event> = read_lines(&folder.join(EVENTS))?;
    let asked: Vec<AskedQuestion> = read_lines(&folder.join(QUESTIONS))?;
    let mut pods = read_pod_events(&folder.join(AUDIT))?;
    pods.retain(|pod| pod.by_operator);
    let invoices: Value = serde_json::from_str(&std::fs::read_to_string(folder.join(INVOICES))?)?;

    let answered: Vec<_> = ledger.iter().filter(|line| line.answered.is_some()).collect();
    let received: BTreeSet<_> = answered.iter().map(|line| key(line)).collect();
    let metered: BTreeSet<_> = interactions
        .iter()
        .map(|one| (one.tenant.as_str(), one.conversation.as_str(), one.turn.as_str()))
        .collect();
    let kind = |kind: &str| {
        answered
            .iter()
            .filter(|line| line.kind.as_deref() == Some(kind))
            .count()
    };
    let (right, right_by_tenant) = right_at_once(&answered, &asked);
    let deleted = pods.iter().filter(|pod| pod.verb == "delete");
    let scale_ins = deleted.map(|pod| ScaleIn {
        at: pod.at,
        open: open_at(&ledger, pod.at),
    });
    let fullest_scale_in = scale_ins.max_by_key(|scale_in| scale_in.open);
    Ok(Report {
        conversations: ledger
            .iter()
            .map(|line| (&line.tenant, &line.conversation))
            .collect::<BTreeSet<_>>()
            .len(),
        turns_sent: ledger.len(),
        answers: answered.len(),
        answered_twice: (answered.len() - received.len()) + (interactions.len() - metered.len()),
        lost: ledger.len() - answered.len(),
        moved: moved(&ledger),
        billed_interactions: interactions
            .iter()
            .filter(|one| one.meter == "interactions")
            .count(),
        metered_turns: interactions.len(),
        billed_but_not_received: metered.difference(&received).count(),
        received_but_not_billed: received.difference(&metered).count(),
        witnesses: witnesses(&interactions),
        answers_kind: [
            ("unique", kind("unique")),
            ("list", kind("list")),
            ("sorry", kind("sorry")),
        ]
        .into(),
        top1_right_share: right,
        top1_right_share_by_tenant: right_by_tenant,
        first_answer_s: first_answers(&events, &ledger)
            .into_values()
            .max_by(f64::total_cmp),
        first_answer_s_by_tenant: first_answers(&events, &ledger),
        step_to_create_ms: steps(&pods, &ledger, leader_killed(&events)),
        promotion: promotion(&events),
        pause_ms: [
            ("worker_kill_p99", pause_of_moved(&events, &ledger)),
            ("gateway_kill_p99", pause_after_gateway_kill(&events, &ledger)),
        ]
        .into(),
        operator_decides_again_s: between(&events, "operator_kill", "operator_decides"),
        open_at_events: events
            .iter()
            .filter(|event| event.open > 0)
            .map(|event| (event.event.clone(), event.open))
            .collect(),
        fullest_scale_in,
        invoices: invoice_summary(&invoices),
        phases_s: phases.iter().cloned().collect(),
        total_s: phases.iter().map(|(_, seconds)| seconds).sum(),
    })
}

/// Writes `report.json`.
pub fn write(folder: &Path, report: &Report) -> anyhow::Result<()> {
    let text = serde_json::to_string_pretty(report)? + "\n";
    std::fs::write(folder.join(REPORT), text).context("cannot write the report")
}

fn key(line: &LedgerLine) -> (&str, &str, &str) {
    (&line.tenant, &line.conversation, &line.turn)
}

fn witnesses(interactions: &[Interaction]) -> BTreeMap<&'static str, usize> {
    let has = |one: &Interaction, witness: &str| one.witnesses.contains(witness);
    let count = |check: &dyn Fn(&Interaction) -> bool| interactions.iter().filter(|one| check(one)).count();
    [
        ("worker", count(&|one| has(one, "worker"))),
        ("gateway", count(&|one| has(one, "gateway"))),
        ("both", count(&|one| has(one, "worker") && has(one, "gateway"))),
    ]
    .into()
}

/// Share of the asked questions that have an answer and got it, as the one answer, at once.
fn right_at_once(answered: &[&LedgerLine], asked: &[AskedQuestion]) -> (f64, BTreeMap<String, f64>) {
    let wanted: HashMap<_, _> = asked
        .iter()
        .filter_map(|one| Some(((one.tenant.as_str(), one.question_id), one.answer_id.as_deref()?)))
        .collect();
    let mut counts: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    for line in answered {
        if let Some(right) = wanted.get(&(line.tenant.as_str(), line.question_id)) {
            let (all, hits) = counts.entry(line.tenant.clone()).or_default();
            *all += 1;
            *hits += usize::from(
                line.kind.as_deref() == Some("unique") && line.answer_id.as_deref() == Some(right),
            );
        }
    }
    let share = |(all, hits): (usize, usize)| if all == 0 { 0.0 } else { hits as f64 / all as f64 };
    let total = counts
        .values()
        .fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    (
        share(total),
        counts
            .into_iter()
            .map(|(tenant, one)| (tenant, share(one)))
            .collect(),
    )
}

/// Conversations that at least two workers answered.
fn moved(ledger: &[LedgerLine]) -> usize {
    let mut workers: HashMap<_, BTreeSet<&str>> = HashMap::new();
    for line in ledger {
        if let Some(worker) = &line.worker {
            workers
                .entry((&line.tenant, &line.conversation))
                .or_default()
                .insert(worker);
        }
    }
    workers.values().filter(|workers| workers.len() > 1).count()
}

fn open_at(ledger: &[LedgerLine], at: Timestamp) -> usize {
    let mut spans: HashMap<_, (Timestamp, Timestamp)> = HashMap::new();
    for line in ledger {
        let last = line.answered.unwrap_or(line.sent);
        let span = spans
            .entry((&line.tenant, &line.conversation))
            .or_insert((line.sent, last));
        *span = (span.0.min(line.sent), span.1.max(last));
    }
    spans
        .values()
        .filter(|(first, last)| *first <= at && at <= *last)
        .count()
}

/// Seconds from `kubectl apply` of a tenant to its first answer.
fn first_answers(events: &[Event], ledger: &[LedgerLine]) -> BTreeMap<String, f64> {
    let applied = events.iter().filter(|event| event.event == "tenant_apply");
    applied
        .filter_map(|event| {
            let first = ledger
                .iter()
                .filter(|line| line.tenant == event.target)
                .filter_map(|line| line.answered)
                .min()?;
            Some((event.target.clone(), first.duration_since(event.at).as_secs_f64()))
        })
        .collect()
}

fn leader_killed(events: &[Event]) -> Option<Timestamp> {
    Some(events.iter().find(|event| event.event == "operator_kill")?.at)
}

fn steps(pods: &[PodEvent], ledger: &[LedgerLine], leader_killed: Option<Timestamp>) -> Steps {
    let created: Vec<_> = pods.iter().filter(|pod| pod.verb == "create").collect();
    let first = first_pods(pods);
    let begins = begins(ledger);
    let in_failover =
        |rise: &Rise| leader_killed.is_some_and(|at| (0..=FAILOVER_MS).contains(&after(at, rise.at)));
    let (failover, first): (BTreeMap<_, _>, BTreeMap<_, _>) =
        first.into_iter().partition(|(rise, _)| in_failover(rise));
    let confirmed = first.keys().filter(|rise| {
        let begun = begins.get(rise.tenant.as_str());
        let last = begun.and_then(|begun| begun.range(..=rise.at).next_back());
        last.is_some_and(|last| after(*last, rise.at) <= BEGIN_MS)
    });
    let confirmed_by_ledger = confirmed.count();
    let mut milliseconds: Vec<i64> = first.iter().map(|(rise, at)| after(rise.at, *at)).collect();
    milliseconds.sort_unstable();
    let for_rises = created.iter().filter(|pod| pod.rise.is_some()).count();
    Steps {
        n: milliseconds.len(),
        confirmed_by_ledger,
        in_failover: failover.len(),
        in_failover_max: failover.iter().map(|(rise, at)| after(rise.at, *at)).max(),
        pods: for_rises,
        pods_for_other_reasons: created.len() - for_rises,
        p50: percentile(&milliseconds, 50),
        p99: percentile(&milliseconds, 99),
        max: milliseconds.last().copied(),
    }
}

/// When conversations of each tenant began.
fn begins(ledger: &[LedgerLine]) -> HashMap<&str, BTreeSet<Timestamp>> {
    let mut first: HashMap<_, Timestamp> = HashMap::new();
    for line in ledger {
        let begun = first
            .entry((line.tenant.as_str(), line.conversation.as_str()))
            .or_insert(line.sent);
        *begun = (*begun).min(line.sent);
    }
    let mut begins: HashMap<&str, BTreeSet<Timestamp>> = HashMap::new();
    for ((tenant, _), begun) in first {
        begins.entry(tenant).or_default().insert(begun);
    }
    begins
}

/// Nearest rank, of sorted values.
pub(crate) fn percentile(sorted: &[i64], percent: usize) -> Option<i64> {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.checked_sub(1)?).copied()
}

fn promotion(events: &[Event]) -> BTreeMap<&'static str, Value> {
    let Some(open) = events.iter().find(|event| event.event == "promotion_open") else {
        return BTreeMap::new();
    };
    [
        ("wanted", open.detail["floor"].clone()),
        ("ready_at_open", open.detail["ready"].clone()),
    ]
    .into()
}

/// Answer times of the turns whose conversation was on the killed worker before.
fn pause_of_moved(events: &[Event], ledger: &[LedgerLine]) -> Option<i64> {
    let kill = events.iter().find(|event| event.event == "worker_kill")?;
    // What a gateway's end does to a turn is another figure.
    let next = events
        .iter()
        .find(|event| event.event == "gateway_kill")
        .map_or(Timestamp::MAX, |event| event.at);
    let mut before: HashMap<_, &LedgerLine> = HashMap::new();
    let mut pauses = Vec::new();
    let mut lines: Vec<_> = ledger.iter().collect();
    lines.sort_by_key(|line| line.sent);
    for line in lines {
        let last = before.insert((&line.tenant, &line.conversation), line);
        let was_there = last.is_some_and(|last| last.worker.as_deref() == Some(kill.target.as_str()));
        if was_there
            && after(kill.at, line.sent) <= AFTER_KILL_MS
            && line.answered.is_some_and(|at| at > kill.at && at < next)
        {
            pauses.extend(
                line.answered
                    .map(|answered| after(line.sent.max(kill.at), answered)),
            );
        }
    }
    pauses.sort_unstable();
    percentile(&pauses, 99)
}

/// Answer times of the tenant's turns that were under way when its gateway was killed, or sent while it was being replaced.
fn pause_after_gateway_kill(events: &[Event], ledger: &[LedgerLine]) -> Option<i64> {
    let kill = events.iter().find(|event| event.event == "gateway_kill")?;
    let tenant = kill.detail["tenant"].as_str()?;
    let mut pauses: Vec<_> = ledger
        .iter()
        .filter(|line| line.tenant == tenant && after(kill.at, line.sent) <= GATEWAY_REPLACED_MS)
        .filter_map(|line| {
            line.answered
                .filter(|at| *at > kill.at)
                .map(|at| after(line.sent, at))
        })
        .collect();
    pauses.sort_unstable();
    percentile(&pauses, 99)
}

pub(crate) fn after(earlier: Timestamp, later: Timestamp) -> i64 {
    later
        .duration_since(earlier)
        .as_millis()
        .try_into()
        .unwrap_or(i64::MAX)
}

fn between(events: &[Event], first: &str, second: &str) -> Option<f64> {
    let at = |name: &str| {
        events
            .iter()
            .find(|event| event.event == name)
            .map(|event| event.at)
    };
    Some(at(second)?.duration_since(at(first)?).as_secs_f64())
}

/// Of each invoice: tenant, currency, total, and the quantity of its meter `interactions`.
fn invoice_summary(invoices: &Value) -> Value {
    let all = invoices
        .as_array()
        .cloned()
        .or_else(|| invoices["invoices"].as_array().cloned())
        .unwrap_or_default();
    all.iter()
        .map(|invoice| {
            serde_json::json!({
                "tenant": invoice["tenant"], "currency": invoice["currency"], "total": invoice["total"],
                "interactions": counted(invoice), "number": invoice["number"],
            })
        })
        .collect()
}

/// What an invoice counted of the meter `interactions`, included ones too: each of its lines says it.
fn counted(invoice: &Value) -> Option<u64> {
    let lines = invoice["lines"].as_array()?;
    let line = lines.iter().find(|line| line["meter"] == "interactions")?;
    line["counted"].as_str()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(conversation: &str, sent: &str, answered: Option<&str>, worker: &str) -> LedgerLine {
        LedgerLine {
            tenant: "acme".into(),
            conversation: conversation.into(),
            turn: sent.into(),
            question_id: 4,
            sent: sent.parse().unwrap(),
            answered: answered.map(|at| at.parse().unwrap()),
            attempts: 1,
            kind: Some("unique".into()),
            answer_id: Some("right".into()),
            worker: Some(worker.into()),
        }
    }

    #[test]
    fn percentiles_are_by_nearest_rank() {
        assert_eq!(percentile(&[], 99), None);
        assert_eq!(percentile(&[7], 50), Some(7));
        assert_eq!(percentile(&(1..=200).collect::<Vec<_>>(), 99), Some(198));
    }

    #[test]
    fn a_conversation_that_two_workers_answered_was_moved() {
        let ledger = [
            line("one", "2026-11-11T00:00:00Z", Some("2026-11-11T00:00:01Z"), "a"),
            line("one", "2026-11-11T00:00:05Z", Some("2026-11-11T00:00:06Z"), "b"),
            line("two", "2026-11-11T00:00:00Z", None, "a"),
        ];
        assert_eq!(moved(&ledger), 1);
        assert_eq!(open_at(&ledger, "2026-11-11T00:00:03Z".parse().unwrap()), 1);
    }

    #[test]
    fn a_step_counts_from_its_measured_rise_to_its_first_pod_and_once() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let pod = |time: &str, rose: Option<&str>| PodEvent {
            verb: "create".into(),
            namespace: "tenant-acme".into(),
            name: "web-0".into(),
            uid: None,
            at: at(time),
            answered: at(time),
            by_operator: true,
            rise: rose.map(|rose| Rise {
                tenant: "acme".into(),
                by: "web-1".into(),
                at: at(rose),
            }),
        };
        let ledger = [
            line("one", "2026-11-11T00:00:00Z", None, "a"),
            line("one", "2026-11-11T00:00:08Z", None, "a"),
        ];
        let pods = [
            pod("2026-11-11T00:00:00.100Z", Some("2026-11-11T00:00:00.010Z")),
            pod("2026-11-11T00:00:00.400Z", Some("2026-11-11T00:00:00.010Z")),
            pod("2026-11-11T00:00:05Z", None),
            pod("2026-11-11T00:00:09Z", Some("2026-11-11T00:00:08.500Z")),
        ];
        let steps = steps(&pods, &ledger, Some(at("2026-11-11T00:00:30Z")));
        assert_eq!((steps.n, steps.pods, steps.pods_for_other_reasons), (2, 3, 1));
        assert_eq!((steps.p50, steps.p99), (Some(90), Some(500)));
        assert_eq!(
            steps.confirmed_by_ledger, 1,
            "a later turn of a conversation is no begin"
        );
    }
}
