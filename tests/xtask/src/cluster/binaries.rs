//! The programs of the cluster, built from their Go modules. The versions are pinned in tests/cluster's go.mod files;
//! a finished build is kept outside `target/` under the hash of those files and of our own sources there.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use anyhow::{Context, Result, bail};

use crate::command::exists;
use crate::progress::Step;
use crate::workspace;

const KUBERNETES: &str = "v1.34.4";
const HELM: &str = "v3.19.4";
const KWOK: &str = "v0.7.0";
const FROM_MAIN_MODULE: [&str; 10] = [
    "k8s.io/kubernetes/cmd/kube-apiserver",
    "k8s.io/kubernetes/cmd/kube-controller-manager",
    "k8s.io/kubernetes/cmd/kube-scheduler",
    "k8s.io/kubernetes/cmd/kube-proxy",
    "k8s.io/kubernetes/cmd/kubelet",
    "k8s.io/kubernetes/cmd/kubectl",
    "go.etcd.io/etcd/server/v3",
    "helm.sh/helm/v3/cmd/helm",
    "./certs",
    "./pause",
];
const HASHED: [&str; 7] = [
    "go.mod",
    "go.sum",
    "certs/main.go",
    "pause/main.go",
    "coredns/go.mod",
    "coredns/go.sum",
    "coredns/main.go",
];

/// The folder of the finished programs; builds what is missing.
pub(crate) fn ensure(step: &Step, with_kwok: bool) -> Result<PathBuf> {
    if let Some(given) = env::var_os("SPRINGTIDE_CLUSTER_BIN") {
        return given_folder(PathBuf::from(given));
    }
    let sources = workspace::root()?.join("tests/cluster");
    let folder = cache()?.join(hash(&sources)?);
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    once(&folder, "main", || build_main(step, &sources, &folder))?;
    once(&folder, "coredns", || {
        step.note("building CoreDNS (about a minute the first time)");
        let stamp = "-X github.com/coredns/coredns/coremain.GitCommit=springtide";
        build(
            step,
            &sources.join("coredns"),
            stamp,
            &folder.join("coredns"),
            &["."],
        )
    })?;
    if with_kwok {
        once(&folder, "kwok", || {
            step.note("building kwok (about a minute the first time)");
            let stamp = format!("-X sigs.k8s.io/kwok/pkg/consts.Version={KWOK}");
            build(
                step,
                &sources.join("kwok"),
                &stamp,
                &folder.join("kwok"),
                &["sigs.k8s.io/kwok/cmd/kwok"],
            )
        })?;
    }
    Ok(folder)
}

fn given_folder(folder: PathBuf) -> Result<PathBuf> {
    let programs = ["kube-apiserver", "kubelet", "etcd", "coredns", "certs", "pause"];
    match programs.iter().find(|name| !folder.join(name).is_file()) {
        Some(missing) => bail!(
            "SPRINGTIDE_CLUSTER_BIN={} has no `{missing}`; unset it to build",
            folder.display()
        ),
        None => Ok(folder),
    }
}

fn cache() -> Result<PathBuf> {
    let home = || env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache"));
    let cache = env::var_os("XDG_CACHE_HOME").map(PathBuf::from).or_else(home);
    Ok(cache
        .context("set HOME or XDG_CACHE_HOME: the cluster's programs are kept there")?
        .join("springtide/cluster-bin"))
}

fn hash(sources: &Path) -> Result<String> {
    let mut hasher = DefaultHasher::new();
    for name in HASHED {
        let path = sources.join(name);
        fs::read(&path)
            .with_context(|| format!("cannot read {}", path.display()))?
            .hash(&mut hasher);
    }
    Ok(format!("{:016x}", hasher.finish()))
}

/// Does `work` unless an earlier run finished it.
fn once(folder: &Path, name: &str, work: impl FnOnce() -> Result<()>) -> Result<()> {
    let stamp = folder.join(format!(".{name}-built"));
    if stamp.exists() {
        return Ok(());
    }
    work()?;
    fs::write(&stamp, "").with_context(|| format!("cannot write {}", stamp.display()))
}

fn build_main(step: &Step, sources: &Path, folder: &Path) -> Result<()> {
    step.note("building Kubernetes, etcd and helm (about 8 minutes the first time, one with Go's cache)");
    let stamps = [
        format!("-X k8s.io/component-base/version.gitVersion={KUBERNETES}"),
        "-X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=34".to_owned(),
        format!("-X helm.sh/helm/v3/internal/version.version={HELM}"),
        "-X helm.sh/helm/v3/pkg/chartutil.k8sVersionMajor=1".to_owned(),
        "-X helm.sh/helm/v3/pkg/chartutil.k8sVersionMinor=34".to_owned(),
    ];
    // The trailing slash makes Go write one file per program into the folder.
    build(
        step,
        sources,
        &stamps.join(" "),
        &folder.join(""),
        &FROM_MAIN_MODULE,
    )?;
    fs::rename(folder.join("server"), folder.join("etcd"))
        .context("etcd's program is missing after the build")
}

fn build(step: &Step, module: &Path, stamps: &str, out: &Path, packages: &[&str]) -> Result<()> {
    if !exists("go") {
        bail!(
            "Go is needed to build the cluster's programs: install Go 1.24 or newer and put it on the PATH"
        );
    }
    let mut go = Command::new("go");
    go.current_dir(module)
        .env("CGO_ENABLED", "0")
        .args(["build", "-trimpath", "-mod=readonly", "-ldflags"]);
    go.arg(format!("-s -w {stamps}"))
        .arg("-o")
        .arg(out)
        .args(packages);
    step.run(&mut go)
}
