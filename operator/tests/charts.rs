//! The charts are what they should be: definitions as the types generate them, templates as the snapshots show them.
//!
//! Templates are rendered by the helm that `SPRINGTIDE_HELM` names; without it these tests are skipped, but not in CI.
//! `SPRINGTIDE_UPDATE_SNAPSHOTS=1` writes the snapshots anew.

#![expect(clippy::expect_used, reason = "a test that cannot run its tools fails")]

use std::path::{Path, PathBuf};
use std::process::Command;

use springtide_operator::api::{all_crds, crds_yaml};

fn charts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../charts")
}

fn helm() -> Option<PathBuf> {
    let helm = std::env::var_os("SPRINGTIDE_HELM").map(PathBuf::from);
    assert!(
        helm.is_some() || std::env::var_os("CI").is_none(),
        "CI needs SPRINGTIDE_HELM, the path of helm"
    );
    if helm.is_none() {
        eprintln!("skipped: SPRINGTIDE_HELM is not set");
    }
    helm
}

fn rendered(helm: &Path, set: &[&str]) -> Result<String, String> {
    let mut command = Command::new(helm);
    command.args([
        "template",
        "springtide",
        "--namespace",
        "springtide-system",
        "--kube-version",
        "1.34.0",
    ]);
    for value in set {
        command.args(["--set", value]);
    }
    let output = command
        .arg(charts().join("springtide"))
        .output()
        .expect("helm runs");
    if output.status.success() {
        Ok(String::from_utf8(output.stdout).expect("text"))
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

/// Both texts are the same, or the file is written if that was asked for.
fn same_as_file(text: &str, file: &Path, remedy: &str) {
    if std::env::var_os("SPRINGTIDE_UPDATE_SNAPSHOTS").is_some() {
        std::fs::write(file, text).expect("written");
    }
    let committed = std::fs::read_to_string(file).unwrap_or_default();
    let differs = committed
        .lines()
        .zip(text.lines())
        .position(|(before, after)| before != after);
    assert!(
        committed == text,
        "{} differs, first in line {:?}; {remedy}",
        file.display(),
        differs.map(|line| line + 1)
    );
}

#[test]
fn the_charts_definitions_are_the_generated_ones() {
    for crd in all_crds() {
        let file = charts().join(format!(
            "springtide-crds/templates/{}.yaml",
            crd.spec.names.plural
        ));
        let remedy = "springtide-operator crds --folder charts/springtide-crds/templates";
        same_as_file(&crds_yaml(&crd).unwrap(), &file, remedy);
    }
}

#[test]
fn every_field_is_explained() {
    fn unexplained(path: &str, schema: &serde_json::Value, found: &mut Vec<String>) {
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            let path = format!("{path}.{name}");
            if property["description"].as_str().is_none_or(str::is_empty) {
                found.push(path.clone());
            }
            unexplained(&path, property, found);
            unexplained(&path, &property["items"], found);
            unexplained(&path, &property["additionalProperties"], found);
        }
    }
    for crd in all_crds() {
        let schema = serde_json::to_value(&crd.spec.versions[0].schema).unwrap();
        let spec = &schema["openAPIV3Schema"]["properties"]["spec"];
        let mut found = Vec::new();
        unexplained(&format!("{}.spec", crd.spec.names.kind), spec, &mut found);
        assert!(found.is_empty(), "{found:?}");
    }
}

#[test]
fn templates_render_as_the_snapshots_show() {
    let Some(helm) = helm() else { return };
    let cases: [(&str, &[&str]); 3] = [
        ("default", &[]),
        (
            "postgres",
            &[
                "billing.replicas=2",
                "billing.database.urlSecret.name=springtide-database",
                "billing.database.readUrlSecret.name=springtide-replica",
                "billing.openIdConnect.secret.name=springtide-openid-connect",
            ],
        ),
        (
            "persistent",
            &[
                "billing.database.persistence.enabled=true",
                "billing.database.archive.enabled=true",
                "admission.refuseOtherAutoscalers=false",
                "otlpEndpoint=http://collector:4317",
                "dashboards.enabled=true",
            ],
        ),
    ];
    for (name, set) in cases {
        let text = rendered(&helm, set).unwrap();
        let file = charts().join(format!("springtide/tests/snapshots/{name}.yaml"));
        same_as_file(
            &text,
            &file,
            "look at the difference, then run again with SPRINGTIDE_UPDATE_SNAPSHOTS=1",
        );
    }
}

#[test]
fn values_that_cannot_work_are_refused_with_what_to_do() {
    let Some(helm) = helm() else { return };
    let error = rendered(&helm, &["billing.replicas=2"]).unwrap_err();
    assert!(error.contains("set billing.database.urlSecret.name"), "{error}");
    let error = rendered(&helm, &["billing.database.archive.enabled=true"]).unwrap_err();
    assert!(
        error.contains("set billing.database.persistence.enabled"),
        "{error}"
    );
    assert!(
        rendered(&helm, &["operator.replica=3"]).is_err(),
        "a value that nobody reads"
    );
    assert!(rendered(&helm, &["images.pullPolicy=Sometimes"]).is_err());
}

#[test]
fn the_charts_pass_helms_own_checks() {
    let Some(helm) = helm() else { return };
    for chart in ["springtide", "springtide-crds"] {
        let output = Command::new(&helm)
            .args(["lint", "--strict"])
            .arg(charts().join(chart))
            .output()
            .expect("helm runs");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stdout)
        );
    }
}
