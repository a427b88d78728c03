use super::*;
use serde_json::json;

fn graduated(tiers: &Value) -> Value {
    json!({"currency": "CNY", "timeZone": "Asia/Shanghai", "charges": [
        {"name": "answers", "meter": "interactions", "model": "Graduated", "tiers": tiers}]})
}

fn refusal(spec: &Value) -> String {
    RatePlan::from_json(spec).unwrap_err().to_string()
}

#[test]
fn the_plan_of_the_contract_is_read() {
    let plan = RatePlan::parse(
        r#"{"currency":"CNY","timeZone":"Asia/Shanghai","charges":[{"name":"answers","meter":"interactions",
        "model":"Graduated","included":"1000","where":{"kind":["answer","list"],"channel":"web"},
        "tiers":[{"upTo":"10000","unitPrice":"0.10"},{"upTo":"100000","unitPrice":"0.08","flatFee":"0"},{"unitPrice":"0.05"}]}]}"#,
    )
    .unwrap();
    let charge = &plan.charges[0];
    assert_eq!(charge.included.to_string(), "1000");
    assert_eq!(charge.filter.0["channel"], BTreeSet::from(["web".to_owned()]));
    let Model::Graduated(tiers) = &charge.model else {
        panic!("not graduated")
    };
    assert_eq!(tiers.as_slice().len(), 3);
    assert_eq!(tiers.as_slice()[2].up_to, None);
}

#[test]
fn a_field_that_does_nothing_is_refused_by_its_name_and_place() {
    let plan = json!({"currency": "CNY", "timeZone": "UTC", "charges": [], "surcharges": []});
    assert_eq!(
        RatePlan::from_json(&plan),
        Err(PlanError::UnknownField {
            field: "surcharges".into()
        })
    );
    assert!(refusal(&plan).contains("a field exists only when it does something"));
    let tier = graduated(&json!([{"unitPrice": "1", "discount": "5"}]));
    assert_eq!(
        RatePlan::from_json(&tier),
        Err(PlanError::UnknownField {
            field: "charges[0].tiers[0].discount".into()
        })
    );
    let mixed = json!({"currency": "CNY", "timeZone": "UTC", "charges": [
        {"name": "a", "meter": "m", "model": "PerUnit", "unitPrice": "1", "tiers": []}]});
    assert_eq!(
        RatePlan::from_json(&mixed),
        Err(PlanError::UnknownField {
            field: "charges[0].tiers".into()
        })
    );
    let absent = json!({"currency": "CNY", "timeZone": "UTC", "charges": null, "cap": null});
    assert!(RatePlan::from_json(&absent).is_ok(), "null is as good as absent");
}

#[test]
fn a_model_that_does_nothing_is_refused_by_its_name() {
    for model in ["Volume", "Package", "graduated", "Free"] {
        let plan = json!({"currency": "CNY", "timeZone": "UTC", "charges": [{"name": "a", "meter": "m", "model": model}]});
        assert_eq!(
            RatePlan::from_json(&plan),
            Err(PlanError::UnknownModel {
                field: "charges[0].model".into(),
                model: model.into()
            })
        );
    }
}

#[test]
fn tiers_that_contradict_themselves_are_refused() {
    let place = |position| format!("charges[0].tiers[{position}]");
    for (tiers, expected) in [
        (
            json!([{"upTo": "5", "unitPrice": "1"}]),
            PlanError::NoOpenTier {
                field: "charges[0].tiers".into(),
            },
        ),
        (
            json!([{"upTo": "5", "unitPrice": "1"}, {"upTo": "5.0", "unitPrice": "1"}, {"unitPrice": "1"}]),
            PlanError::TiersNotIncreasing { field: place(1) },
        ),
        (
            json!([{"upTo": "0", "unitPrice": "1"}, {"unitPrice": "1"}]),
            PlanError::TiersNotIncreasing { field: place(0) },
        ),
        (
            json!([{"unitPrice": "1"}, {"unitPrice": "2"}]),
            PlanError::OpenTierNotLast { field: place(0) },
        ),
        (
            json!([]),
            PlanError::wrong("charges[0].tiers", "must have at least one tier"),
        ),
        (
            json!([{"upTo": "5"}, {"unitPrice": "2"}]),
            PlanError::wrong("charges[0].tiers[0].unitPrice", "is missing"),
        ),
    ] {
        assert_eq!(RatePlan::from_json(&graduated(&tiers)), Err(expected), "{tiers}");
    }
}

#[test]
fn prices_are_decimal_strings_that_are_not_negative() {
    assert_eq!(
        RatePlan::from_json(&graduated(&json!([{"unitPrice": "-0.10"}]))),
        Err(PlanError::Decimal {
            field: "charges[0].tiers[0].unitPrice".into(),
            value: "-0.10".into(),
            why: NotADecimal::Negative
        })
    );
    assert!(refusal(&graduated(&json!([{"unitPrice": 0.1}]))).contains("decimal string"));
    assert!(refusal(&graduated(&json!([{"unitPrice": "1e-1"}]))).contains("is not a decimal"));
}

#[test]
fn currency_zone_names_and_filters_are_checked() {
    let with = |patch: Value| {
        let mut plan = graduated(&json!([{"unitPrice": "1"}]));
        for (key, value) in patch.as_object().unwrap() {
            if ["currency", "timeZone"].contains(&key.as_str()) {
                plan[key] = value.clone();
            } else {
                plan["charges"][0][key] = value.clone();
            }
        }
        RatePlan::from_json(&plan)
    };
    assert_eq!(
        with(json!({"currency": "RMB"})),
        Err(PlanError::UnknownCurrency("RMB".into()))
    );
    assert_eq!(
        with(json!({"timeZone": "Asia/Nowhere"})),
        Err(PlanError::UnknownZone("Asia/Nowhere".into()))
    );
    assert!(with(json!({"meter": "Inter actions"})).is_err());
    assert!(with(json!({"name": ""})).is_err());
    assert!(with(json!({"where": {"outcome": []}})).is_err());
    assert!(with(json!({"where": {"outcome": 1}})).is_err());
    let turn = PlanError::IdentifyingDimension {
        field: "charges[0].where.turn".into(),
    };
    assert_eq!(with(json!({"where": {"turn": "1"}})), Err(turn));
    let charge = json!({"name": "a", "meter": "m", "model": "PerUnit", "unitPrice": "1"});
    let twice = json!({"currency": "CNY", "timeZone": "UTC", "charges": [charge, charge]});
    assert_eq!(
        RatePlan::from_json(&twice),
        Err(PlanError::ChargeTwice("a".into()))
    );
}
