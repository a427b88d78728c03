//! Why nothing can be explained, and what to do.

use std::fmt::Write as _;
use std::path::PathBuf;

use crate::simulate::WhatIfError;

/// Why nothing can be explained.
#[derive(Debug, thiserror::Error)]
pub enum PluginError {
    /// No usable kubeconfig.
    #[error(
        "there is no usable kubeconfig: {problem}\nName one with --kubeconfig or KUBECONFIG, and a context of it with --context; \
         `kubectl config get-contexts` lists them."
    )]
    Kubeconfig {
        /// What is wrong.
        problem: String,
    },
    /// Nobody answers.
    #[error(
        "the cluster at {url} cannot be reached: {problem}\nSee whether `kubectl get nodes` works; choose another cluster with \
         --context or --kubeconfig."
    )]
    Unreachable {
        /// Address of the API server.
        url: String,
        /// What is wrong.
        problem: String,
    },
    /// It does not know us.
    #[error(
        "the cluster at {url} does not accept these credentials; log in again, or choose others with --context"
    )]
    Unauthorized {
        /// Address of the API server.
        url: String,
    },
    /// It does not allow this.
    #[error(
        "you have no permission to {verb} {resource}{place}; ask for this rule in a Role or ClusterRole:\n\
         - apiGroups: [{group:?}]\n  resources: [{resource}]\n  verbs: [{verb}]"
    )]
    Forbidden {
        /// What we wanted to do.
        verb: &'static str,
        /// With what.
        resource: &'static str,
        /// In which API group.
        group: &'static str,
        /// In a namespace, as ` in tenant-acme`; or nothing.
        place: String,
    },
    /// The resources are not known.
    #[error(
        "this cluster knows no {resource} of springtide.dev; install the chart springtide-crds, or choose another cluster with --context"
    )]
    NotInstalled {
        /// Which.
        resource: &'static str,
    },
    /// No operator.
    #[error(
        "no Pod of {namespace} is labelled app.kubernetes.io/name=springtide-operator; name the operator's namespace with \
         --system-namespace, or install the chart springtide"
    )]
    NoOperator {
        /// Where we looked.
        namespace: String,
    },
    /// Nobody leads.
    #[error(
        "no operator leads now, so no pool is being decided:{}\nA new leader takes over within seconds; if none does, see \
         `kubectl logs -n {namespace} -l app.kubernetes.io/name=springtide-operator`.",
        listed(answers)
    )]
    NoLeader {
        /// Where they are.
        namespace: String,
        /// What each of them answered.
        answers: Vec<(String, String)>,
    },
    /// An answer that is not understood.
    #[error(
        "Pod {pod} answers what is no record of decisions ({problem}); use the plugin of the operator's version"
    )]
    NoRecord {
        /// Whose answer.
        pod: String,
        /// What is wrong.
        problem: String,
    },
    /// No such object.
    #[error("there is no {what} {name}; {}", there_are(names))]
    NotFound {
        /// Of which kind.
        what: &'static str,
        /// Its name.
        name: String,
        /// Those that there are.
        names: Vec<String>,
    },
    /// It is there, and was not decided.
    #[error(
        "the operator has not decided pool {tenant}/{pool}: its Events say why, as `kubectl describe -n tenant-{tenant} bp/{pool}` \
         shows them"
    )]
    NotDecided {
        /// Whose.
        tenant: String,
        /// Which.
        pool: String,
    },
    /// Several tenants have one of that name.
    #[error("several tenants have a pool {name}: {}; name the one you mean so", pools.join(", "))]
    Ambiguous {
        /// The name.
        name: String,
        /// All of them.
        pools: Vec<String>,
    },
    /// A selector that selects nothing.
    #[error("no BotPool has the labels {}; label one, or change spec.selector of the promotion", labels.join(", "))]
    NoneSelected {
        /// As name=value.
        labels: Vec<String>,
    },
    /// Not a tenant's.
    #[error("namespace {namespace} is no tenant's: pools are in tenant-NAME")]
    Namespace {
        /// Which.
        namespace: String,
    },
    /// Two tenants.
    #[error("{name} is not in namespace {namespace}; leave one of them out")]
    TwoTenants {
        /// As given.
        name: String,
        /// As given.
        namespace: String,
    },
    /// A file.
    #[error("{} cannot be read: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A promotion that cannot be tried.
    #[error("{} cannot be tried: {source}", path.display())]
    WhatIf {
        /// Its file.
        path: PathBuf,
        /// Why.
        source: WhatIfError,
    },
    /// Anything else that the API server says.
    #[error("the API server did not answer as expected: {problem}")]
    Api {
        /// What it says.
        problem: String,
    },
}

fn listed(answers: &[(String, String)]) -> String {
    let mut text = String::new();
    for (pod, answer) in answers {
        let _ = write!(text, "\n  {pod}: {answer}");
    }
    text
}

fn there_are(names: &[String]) -> String {
    if names.is_empty() {
        "there is none at all".to_owned()
    } else {
        format!("there are: {}", names.join(", "))
    }
}
