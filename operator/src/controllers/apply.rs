//! The ways in which the operator writes to the cluster.

use std::fmt::Debug;

use k8s_openapi::NamespaceResourceScope;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::{Api, Client, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::names::FIELD_MANAGER;

/// A write that failed.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The API server refused, or was not reached.
    #[error("{verb} {kind} {name} failed")]
    Api {
        /// What was tried.
        verb: &'static str,
        /// On what.
        kind: String,
        /// Its name.
        name: String,
        /// What the client says.
        source: Box<kube::Error>,
    },
}

impl WriteError {
    fn new<K: Resource<DynamicType = ()>>(verb: &'static str, name: &str, source: kube::Error) -> Self {
        Self::Api {
            verb,
            kind: K::kind(&()).into_owned(),
            name: name.to_owned(),
            source: Box::new(source),
        }
    }

    /// The status code of the API server's refusal.
    pub fn code(&self) -> Option<u16> {
        let Self::Api { source, .. } = self;
        match source.as_ref() {
            kube::Error::Api(status) => Some(status.code),
            _ => None,
        }
    }

    /// What the API server says, in one sentence.
    pub fn reason(&self) -> String {
        let Self::Api { source, .. } = self;
        match source.as_ref() {
            kube::Error::Api(status) => status.message.clone(),
            other => other.to_string(),
        }
    }
}

/// Server-side apply of a typed object by the one field manager.
pub async fn apply<K>(api: &Api<K>, object: &K) -> Result<K, WriteError>
where
    K: Resource<DynamicType = ()> + Clone + Serialize + DeserializeOwned + Debug,
{
    let name = object.meta().name.clone().unwrap_or_default();
    api.patch(
        &name,
        &PatchParams::apply(FIELD_MANAGER).force(),
        &Patch::Apply(object),
    )
    .await
    .map_err(|source| WriteError::new::<K>("apply", &name, source))
}

/// [`apply`] into the object's own namespace.
pub async fn apply_namespaced<K>(client: &Client, object: &K) -> Result<K, WriteError>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + Serialize
        + DeserializeOwned
        + Debug,
{
    let namespace = object.meta().namespace.clone().unwrap_or_default();
    apply(&Api::namespaced(client.clone(), &namespace), object).await
}

/// Creates; `None` if an object of that name exists.
pub async fn create<K>(api: &Api<K>, object: &K) -> Result<Option<K>, WriteError>
where
    K: Resource<DynamicType = ()> + Clone + Serialize + DeserializeOwned + Debug,
{
    let parameters = PostParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PostParams::default()
    };
    match api.create(&parameters, object).await {
        Ok(created) => Ok(Some(created)),
        Err(kube::Error::Api(status)) if status.is_already_exists() => Ok(None),
        Err(source) => Err(WriteError::new::<K>(
            "create",
            &object.meta().name.clone().unwrap_or_default(),
            source,
        )),
    }
}

/// Deletes the object of that name and UID; it is no error if it is gone.
pub async fn delete<K>(api: &Api<K>, name: &str, uid: Option<&str>) -> Result<(), WriteError>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug,
{
    let mut parameters = DeleteParams::background();
    if let Some(uid) = uid {
        parameters = parameters.preconditions(Preconditions {
            uid: Some(uid.to_owned()),
            resource_version: None,
        });
    }
    match api.delete(name, &parameters).await {
        Ok(_) => Ok(()),
        // Gone, or another object has the name now.
        Err(kube::Error::Api(status)) if status.code == 404 || status.code == 409 => Ok(()),
        Err(source) => Err(WriteError::new::<K>("delete", name, source)),
    }
}

/// Server-side apply of a status.
pub async fn apply_status<K, S>(api: &Api<K>, name: &str, status: &S) -> Result<(), WriteError>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug,
    S: Serialize,
{
    let patch = serde_json::json!({
        "apiVersion": K::api_version(&()),
        "kind": K::kind(&()),
        "status": status,
    });
    api.patch_status(
        name,
        &PatchParams::apply(FIELD_MANAGER).force(),
        &Patch::Apply(&patch),
    )
    .await
    .map(drop)
    .map_err(|source| WriteError::new::<K>("status of", name, source))
}

/// A JSON merge patch of the object of that name and UID; `false` if it is gone, or another object has the name now.
pub async fn patch_if_same<K>(
    api: &Api<K>,
    name: &str,
    uid: &str,
    mut patch: serde_json::Value,
) -> Result<bool, WriteError>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug,
{
    patch["metadata"]["uid"] = uid.into();
    let parameters = PatchParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PatchParams::default()
    };
    match api.patch(name, &parameters, &Patch::Merge(&patch)).await {
        Ok(_) => Ok(true),
        // A UID cannot be changed: 409 or 422.
        Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409 | 422) => Ok(false),
        Err(source) => Err(WriteError::new::<K>("patch", name, source)),
    }
}

/// A JSON merge patch guarded by the resource version it was made for; `false` if the object has changed since.
pub async fn patch_guarded<K>(
    api: &Api<K>,
    object: &K,
    mut patch: serde_json::Value,
) -> Result<bool, WriteError>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug,
{
    let name = object.meta().name.clone().unwrap_or_default();
    if let Some(metadata) = patch.as_object_mut() {
        let entry = metadata
            .entry("metadata")
            .or_insert_with(|| serde_json::json!({}));
        entry["resourceVersion"] = object.meta().resource_version.clone().into();
    }
    let parameters = PatchParams {
        field_manager: Some(FIELD_MANAGER.to_owned()),
        ..PatchParams::default()
    };
    match api.patch(&name, &parameters, &Patch::Merge(&patch)).await {
        Ok(_) => Ok(true),
        Err(kube::Error::Api(status)) if status.code == 409 || status.code == 404 => Ok(false),
        Err(source) => Err(WriteError::new::<K>("patch", &name, source)),
    }
}
