//! kubectl, helm and processes of the running cluster.
//!
//! This program runs inside a node's network namespace, so it reaches the API server, pods and services as a pod would.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail};
use serde::Deserialize;
use serde_json::Value;
use tokio::time::Instant;

/// What `cargo xtask cluster up` recorded.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Cluster {
    /// Administrator's kubeconfig, for use inside the namespaces.
    pub kubeconfig: PathBuf,
    /// Folder with kubectl and helm.
    pub binaries: PathBuf,
    /// The API server's audit log.
    pub audit_log: PathBuf,
}

impl Cluster {
    /// Reads `cluster.json` of a state folder.
    pub fn read(state: &Path) -> anyhow::Result<Self> {
        let file = state.join("cluster.json");
        let text = std::fs::read_to_string(&file).with_context(|| {
            format!(
                "cannot read {}: bring the cluster up first (cargo xtask cluster up)",
                file.display()
            )
        })?;
        serde_json::from_str(&text).with_context(|| format!("{} is not what is expected", file.display()))
    }

    /// Runs kubectl; its standard output.
    pub async fn kubectl(&self, words: &[&str]) -> anyhow::Result<String> {
        self.run("kubectl", words, None).await
    }

    /// Applies manifests.
    pub async fn apply(&self, manifests: &str) -> anyhow::Result<String> {
        self.run("kubectl", &["apply", "--server-side", "-f", "-"], Some(manifests))
            .await
    }

    /// Runs helm.
    pub async fn helm(&self, words: &[&str]) -> anyhow::Result<String> {
        self.run("helm", words, None).await
    }

    /// `kubectl get … -o json`.
    pub async fn get(&self, words: &[&str]) -> anyhow::Result<Value> {
        let text = self.kubectl(&[&["get"], words, &["-o", "json"]].concat()).await?;
        serde_json::from_str(&text).context("kubectl printed no JSON")
    }

    /// Waits until `check` finds what it looks for; says what it saw last when it does not within `limit`.
    pub async fn wait_for<T, F: Future<Output = anyhow::Result<T>>>(
        &self,
        what: &str,
        limit: Duration,
        mut check: impl FnMut() -> F,
    ) -> anyhow::Result<T> {
        let begun = Instant::now();
        loop {
            match check().await {
                Ok(found) => return Ok(found),
                Err(error) if begun.elapsed() >= limit => {
                    return Err(error.context(format!("waited {} s for {what}", limit.as_secs())));
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(200)).await,
            }
        }
    }

    /// Address of a Service.
    pub async fn service_address(&self, namespace: &str, name: &str) -> anyhow::Result<String> {
        let service = self.get(&["service", name, "-n", namespace]).await?;
        match service.pointer("/spec/clusterIP").and_then(Value::as_str) {
            Some(address) if address != "None" => Ok(address.to_owned()),
            _ => bail!("service {namespace}/{name} has no address"),
        }
    }

    /// Pods of a namespace that match `selector`.
    pub async fn pods(&self, namespace: &str, selector: &str) -> anyhow::Result<Vec<Pod>> {
        let list = self.get(&["pods", "-n", namespace, "-l", selector]).await?;
        let items = list
            .pointer("/items")
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default();
        Ok(items.iter().map(Pod::of).collect())
    }

    async fn run(&self, program: &str, words: &[&str], input: Option<&str>) -> anyhow::Result<String> {
        let said = format!("{program} {}", words.join(" "));
        let mut command = Command::new(self.binaries.join(program));
        command.args(words).env("KUBECONFIG", &self.kubeconfig);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let input = input.unwrap_or_default().to_owned();
        let output = tokio::task::spawn_blocking(move || {
            let mut child = command.spawn()?;
            if let Some(mut stdin) = child.stdin.take() {
                stdin.write_all(input.as_bytes())?;
            }
            child.wait_with_output()
        });
        let output = output
            .await
            .context("the command panicked")?
            .with_context(|| format!("cannot run {said}"))?;
        if !output.status.success() {
            bail!("{said}: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(String::from_utf8(output.stdout)?)
    }
}

/// A Pod, as far as tests ask.
#[derive(Clone, Debug)]
pub struct Pod {
    /// Name.
    pub name: String,
    /// UID.
    pub uid: String,
    /// Address; empty while it has none.
    pub ip: String,
    /// Node; empty while it has none.
    pub node: String,
    /// All containers are ready.
    pub ready: bool,
}

impl Pod {
    fn of(object: &Value) -> Self {
        let text = |path: &str| {
            object
                .pointer(path)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        let statuses = object
            .pointer("/status/containerStatuses")
            .and_then(Value::as_array);
        Self {
            name: text("/metadata/name"),
            uid: text("/metadata/uid"),
            ip: text("/status/podIP"),
            node: text("/spec/nodeName"),
            ready: statuses.is_some_and(|all| !all.is_empty() && all.iter().all(|one| one["ready"] == true)),
        }
    }
}

/// SIGKILL to our program in that pod, found by the pod's UID in its environment. Only processes of this cluster carry one.
pub fn kill_process_of_pod(pod_uid: &str) -> anyhow::Result<u32> {
    let wanted = format!("POD_UID={pod_uid}");
    for entry in std::fs::read_dir("/proc")? {
        let path = entry?.path();
        let Some(pid) = path
            .file_name()
            .and_then(|name| name.to_str())
            .and_then(|name| name.parse::<u32>().ok())
        else {
            continue;
        };
        // A process that ended meanwhile, or that is not ours to read, is not the one.
        let Ok(environment) = std::fs::read(path.join("environ")) else {
            continue;
        };
        if environment
            .split(|byte| *byte == 0)
            .any(|variable| variable == wanted.as_bytes())
        {
            let killed = std::process::Command::new("kill")
                .args(["-9", &pid.to_string()])
                .status()?;
            if !killed.success() {
                bail!("process {pid} could not be killed");
            }
            return Ok(pid);
        }
    }
    bail!("no process has {wanted} in its environment")
}
