//! Resources from files, YAML or JSON. A field that is not known (yet) changes no run, and is named in the log.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

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
    /// A value out of its bounds.
    #[error("{0}")]
    Invalid(String),
}

/// Reads one resource.
pub(super) fn read<K>(text: &str) -> Result<K, ManifestError>
where
    K: kube::Resource<DynamicType = ()> + Serialize + DeserializeOwned,
{
    let shape = |error: serde_saphyr::Error| ManifestError::Shape(error.to_string());
    let given: Value = serde_saphyr::from_str(text).map_err(shape)?;
    let of = |field: &str| given.get(field).and_then(Value::as_str).unwrap_or("?");
    let found = format!("{}, {}", of("kind"), of("apiVersion"));
    let wanted = format!("{}, {}", K::kind(&()), K::api_version(&()));
    if found != wanted {
        return Err(ManifestError::Kind { found, wanted });
    }
    let resource: K = serde_saphyr::from_str(text).map_err(shape)?;
    let known = serde_json::to_value(&resource).map_err(|error| ManifestError::Shape(error.to_string()))?;
    if let Some(field) = unknown(&given, &known, "") {
        tracing::warn!(field, "unknown field: it changes nothing here");
    }
    Ok(resource)
}

/// The first field that was given and is not known.
fn unknown(given: &Value, known: &Value, path: &str) -> Option<String> {
    match (given, known) {
        (Value::Object(given), Value::Object(known)) => given.iter().find_map(|(name, value)| {
            let path = if path.is_empty() {
                name.clone()
            } else {
                format!("{path}.{name}")
            };
            match known.get(name) {
                Some(known) => unknown(value, known, &path),
                // What is empty is left out again.
                None => (!is_empty(value)).then_some(path),
            }
        }),
        (Value::Array(given), Value::Array(known)) => {
            let mut pairs = given.iter().zip(known).enumerate();
            pairs.find_map(|(index, (given, known))| unknown(given, known, &format!("{path}[{index}]")))
        }
        _ => None,
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    }
}
