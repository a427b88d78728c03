//! What differs between a bill and what it comes to when it is priced again. Pure.
//!
//! Words are not compared: explanations and notes are of the version that wrote them, and in a language that may have been
//! changed since.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use crate::bill::correction::{Key, key_of};
use crate::bill::document::{Document, DocumentLine};
use crate::rating::rate::Line;

/// Stands where there is no such line or field.
const NONE: &str = "none";

/// Two figures that should be the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Difference {
    /// Which line, or field of a line.
    pub(super) what: String,
    /// As it is rated again.
    pub(super) rated: String,
    /// As it stands.
    pub(super) billed: String,
}

/// A line of a bill; of several that would be the same line also which of them.
type Place = (Key, usize);

/// Of each line that is not the same the amount, or where that is the same what it is made of; and of the total. `rated` is
/// `None` where nothing should have been issued.
pub(super) fn differences(rated: Option<&Document>, billed: &Document) -> Vec<Difference> {
    let (again, standing) = (rated.map(by_place).unwrap_or_default(), by_place(billed));
    let places: BTreeSet<_> = again.keys().chain(standing.keys()).collect();
    let lines = places
        .into_iter()
        .flat_map(|place| of_line(again.get(place).copied(), standing.get(place).copied()));
    let of = |what: &str, field: fn(&Document) -> &String| Difference {
        what: what.to_owned(),
        rated: rated.map_or_else(|| NONE.to_owned(), |rated| field(rated).clone()),
        billed: field(billed).clone(),
    };
    let whole = [
        of("currency", |document| &document.currency),
        of("total", |document| &document.total),
    ];
    let all = lines.chain(whole);
    all.filter(|difference| difference.rated != difference.billed)
        .collect()
}

fn by_place(document: &Document) -> BTreeMap<Place, &DocumentLine> {
    let mut lines = BTreeMap::new();
    for entry in &document.lines {
        let key = key_of(&entry.line);
        let same = lines.keys().filter(|(known, _)| *known == key).count();
        lines.insert((key, same), entry);
    }
    lines
}

fn of_line(again: Option<&DocumentLine>, standing: Option<&DocumentLine>) -> Vec<Difference> {
    let Some(name) = again.or(standing).map(|entry| name_of(&entry.line)) else {
        return Vec::new();
    };
    let amount = |entry: Option<&DocumentLine>| {
        entry.map_or_else(|| NONE.to_owned(), |entry| entry.line.amount.clone())
    };
    let (rated, billed) = (amount(again), amount(standing));
    if rated != billed {
        let what = name;
        return vec![Difference { what, rated, billed }];
    }
    let (again, standing) = (
        again.map(fields).unwrap_or_default(),
        standing.map(fields).unwrap_or_default(),
    );
    let names: BTreeSet<_> = again.keys().chain(standing.keys()).collect();
    let field = |field: &String| Difference {
        what: format!("{name}, {field}"),
        rated: text_of(again.get(field)),
        billed: text_of(standing.get(field)),
    };
    names.into_iter().map(field).collect()
}

/// Its name, with what tells it from others of that name.
fn name_of(line: &Line) -> String {
    let tier = line.tier().map(|tier| format!(", tier {}", tier.tier));
    let part = line.part.as_ref().map(|part| format!(" from {}", part.start));
    [Some(line.name.clone()), tier, part]
        .into_iter()
        .flatten()
        .collect()
}

/// All that a line says but in words.
fn fields(entry: &DocumentLine) -> Map<String, Value> {
    match serde_json::to_value(entry) {
        Ok(Value::Object(mut fields)) => {
            fields.remove("explanation");
            fields
        }
        _ => Map::new(),
    }
}

fn text_of(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => NONE.to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pdf::sample::document;
    use crate::rating::number::Exact;
    use crate::rating::rate::Rule;

    fn shown(rated: Option<&Document>, billed: &Document) -> Vec<String> {
        let shown = |Difference { what, rated, billed }| format!("{what}: {rated}, {billed}");
        differences(rated, billed).into_iter().map(shown).collect()
    }

    #[test]
    fn words_and_what_a_bill_has_beside_its_lines_are_no_difference() {
        let billed = document();
        let mut rated = billed.clone();
        for entry in &mut rated.lines {
            entry.explanation = "otherwise".to_owned();
        }
        rated.notes = vec!["another note".to_owned()];
        rated.locale = "en".to_owned();
        rated.number = None;
        assert_eq!(shown(Some(&rated), &billed), Vec::<String>::new());
    }

    #[test]
    fn an_amount_a_rule_a_line_and_a_total_that_differ_are_named_with_both_figures() {
        let rated = document();
        let mut billed = rated.clone();
        let name = billed.lines[0].line.name.clone();
        "1.23".clone_into(&mut billed.lines[0].line.amount);
        let said = shown(Some(&rated), &billed);
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(
            said[0].starts_with(&name) && said[0].ends_with(&format!("{}, 1.23", rated.lines[0].line.amount))
        );

        let mut billed = rated.clone();
        let Rule::Charge { included, .. } = &mut billed.lines[0].line.rule else {
            panic!("the first line is a charge")
        };
        *included = Exact::new(77, 0);
        "9.99".clone_into(&mut billed.total);
        let said = shown(Some(&rated), &billed);
        assert_eq!(said.len(), 2, "{said:?}");
        assert!(
            said[0].starts_with(&format!("{name}, tier 1, included: ")) && said[0].ends_with(", 77"),
            "{said:?}"
        );
        assert_eq!(said[1], format!("total: {}, 9.99", rated.total));

        let mut billed = rated.clone();
        let twice = billed.lines[0].clone();
        let gone = billed.lines.pop().unwrap();
        billed.lines.push(twice.clone());
        let said = shown(Some(&rated), &billed);
        assert_eq!(said.len(), 2, "{said:?}");
        assert!(
            said.iter()
                .any(|said| said.ends_with(&format!("{}, none", gone.line.amount)))
        );
        assert!(
            said.iter()
                .any(|said| said.ends_with(&format!("none, {}", twice.line.amount)))
        );
    }

    #[test]
    fn what_should_not_have_been_issued_differs_in_all() {
        let billed = document();
        let said = shown(None, &billed);
        assert_eq!(said.len(), billed.lines.len() + 2);
        assert!(
            said.contains(&format!("total: none, {}", billed.total)),
            "{said:?}"
        );
    }
}
