//! The program is killed, again and again, while usage comes in and bills are issued. `SPRINGTIDE_KILLS` says how often on
//! each database.

use std::collections::VecDeque;
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt as _, SeedableRng as _};
use springtide_billing::store::Store;
use springtide_proto::ids::TenantId;
use springtide_proto::metering::metering_client::MeteringClient;
use springtide_proto::metering::{Record, ReportRequest, Witness};
use springtide_runtime::identity::{PeerIdentity, TenantRole};
use tokio::task::JoinSet;

use super::books::{self, Acknowledged, TENTH};
use super::server::{Connector, Program, binary, postgres_url, record_of, register_tenant};

const KILLS: usize = 40;
const TENANTS: [&str; 3] = ["acme", "beta", "gamma"];
/// Months that usage lies in, up to October 2026.
const MONTHS: usize = 60;

/// What senders and killer share.
#[derive(Default)]
pub(crate) struct Traffic {
    in_flight: AtomicUsize,
    is_over: AtomicBool,
    /// Turns are counted from it.
    beginning: usize,
    pub(crate) acknowledged: Mutex<Acknowledged>,
}

impl Traffic {
    /// Of turns that none before had, if that began far enough from it.
    pub(crate) fn beginning_at(beginning: usize) -> Self {
        Self {
            beginning,
            ..Self::default()
        }
    }
}

/// A batch as it is remembered: turn and month of each interaction.
type Batch = Vec<(String, String)>;

fn month(number: usize) -> String {
    let since = 2021 * 12 + 10 + number % MONTHS;
    format!("{:04}-{:02}", since / 12, since % 12 + 1)
}

