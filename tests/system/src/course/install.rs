//! Installs the charts and takes on the tenants.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use serde_json::json;

use super::events::Events;
use super::{Course, RATE_PLAN, TENANTS, say};
use crate::cluster::Cluster;
use crate::load::ledger::Ledger;
use crate::load::{Client, Customer, LoadCounts};
use crate::manifests::rate_plan;

/// Namespace of the system.
pub const SYSTEM: &str = "springtide-system";
/// Longest wait for the gateways of a new tenant.
const FIRST_ANSWER: Duration = Duration::from_mins(2);

/// Where billing keeps its data.
#[derive(Clone, Debug)]
pub enum Database {
    /// SQLite, embedded.
    Sqlite,
    /// PostgreSQL at this URL.
    Postgres(String),
}

/// `helm upgrade --install` of both charts; waits until they are ready.
pub async fn install_charts(cluster: &Cluster, charts: &Path, database: &Database) -> anyhow::Result<()> {
    let chart = |name: &str| charts.join(name).display().to_string();
    let common = [
        "upgrade",
        "--install",
        "--namespace",
        SYSTEM,
        "--create-namespace",
        "--wait",
        "--timeout",
        "120s",
    ];
    cluster
        .helm(&[&common[..], &["springtide-crds", &chart("springtide-crds")]].concat())
        .await?;
    let system = chart("springtide");
    // What two cores carry beside the workers that answer: more starts at once would only make each of them slower.
    let pace = "operator.creations.perSecond=4,operator.creations.burst=8";
    let mut words = [&common[..], &["springtide", &system, "--set", pace]].concat();
    let secret = ["--set", "billing.database.urlSecret.name=springtide-database"];
    if let Database::Postgres(url) = database {
        let manifest = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "springtide-database", "namespace": SYSTEM},
            "stringData": {"DATABASE_URL": url},
        });
        cluster.apply(&manifest.to_string()).await?;
        words.extend(secret);
    }
    cluster.helm(&words).await?;
    Ok(())
}

/// Applies one file per tenant, both at once, and waits for the first answered conversation of each; their gateways' URLs.
pub(super) async fn take_on_tenants(
    course: &Course,
    events: &Events,
    ledger: &Ledger,
) -> anyhow::Result<[String; 2]> {
    course.cluster.apply(&rate_plan(RATE_PLAN)).await?;
    let (first, second) = tokio::join!(
        take_on(course, 0, events, ledger),
        take_on(course, 1, events, ledger)
    );
    Ok([first?, second?])
}

async fn take_on(course: &Course, place: usize, events: &Events, ledger: &Ledger) -> anyhow::Result<String> {
    let (name, _) = TENANTS[place];
    let knowledge = course.data[place].knowledge_parts()?;
    let file = course.manifest(place, &knowledge).to_yaml();
    events.note("tenant_apply", name, 0, serde_json::Value::Null)?;
    let begun = tokio::time::Instant::now();
    course.cluster.apply(&file).await?;
    let namespace = format!("tenant-{name}");
    let service = || course.cluster.service_address(&namespace, "gateway");
    let url = format!(
        "http://{}",
        course
            .cluster
            .wait_for("the gateways' service", FIRST_ANSWER, service)
            .await?
    );
    let question = course.data[place]
        .questions
        .first()
        .context("no question")?
        .clone();
    let counts = Arc::new(LoadCounts::default());
    let customer = Customer {
        tenant: name.to_owned(),
        conversation: format!("{name}-first"),
        client: Client::new(&url)?,
        counts: counts.clone(),
        ledger: ledger.clone(),
        random: StdRng::seed_from_u64(0),
    };
    customer
        .ask_each(vec![question], (Duration::ZERO, Duration::ZERO))
        .await;
    ensure!(
        counts.answered.load(Ordering::Relaxed) == 1,
        "{name} did not answer its first conversation"
    );
    let seconds = begun.elapsed().as_secs_f64();
    say(&format!(
        "{name}: first answered conversation {seconds:.1} s after kubectl apply"
    ));
    events.note("first_answer", name, 0, json!({"seconds_after_apply": seconds}))?;
    Ok(url)
}
