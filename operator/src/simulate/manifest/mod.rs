//! Resources from files, YAML or JSON, as people hold them: one or several in a file, of these kinds and others.
//!
//! - *document*: one resource of a file.
//! - *unknown*: a field that the resource's definition does not have (`unknown`). The API server refuses every one. Here it is
//!   refused where a run reads its neighbours, and where it looks like a slip of the pen; elsewhere it changes no run, and the
//!   log names it.

mod unknown;

use kube::CustomResourceExt;
use serde::de::DeserializeOwned;
use serde_json::Value;

use self::unknown::{Unknown, unknown};

/// Why a file is not such a resource.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// Not YAML, or not of this shape.
    #[error("{0}")]
    Shape(String),
    /// Another resource.
    #[error("it is a {found}, and a {wanted} is needed")]
    Kind {
        /// What it says it is.
        found: String,
        /// What it has to be.
        wanted: String,
    },
    /// Several of them.
    #[error("it has several of kind {kind}: {}; give a file with one", names.join(", "))]
    Several {
        /// Of which kind.
        kind: String,
        /// Their names.
        names: Vec<String>,
    },
    /// A field that does not exist.
    #[error("there is no field {path}{}", nearest.as_ref().map_or_else(String::new, |name| format!("; did you mean {name}?")))]
    Unknown {
        /// From the top of the resource.
        path: String,
        /// The name beside it that is most like it.
        nearest: Option<String>,
    },
    /// A value out of its bounds.
    #[error("{0}")]
    Invalid(String),
}

/// A resource that can be read from files.
pub(super) trait Readable:
    kube::Resource<DynamicType = ()> + CustomResourceExt + DeserializeOwned
{
    /// Below here every field matters to a run, and an unknown one is refused.
    const READ: &'static str;
}

/// All resources of a file.
#[derive(Clone, Debug)]
pub(super) struct Documents(Vec<Document>);

#[derive(Clone, Debug)]
struct Document {
    /// With empty lines before it, so that errors name the line of the file.
    text: String,
    value: Value,
}

impl Documents {
    /// Reads a file: YAML with one or several documents, or JSON.
    pub(super) fn parse(text: &str) -> Result<Self, ManifestError> {
        let mut documents = Vec::new();
        for text in split(text) {
            let value: Value = serde_saphyr::from_str(&text).map_err(|error| shape(&error))?;
            if !value.is_null() {
                documents.push(Document { text, value });
            }
        }
        Ok(Self(documents))
    }

    /// All of one kind.
    pub(super) fn all<K: Readable>(&self) -> Result<Vec<K>, ManifestError> {
        let wanted = kind(K::kind(&()).as_ref(), K::api_version(&()).as_ref());
        let documents = self.0.iter();
        let ours = documents.filter(|document| document.kind() == wanted);
        ours.map(Document::read).collect()
    }

    /// All of one kind, of which there must be some.
    pub(super) fn some<K: Readable>(&self) -> Result<Vec<K>, ManifestError> {
        let all = self.all()?;
        if all.is_empty() {
            let found: Vec<_> = self.0.iter().map(Document::kind).collect();
            return Err(ManifestError::Kind {
                found: if found.is_empty() {
                    "file without a resource".to_owned()
                } else {
                    found.join(" and a ")
                },
                wanted: kind(K::kind(&()).as_ref(), K::api_version(&()).as_ref()),
            });
        }
        Ok(all)
    }

    /// The one of its kind.
    pub(super) fn one<K: Readable>(&self) -> Result<K, ManifestError> {
        let mut all: Vec<K> = self.some()?;
        match (all.pop(), all.is_empty()) {
            (Some(one), true) => Ok(one),
            (last, _) => Err(ManifestError::Several {
                kind: K::kind(&()).into_owned(),
                names: all
                    .iter()
                    .chain(&last)
                    .map(|one| one.meta().name.clone().unwrap_or_default())
                    .collect(),
            }),
        }
    }
}

impl Document {
    fn kind(&self) -> String {
        let of = |field: &str| self.value.get(field).and_then(Value::as_str).unwrap_or("?");
        kind(of("kind"), of("apiVersion"))
    }

