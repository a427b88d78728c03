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

/// A price or fee: a decimal that is not negative.
pub(super) fn amount(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "minLength": 1,
        "maxLength": 32,
        "pattern": r"^-?[0-9]{1,18}(\.[0-9]{1,9})?$",
        "x-kubernetes-validations": [{
            "rule": "!self.startsWith('-')",
            "message": "a price cannot be negative; give 0 or more",
        }],
    })
}

/// A percentage from 0 to 100: a decimal.
pub(super) fn percent(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "minLength": 1,
        "maxLength": 16,
        "pattern": r"^(100(\.0{1,9})?|[0-9]{1,2}(\.[0-9]{1,9})?)$",
    })
}

/// A duration in the form of Go, in whole hours, minutes, seconds and milliseconds.
pub(super) fn duration(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "minLength": 2,
        "maxLength": 16,
        "pattern": "^([0-9]{1,8}(h|m|s|ms))+$",
    })
}

/// Local dates, as 2026-11-11.
pub(super) fn dates(_: &mut SchemaGenerator) -> Schema {
    json_schema!({"type": "array", "minItems": 1, "maxItems": 366, "items": date()})
}

/// Lists of local dates by name.
pub(super) fn calendars(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "maxProperties": 16,
        "additionalProperties": {"type": "array", "maxItems": 366, "items": date()},
    })
}

fn date() -> serde_json::Value {
    serde_json::json!({"type": "string", "maxLength": 10, "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}$"})
}

/// A quarter of an hour of the day, as 20:00; 24:00 is the end of the day.
pub(super) fn time_of_day(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "string",
        "maxLength": 5,
        "pattern": "^(([01][0-9]|2[0-3]):(00|15|30|45)|24:00)$",
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
