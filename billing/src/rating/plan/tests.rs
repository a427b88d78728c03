use std::collections::BTreeSet;

use serde_json::json;

use super::super::number::NotADecimal;
use super::*;

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
    let plan = json!({"currency": "CNY", "timeZone": "UTC", "charges": [], "bonuses": []});
    assert_eq!(
        RatePlan::from_json(&plan),
        Err(PlanError::UnknownField {
            field: "bonuses".into()
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
    for model in ["Tiered", "graduated", "Free"] {
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
    let comment = PlanError::IdentifyingDimension {
        field: "charges[0].where.comment".into(),
    };
    let said = json!({"comment": "x"});
    assert_eq!(with(json!({"meter": "ratings", "where": said})), Err(comment));
    assert!(
        with(json!({"where": said})).is_ok(),
        "of another meter it is any dimension"
    );
    let charge = json!({"name": "a", "meter": "m", "model": "PerUnit", "unitPrice": "1"});
    let twice = json!({"currency": "CNY", "timeZone": "UTC", "charges": [charge, charge]});
    assert_eq!(
        RatePlan::from_json(&twice),
        Err(PlanError::NamedTwice("charges", "a".into()))
    );
}

/// The plan of the contract with a field set.
fn whole_plan(path: &str, value: Value) -> Result<RatePlan, PlanError> {
    let mut plan = json!({
        "currency": "CNY", "timeZone": "Asia/Shanghai",
        "charges": [{"name": "answers", "meter": "interactions", "model": "PerUnit", "unitPrice": "0.10"}],
        "surcharges": [{"name": "evening peak", "charge": "answers", "unitPrice": "0.02", "windows": [
            {"days": ["Sat", "Sun"], "from": "20:00", "to": "24:00"}, {"calendar": "shopping"}]}],
        "calendars": {"shopping": ["2026-11-11", "2026-12-12"]},
        "modules": [{"name": "voice", "monthlyFee": "500.00"}],
        "minimumCommitment": "1000.00", "cap": "50000.00", "discount": {"percent": "0"},
        "tax": {"name": "VAT", "percent": "6", "inclusive": false},
        "sla": {"availability": {"objective": "99.9", "slice": "5m", "badShare": "0.05", "minimumRequests": 10, "noData": "Up",
            "credits": [{"below": "99.9", "percent": "10"}, {"below": "99", "percent": "25"}, {"below": "95", "percent": "100"}],
            "creditCap": "100"},
            "responseTime": {"within": "1s", "credits": [{"below": "95", "percent": "5"}]}}
    });
    if !path.is_empty() {
        *plan.pointer_mut(path).unwrap() = value;
    }
    RatePlan::from_json(&plan)
}

#[test]
fn every_field_of_the_contract_is_read() {
    let plan = whole_plan("", Value::Null).unwrap();
    assert_eq!(plan.surcharges[0].windows.len(), 2);
    assert_eq!(plan.surcharges[0].calendars["shopping"].len(), 2);
    assert_eq!(plan.modules[0].monthly_fee.to_string(), "500");
    assert_eq!(plan.cap.unwrap().to_string(), "50000");
    let availability = plan.service_level.availability.unwrap();
    let bounds: Vec<_> = availability
        .credits
        .rows
        .iter()
        .map(|row| row.below.to_string())
        .collect();
    assert_eq!(bounds, ["95", "99", "99.9"], "the lowest bound first");
    assert_eq!(plan.service_level.response_time.unwrap().within.as_secs(), 1);
}

#[test]
fn what_contradicts_itself_is_refused_by_its_place() {
    for (path, value, expected) in [
        (
            "/cap",
            json!("999.99"),
            "cap 999.99 is below minimumCommitment 1000",
        ),
        (
            "/surcharges/0/charge",
            json!("other"),
            "surcharges[0].charge names the charge \"other\"",
        ),
        (
            "/surcharges/0/windows/1/calendar",
            json!("none"),
            "surcharges[0].windows[1].calendar names the calendar \"none\"",
        ),
        (
            "/surcharges/0/windows/0/from",
            json!("24:00"),
            "surcharges[0].windows[0].to must be later than from",
        ),
        (
            "/surcharges/0/windows/0/from",
            json!("20:10"),
            "surcharges[0].windows[0].from must be a time of day",
        ),
        (
            "/surcharges/0/windows/0/days",
            json!(["Saturday"]),
            "surcharges[0].windows[0].days must be days",
        ),
        (
            "/surcharges/0/windows",
            json!([]),
            "surcharges[0].windows must have at least one window",
        ),
        (
            "/surcharges/0/windows/0",
            json!({}),
            "surcharges[0].windows[0] must name",
        ),
        (
            "/calendars/shopping",
            json!(["2026-02-30"]),
            "calendars.shopping must be dates",
        ),
        (
            "/discount/percent",
            json!("100.1"),
            "discount.percent must be at most 100",
        ),
        (
            "/modules/0/monthlyFee",
            json!("-1"),
            "modules[0].monthlyFee is \"-1\", which must not be negative",
        ),
        (
            "/tax/inclusive",
            json!("yes"),
            "tax.inclusive must be true or false",
        ),
        (
            "/sla/availability/slice",
            json!("90s"),
            "sla.availability.slice must be whole minutes",
        ),
        (
            "/sla/availability/badShare",
            json!("1.01"),
            "sla.availability.badShare must be a share",
        ),
        (
            "/sla/availability/noData",
            json!("Ignore"),
            "sla.availability.noData must be Up, Down or Exclude",
        ),
        (
            "/sla/availability/credits/0/below",
            json!("99"),
            "sla.availability.credits[1].below is the bound of another row too",
        ),
        (
            "/sla/availability/minimumRequests",
            json!("10"),
            "sla.availability.minimumRequests must be a whole number",
        ),
        (
            "/sla/responseTime/within",
            json!("fast"),
            "sla.responseTime.within must be a duration",
        ),
    ] {
        let refusal = whole_plan(path, value).unwrap_err().to_string();
        assert!(refusal.starts_with(expected), "{path}: {refusal}");
    }
}
