//! The CRDs as YAML.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt as _;

use super::{BotPool, Promotion, RatePlan, Tenant};

/// A CRD could not be written.
#[derive(Debug, thiserror::Error)]
#[error("the CRD {name} cannot be written as YAML")]
pub struct CrdError {
    name: String,
    source: serde_saphyr::ser::Error,
}

/// All CRDs. They are kept when their chart is uninstalled: deleting a CRD deletes every object of it.
pub fn all() -> Vec<CustomResourceDefinition> {
    let mut crds = vec![Tenant::crd(), BotPool::crd(), Promotion::crd(), RatePlan::crd()];
    for crd in &mut crds {
        let annotations = crd.metadata.annotations.get_or_insert_default();
        annotations.insert("helm.sh/resource-policy".to_owned(), "keep".to_owned());
    }
    crds
}

/// One CRD as YAML.
pub fn yaml(crd: &CustomResourceDefinition) -> Result<String, CrdError> {
    serde_saphyr::to_string(crd).map_err(|source| CrdError {
        name: crd.metadata.name.clone().unwrap_or_default(),
        source,
    })
}
