//! Fields that a resource's definition does not have.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
};
use serde_json::Value;

/// Names that differ by more letters are not alike.
const MOST_SLIPS: usize = 2;

/// A field that does not exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unknown {
    /// From the top of the resource.
    pub(super) path: String,
    /// The name beside it that is most like it.
    pub(super) nearest: Option<String>,
}

/// All fields of a resource that its definition does not have. What is below metadata and status is not looked at: people do
/// not write it, and other versions may.
pub(super) fn unknown(resource: &Value, crd: &CustomResourceDefinition) -> Vec<Unknown> {
    let mut found = Vec::new();
    let version = crd.spec.versions.first();
    let schema = version
        .and_then(|version| version.schema.as_ref())
        .and_then(|schema| schema.open_api_v3_schema.as_ref());
    if let (Some(schema), Value::Object(fields)) = (schema, resource) {
        let written = fields
            .iter()
            .filter(|(name, _)| !["apiVersion", "kind", "metadata", "status"].contains(&name.as_str()));
        for (name, value) in written {
            field(name, value, schema, "", &mut found);
        }
    }
    found
}

fn field(name: &str, value: &Value, schema: &JSONSchemaProps, path: &str, found: &mut Vec<Unknown>) {
    let path = if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    };
    let known = schema.properties.as_ref();
    if let Some(schema) = known.and_then(|known| known.get(name)) {
        below(value, schema, &path, found);
    } else if let Some(JSONSchemaPropsOrBool::Schema(schema)) = &schema.additional_properties {
        below(value, schema, &path, found);
    } else if let Some(known) = known
        && schema.additional_properties.is_none()
        && schema.x_kubernetes_preserve_unknown_fields != Some(true)
    {
        let nearest = nearest(name, known.keys().map(String::as_str));
        found.push(Unknown { path, nearest });
    }
}

fn below(value: &Value, schema: &JSONSchemaProps, path: &str, found: &mut Vec<Unknown>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                field(name, value, schema, path, found);
            }
        }
        Value::Array(items) => {
            if let Some(JSONSchemaPropsOrArray::Schema(schema)) = &schema.items {
                for (index, item) in items.iter().enumerate() {
                    below(item, schema, &format!("{path}[{index}]"), found);
                }
            }
        }
        _ => {}
    }
}

fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<String> {
    known
        .map(|known| (slips(name, known), known))
        .filter(|(slips, known)| *slips <= MOST_SLIPS && *slips < known.len())
        .min()
        .map(|(_, known)| known.to_owned())
}

/// Letters that must be put in, taken out or exchanged to make one of the other, whatever their case: the distance of
/// V. I. Levenshtein.
fn slips(one: &str, other: &str) -> usize {
    let other: Vec<_> = other.to_lowercase().chars().collect();
    let mut row: Vec<_> = (0..=other.len()).collect();
    for (above, letter) in one.to_lowercase().chars().enumerate() {
        let mut left = above + 1;
        let mut next = vec![left];
        for (index, theirs) in other.iter().enumerate() {
            let exchanged = row.get(index).copied().unwrap_or(0) + usize::from(letter != *theirs);
            let put_in = row.get(index + 1).copied().unwrap_or(0) + 1;
            left = exchanged.min(put_in).min(left + 1);
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_of_the_pen_are_counted() {
        for (one, other, expected) in [
            ("downWindw", "downWindow", 1),
            ("downwindow", "downWindow", 0),
            ("maxx", "max", 1),
            ("colour", "max", 6),
            ("", "max", 3),
        ] {
            assert_eq!(slips(one, other), expected, "{one} {other}");
        }
        assert_eq!(nearest("mx", ["min", "max"].into_iter()), Some("max".to_owned()));
        assert_eq!(
            nearest("of", ["a", "b"].into_iter()),
            None,
            "too short to be alike"
        );
    }
}
