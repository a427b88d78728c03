//! What the end-to-end tests share: the cluster, the charts installed on it, and identities of its parts.
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use serde_json::Value;
use springtide_runtime::authority::Authority;
use springtide_runtime::clock::{Clock as _, SystemClock};
use springtide_runtime::identity::PeerIdentity;
use springtide_runtime::tls::TlsMaterial;
use springtide_tests::cluster::Cluster;
use springtide_tests::course::{Database, SYSTEM, install_charts};

/// Longest wait for a condition on a busy machine.
pub(crate) const LIMIT: Duration = Duration::from_secs(90);

pub(crate) fn charts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../charts")
}

/// PostgreSQL where `cargo xtask test` started one for the cluster's pods.
pub(crate) fn database() -> Database {
    std::env::var("SPRINGTIDE_E2E_POSTGRES").map_or(Database::Sqlite, Database::Postgres)
}

/// The cluster with the charts installed. `None` where there is none, which fails in CI.
pub(crate) async fn cluster() -> Option<Cluster> {
    let Some(state) = std::env::var_os("SPRINGTIDE_CLUSTER_STATE") else {
        assert!(
            std::env::var("CI").is_err(),
            "no cluster: SPRINGTIDE_CLUSTER_STATE is not set"
        );
        println!("skipped: no cluster; run `cargo xtask test`");
        return None;
    };
    let cluster = Cluster::read(Path::new(&state)).unwrap();
    install_charts(&cluster, &charts(), &database()).await.unwrap();
    Some(cluster)
}

/// The status of a condition, and its sentence.
pub(crate) fn condition<'a>(object: &'a Value, kind: &str) -> Option<(&'a str, &'a str, &'a str)> {
    let conditions = object.pointer("/status/conditions")?.as_array()?;
    let found = conditions.iter().find(|condition| condition["type"] == kind)?;
    Some((
        found["status"].as_str()?,
        found["reason"].as_str()?,
        found["message"].as_str()?,
    ))
}

/// Waits until a condition of an object is as wanted; its sentence.
pub(crate) async fn wait_for_condition(
    cluster: &Cluster,
    words: &[&str],
    kind: &str,
    wanted: &str,
) -> String {
    let check = || async {
        let object = cluster.get(words).await?;
        match condition(&object, kind) {
            Some((status, _, message)) if status == wanted => Ok(message.to_owned()),
            other => anyhow::bail!(
                "{words:?} has {kind} {other:?}, wanted {wanted}; status {}",
                object["status"]
            ),
        }
    };
    cluster
        .wait_for(&format!("{kind}={wanted}"), LIMIT, check)
        .await
        .unwrap()
}

/// Waits until a number in an object is as wanted.
pub(crate) async fn wait_for_number(
    cluster: &Cluster,
    words: &[&str],
    path: &str,
    wanted: impl Fn(i64) -> bool,
) -> i64 {
    let check = || async {
        let object = cluster.get(words).await?;
        let number = object.pointer(path).and_then(Value::as_i64).unwrap_or_default();
        if wanted(number) {
            Ok(number)
        } else {
            anyhow::bail!("{words:?} has {path} {number}; status {}", object["status"])
        }
    };
    cluster.wait_for(path, LIMIT, check).await.unwrap()
}

/// Billed turns of a tenant in this month, by billing's own export.
pub(crate) async fn exported(cluster: &Cluster, tenant: &str) -> anyhow::Result<Vec<String>> {
    billing_says(cluster, "export", tenant).await
}

/// Minutes of service that a tenant's gateways reported in this month: (second at which it begins, good, bad).
pub(crate) async fn service_minutes(cluster: &Cluster, tenant: &str) -> anyhow::Result<Vec<(i64, u64, u64)>> {
    let lines = billing_says(cluster, "minutes", tenant).await?;
    let minutes = lines.iter().skip(1).map(|line| {
        let fields: Vec<_> = line.split(',').collect();
        let [minute, good, bad, ..] = fields[..] else {
            anyhow::bail!("{line:?} is no minute")
        };
        let minute: jiff::Timestamp = minute.parse()?;
        Ok((minute.as_second(), good.parse()?, bad.parse()?))
    });
    minutes.collect()
}

/// The bill of a tenant's month so far.
pub(crate) async fn draft(cluster: &Cluster, tenant: &str) -> anyhow::Result<Value> {
    let lines = billing_says(cluster, "invoice", tenant).await?;
    Ok(serde_json::from_str(&lines.join("\n"))?)
}

/// Lines that billing prints of a tenant's month.
async fn billing_says(cluster: &Cluster, what: &str, tenant: &str) -> anyhow::Result<Vec<String>> {
    let words = [
        "exec",
        "-n",
        SYSTEM,
        "springtide-billing-0",
        "--",
        "springtide-billing",
        what,
        "--tenant",
        tenant,
        "--period",
    ];
    let period = SystemClock
        .now()
        .in_tz("Asia/Shanghai")?
        .strftime("%Y-%m")
        .to_string();
    let format: &[&str] = if what == "invoice" {
        &["--format", "json"]
    } else {
        &[]
    };
    let text = cluster
        .kubectl(&[&words[..], &[&period], format].concat())
        .await?;
    Ok(text.lines().map(str::to_owned).collect())
}

/// A value of a Secret.
pub(crate) async fn secret(cluster: &Cluster, namespace: &str, name: &str, key: &str) -> String {
    let secret = cluster.get(&["secret", name, "-n", namespace]).await.unwrap();
    let encoded = secret["data"][key].as_str().unwrap();
    String::from_utf8(base64::engine::general_purpose::STANDARD.decode(encoded).unwrap()).unwrap()
}

/// TLS material as the installation's CA would issue it.
pub(crate) async fn material(cluster: &Cluster, identity: &PeerIdentity) -> TlsMaterial {
    let certificate = secret(cluster, SYSTEM, "springtide-ca", "ca.crt").await;
    let key = secret(cluster, SYSTEM, "springtide-ca", "ca.key").await;
    Authority::from_pem(&certificate, &key)
        .unwrap()
        .material(identity, SystemClock.now())
        .unwrap()
}