    fn read<K: Readable>(&self) -> Result<K, ManifestError> {
        for Unknown { path, nearest } in unknown(&self.value, &K::crd()) {
            let refused = nearest.is_some() || path.starts_with(K::READ);
            if refused {
                return Err(ManifestError::Unknown { path, nearest });
            }
            tracing::warn!(field = path, kind = %K::kind(&()), "unknown field: it changes nothing here");
        }
        serde_saphyr::from_str(&self.text).map_err(|error| shape(&error))
    }
}

fn kind(kind: &str, version: &str) -> String {
    format!("{kind}, {version}")
}

fn shape(error: &serde_saphyr::Error) -> ManifestError {
    ManifestError::Shape(error.to_string())
}

/// The documents of a file: a line that begins with three hyphens is between two of them.
fn split(text: &str) -> Vec<String> {
    let mut documents = vec![String::new()];
    for (number, line) in text.lines().enumerate() {
        if line == "---" || line.starts_with("--- ") {
            documents.push("\n".repeat(number));
        }
        if let Some(document) = documents.last_mut() {
            let content = line
                .strip_prefix("---")
                .filter(|rest| rest.is_empty() || rest.starts_with(' '));
            document.push_str(content.unwrap_or(line));
            document.push('\n');
        }
    }
    documents.retain(|document| !document.trim().is_empty());
    documents
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{BotPool, Promotion};

    const POOL: &str = "
apiVersion: springtide.dev/v1alpha1
kind: BotPool
metadata: {name: web, labels: {any: thing}, annotations: {other: thing}}
spec:
  worker: {image: w, conversations: 20, resources: {requests: {cpu: 50m}}}
  scaling: {max: 9, downWindow: 30s}
";

    fn refused(from: &str, to: &str) -> String {
        let documents = Documents::parse(&POOL.replace(from, to)).unwrap();
        documents.one::<BotPool>().unwrap_err().to_string()
    }

    #[test]
    fn a_field_that_does_not_exist_is_refused_by_its_path_with_the_name_most_like_it() {
        assert_eq!(
            refused("downWindow", "downWindw"),
            "there is no field spec.scaling.downWindw; did you mean downWindow?"
        );
        assert_eq!(
            refused("downWindow: 30s", "colour: red"),
            "there is no field spec.scaling.colour"
        );
        assert_eq!(
            refused("requests:", "request:"),
            "there is no field spec.worker.resources.request; did you mean requests?"
        );
    }

    #[test]
    fn a_field_beside_what_is_read_and_like_none_is_only_named() {
        let text = POOL.replace("  scaling:", "  rollout: {steps: [1, 10]}\n  scaling:");
        let pool: BotPool = Documents::parse(&text).unwrap().one().unwrap();
        assert_eq!(pool.spec.scaling.max, 9);
    }

    #[test]
    fn a_file_as_people_hold_it_has_resources_of_many_kinds() {
        let namespace =
            "apiVersion: v1\nkind: Namespace\nmetadata: {name: tenant-acme, wrong: 1}\nspec: {wrong: 1}\n";
        let file = format!("# acme\n---\n{namespace}--- # the pool\n{POOL}---\n");
        let documents = Documents::parse(&file).unwrap();
        assert_eq!(documents.one::<BotPool>().unwrap().spec.scaling.max, 9);
        assert!(documents.all::<Promotion>().unwrap().is_empty());
        assert_eq!(
            documents.some::<Promotion>().unwrap_err().to_string(),
            "it is a Namespace, v1 and a BotPool, springtide.dev/v1alpha1, and a Promotion, springtide.dev/v1alpha1 is needed"
        );
        let two = format!("{POOL}---{}", POOL.replace("web", "chat"));
        let error = Documents::parse(&two).unwrap().one::<BotPool>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "it has several of kind BotPool: web, chat; give a file with one"
        );
    }

    #[test]
    fn an_error_names_the_line_of_the_file() {
        let file = format!("# one\n---\n# two\n---{}", POOL.replace("max: 9", "max: lots"));
        let error = Documents::parse(&file).unwrap().one::<BotPool>().unwrap_err();
        assert!(error.to_string().contains("line 10"), "{error}");
    }
}
