//! From the claims of a verified ID token to a person here: who it is, and what it may. Pure.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::store::Role;

/// Longest name and subject; the standard has 255 for the latter.
const MAX_NAME: usize = 255;

/// A claim by its name, or by a JSON pointer where that begins with `/`.
fn claim<'a>(claims: &'a Value, name: &str) -> Option<&'a Value> {
    if name.starts_with('/') {
        claims.pointer(name)
    } else {
        claims.get(name)
    }
}

/// The highest role of the claim's values; `None` if none of them has one.
pub(super) fn role_of(claims: &Value, role_claim: &str, roles: &BTreeMap<String, Role>) -> Option<Role> {
    let values = match claim(claims, role_claim)? {
        Value::Array(values) => values.as_slice(),
        value => std::slice::from_ref(value),
    };
    values
        .iter()
        .filter_map(|value| roles.get(value.as_str()?))
        .max()
        .copied()
}

/// Who it is, for the audit: `NAME (SUB, ISSUER)`, or `SUB (ISSUER)`. What stands in the last brackets is the provider's word
/// for the person and no other's; a name may be any that the person chose. `None` without a subject.
pub(super) fn person_of(claims: &Value, name_claim: &str, issuer: &str) -> Option<String> {
    let text = |name: &str| {
        let text = claim(claims, name)?.as_str()?.trim();
        let is_name =
            !text.is_empty() && text.chars().count() <= MAX_NAME && !text.chars().any(char::is_control);
        is_name.then_some(text)
    };
    let subject = text("sub")?;
    Some(match text(name_claim).filter(|_| name_claim != "sub") {
        Some(name) => format!("{name} ({subject}, {issuer})"),
        None => format!("{subject} ({issuer})"),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn roles() -> BTreeMap<String, Role> {
        [
            ("staff", Role::Viewer),
            ("money", Role::Finance),
            ("it", Role::Admin),
        ]
        .map(|(value, role)| (value.to_owned(), role))
        .into()
    }

    #[test]
    fn a_role_is_the_highest_of_the_values_that_have_one_and_without_one_there_is_none() {
        let of = |groups: Value| role_of(&json!({"groups": groups}), "groups", &roles());
        assert_eq!(of(json!(["money", "staff", "golf"])), Some(Role::Finance));
        assert_eq!(of(json!("it")), Some(Role::Admin));
        for none in [
            json!([]),
            json!(["golf"]),
            json!("IT"),
            json!("it,money"),
            json!(true),
            json!(null),
            json!({"it": "it"}),
            json!([["it"]]),
        ] {
            assert_eq!(of(none.clone()), None, "{none}");
        }
        assert_eq!(role_of(&json!({"roles": "it"}), "groups", &roles()), None);
    }

    #[test]
    fn a_claim_is_found_by_its_name_or_by_a_pointer() {
        let claims = json!({"https://acme.example/roles": ["it"], "realm_access": {"roles": ["money"]}, "a/b": "staff"});
        let of = |name: &str| role_of(&claims, name, &roles());
        assert_eq!(of("https://acme.example/roles"), Some(Role::Admin));
        assert_eq!(of("/realm_access/roles"), Some(Role::Finance));
        assert_eq!(of("a/b"), Some(Role::Viewer));
        assert_eq!(of("realm_access"), None);
    }

    #[test]
    fn a_person_is_named_with_subject_and_issuer_and_is_none_without_a_subject() {
        let claims = json!({"sub": "17", "email": "ann@acme.example", "name": "\u{7}", "n": 4});
        let of = |name: &str| person_of(&claims, name, "https://login.acme.example");
        assert_eq!(of("sub").unwrap(), "17 (https://login.acme.example)");
        assert_eq!(
            of("email").unwrap(),
            "ann@acme.example (17, https://login.acme.example)"
        );
        for unusable in ["name", "n", "absent"] {
            assert_eq!(
                of(unusable).unwrap(),
                "17 (https://login.acme.example)",
                "{unusable}"
            );
        }
        for nobody in [
            json!({}),
            json!({"sub": ""}),
            json!({"sub": 17}),
            json!({"sub": "a\nb"}),
            json!({"sub": "x".repeat(256)}),
        ] {
            assert_eq!(person_of(&nobody, "sub", "i"), None, "{nobody}");
        }
    }
}
