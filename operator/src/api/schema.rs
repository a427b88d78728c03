//! Pieces of schema that several resources share.

use schemars::{Schema, SchemaGenerator, json_schema};

/// Largest number of conditions of one object.
const MAX_CONDITIONS: u32 = 16;

/// `{cpu: 50m, memory: 128Mi}`: quantities of Kubernetes, numbers or texts.
pub(super) fn quantities(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 8,
        "additionalProperties": {
            "x-kubernetes-int-or-string": true,
            "anyOf": [{"type": "integer"}, {"type": "string"}],
            "pattern": "^[0-9]+(\\.[0-9]+)?(m|k|Ki|M|Mi|G|Gi|T|Ti)?$",
        },
    })
}

/// Labels that are asked for.
pub(super) fn labels(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 16,
        "additionalProperties": {"type": "string", "maxLength": 63},
    })
}

/// Values by which a charge is narrowed: of each dimension one value, or a list of them.
pub(super) fn dimension_values(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 8,
        "additionalProperties": {"x-kubernetes-preserve-unknown-fields": true},
    })
}

/// Conditions: a list that is a map by type.
pub(super) fn conditions(generator: &mut SchemaGenerator) -> Schema {
    let mut schema =
        generator.subschema_for::<Vec<k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition>>();
    schema.insert("maxItems".into(), MAX_CONDITIONS.into());
    schema.insert("x-kubernetes-list-type".into(), "map".into());
    schema.insert("x-kubernetes-list-map-keys".into(), serde_json::json!(["type"]));
    schema
}