/// Sends a batch until it is acknowledged, as spools do.
async fn send(connector: &Connector, tenant: &str, witness: Witness, batch: &Batch, traffic: &Traffic) {
    let role = match witness {
        Witness::Gateway => TenantRole::Gateway,
        _ => TenantRole::Worker,
    };
    let identity = PeerIdentity::tenant(&TenantId::parse(tenant).unwrap(), role);
    let records: Vec<Record> = batch
        .iter()
        .map(|(turn, month)| record_of(tenant, turn, &format!("{month}-11T10:20:30Z"), witness))
        .collect();
    loop {
        if let Some(channel) = connector.channel(&identity).await {
            let request = ReportRequest {
                records: records.clone(),
            };
            traffic.in_flight.fetch_add(1, Ordering::SeqCst);
            let answer = MeteringClient::new(channel).report(request).await;
            traffic.in_flight.fetch_sub(1, Ordering::SeqCst);
            if answer.is_ok() {
                break;
            }
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let mut acknowledged = traffic.acknowledged.lock().unwrap();
    for (turn, month) in batch {
        let turns = acknowledged
            .entry((tenant.to_owned(), month.clone()))
            .or_default();
        turns.insert(turn.clone());
    }
}

/// Both witnesses of a tenant's interactions: what the worker sent, the gateway sends a little later.
async fn report(connectors: [Connector; 2], tenant: &'static str, traffic: Arc<Traffic>) {
    let mut random = Xoshiro256PlusPlus::seed_from_u64(u64::from(tenant.as_bytes()[0]));
    let mut behind = VecDeque::new();
    let mut turn = traffic.beginning;
    let [workers, gateways] = connectors;
    while !traffic.is_over.load(Ordering::SeqCst) {
        let batch: Batch = (0..random.random_range(1..20))
            .map(|_| {
                turn += 1;
                (format!("t{turn}"), month(random.random_range(0..MONTHS)))
            })
            .collect();
        behind.push_back(batch.clone());
        let earlier = behind.pop_front().unwrap_or_default();
        tokio::join!(
            send(&workers, tenant, Witness::Worker, &batch, &traffic),
            send(&gateways, tenant, Witness::Gateway, &earlier, &traffic),
        );
    }
}

/// Starts the senders of all tenants; workers and gateways may go to two servers.
pub(crate) fn start_traffic(connectors: &[Connector; 2], traffic: &Arc<Traffic>) -> JoinSet<()> {
    let mut senders = JoinSet::new();
    for tenant in TENANTS {
        senders.spawn(report(connectors.clone(), tenant, traffic.clone()));
    }
    senders
}

pub(crate) async fn end_traffic(traffic: &Traffic, mut senders: JoinSet<()>) {
    traffic.is_over.store(true, Ordering::SeqCst);
    let all = async { while senders.join_next().await.transpose().unwrap().is_some() {} };
    tokio::time::timeout(Duration::from_mins(1), all).await.unwrap();
}

pub(crate) async fn register_all(program: &Program) {
    for tenant in TENANTS {
        register_tenant(program, tenant, TENTH).await;
    }
}

fn start(database_url: &str, command: &[&str]) -> Child {
    binary()
        .args(command)
        .args(["--database-url", database_url])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn start_issue(database_url: &str, month: &str) -> Child {
    start(database_url, &["close", "--period", month, "--issue"])
}

/// Kills a server when a request is on its way. Whether it still was.
async fn kill_server(program: &mut Program, traffic: &Traffic, wait: Duration) -> bool {
    let sent = async || {
        while traffic.in_flight.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
    };
    let limit = Duration::from_secs(5);
    drop(tokio::time::timeout(limit, sent()).await);
    tokio::time::sleep(wait).await;
    // That one may be answered by now; then it is the next one.
    drop(tokio::time::timeout(limit, sent()).await);
    let in_flight = traffic.in_flight.load(Ordering::SeqCst) > 0;
    program.kill_and_start().await;
    in_flight
}

/// Kills a command. Whether it was still running.
async fn kill_command(mut command: Child, wait: Duration) -> bool {
    tokio::time::sleep(wait).await;
    let was_running = command.try_wait().unwrap().is_none();
    command.kill().unwrap();
    command.wait().unwrap();
    was_running
}

/// Kills what ends a month: an issue, or what approves its drafts, or what corrects the month before it. Whether it was still
/// running.
async fn kill_month_end(database_url: &str, kill: usize, number: usize, wait: Duration) -> bool {
    let this = month(number);
    let running = match kill % 10 {
        8 => {
            let mut review = start(database_url, &["close", "--period", &this]);
            assert!(review.wait().unwrap().success());
            let approve = ["approve", "--all", "--actor", "jo", "--period", &this];
            start(database_url, &approve)
        }
        9 => start(database_url, &["correct", "--period", &month(number - 1)]),
        _ => start_issue(database_url, &this),
    };
    kill_command(running, wait).await
}

async fn killing_loses_nothing_and_doubles_nothing(mut program: Program) {
    let kills = std::env::var("SPRINGTIDE_KILLS").map_or(KILLS, |text| text.parse().unwrap());
    register_all(&program).await;
    let traffic = Arc::new(Traffic::default());
    let senders = start_traffic(&[program.connector(), program.connector()], &traffic);
    let mut random = Xoshiro256PlusPlus::seed_from_u64(1);
    let (mut ends, mut in_flight, mut next_month) = (0, 0, 0);
    for kill in 0..kills {
        let wait = Duration::from_micros(random.random_range(0..4_000));
        let was_in_flight = if kill % 5 < 3 {
            kill_server(&mut program, &traffic, wait).await
        } else {
            ends += 1;
            kill_month_end(&program.database_url, kill, next_month, wait * 5).await
        };
        in_flight += usize::from(was_in_flight);
        if kill % 5 == 4 {
            let mut issue = start_issue(&program.database_url, &month(next_month));
            assert!(
                issue.wait().unwrap().success(),
                "an issue after a kill goes on where that one was"
            );
            next_month += 1;
        }
        if kill % 10 == 9 {
            let again = ["correct", "--period", &month(next_month - 2)];
            let mut correct = start(&program.database_url, &again);
            assert!(correct.wait().unwrap().success(), "so does a correction");
        }
    }
    end_traffic(&traffic, senders).await;
    let store = Store::connect(&program.database_url, false).await.unwrap();
    let acknowledged = traffic.acknowledged.lock().unwrap().clone();
    let events: usize = acknowledged.values().map(std::collections::BTreeSet::len).sum();
    let issued = books::check(&store, &acknowledged).await;
    let notes = books::notes(&store).await;
    let kind = program.database_url.split(':').next().unwrap_or_default();
    eprintln!(
        "{kind}: {kills} kills, {ends} of them of issues, approvals and corrections, {in_flight} with something in flight; {events} events, {issued} bills and notes, {notes} of them notes"
    );
    assert!(
        issued > notes && notes > 0,
        "there is what a kill could have broken"
    );
    assert!(in_flight * 10 >= kills * 9, "kills must hit");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killing_loses_nothing_and_doubles_nothing_on_sqlite() {
    killing_loses_nothing_and_doubles_nothing(Program::start().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killing_loses_nothing_and_doubles_nothing_on_postgres() {
    let Some(url) = postgres_url().await else { return };
    let program = Program::start_on(tempfile::tempdir().unwrap(), url).await;
    killing_loses_nothing_and_doubles_nothing(program).await;
}

/// Workers report to one replica and gateways to the other; one is killed and does not come back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_replicas_take_the_same_batches_once_and_one_may_die() {
    let Some(url) = postgres_url().await else { return };
    let mut one = Program::start_on(tempfile::tempdir().unwrap(), url).await;
    let other = one.beside().await;
    register_all(&one).await;
    let traffic = Arc::new(Traffic::default());
    let senders = start_traffic(&[one.connector(), other.connector()], &traffic);
    let until = async |events: usize| {
        let count = || {
            traffic
                .acknowledged
                .lock()
                .unwrap()
                .values()
                .map(std::collections::BTreeSet::len)
                .sum::<usize>()
        };
        while count() < events {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    until(500).await;
    // Two at once: each bill is issued by one of them.
    let mut issuing: Vec<_> = (0..4)
        .map(|number| start_issue(&one.database_url, &month(number / 2)))
        .collect();
    for issue in &mut issuing {
        assert!(issue.wait().unwrap().success());
    }
    one.kill();
    // The dead one's senders find the other.
    let rest = start_traffic(&[other.connector(), other.connector()], &traffic);
    until(2_000).await;
    one.kill_and_start().await;
    end_traffic(&traffic, senders).await;
    end_traffic(&traffic, rest).await;
    let store = Store::connect(&other.database_url, false).await.unwrap();
    let acknowledged = traffic.acknowledged.lock().unwrap().clone();
    assert_eq!(
        books::check(&store, &acknowledged).await,
        6,
        "one bill for each tenant and month"
    );
}
