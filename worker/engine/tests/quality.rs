//! How well questions find their answers, on the knowledge that is shipped and, where it lies beside the project, on real data.
use std::collections::BTreeMap;
use std::path::Path;

use springtide_engine::knowledge::{Entry, parse_file};
use springtide_engine::{Answer, Bundle, DialogueState, answer};

#[derive(serde::Deserialize)]
struct Question {
    text: String,
    id: Option<String>,
}

fn share_right(bundle: &Bundle, questions: &[(String, String)]) -> f64 {
    let right = questions
        .iter()
        .filter(|(text, id)| {
            answer(bundle, &DialogueState::default(), text).answer == Answer::Unique(id.clone())
        })
        .count();
    right as f64 / questions.len() as f64
}

#[test]
fn shipped_questions_find_their_answers_and_foreign_ones_mostly_get_sorry() {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/system/data");
    let knowledge = std::fs::read_to_string(data.join("knowledge.jsonl")).unwrap();
    let bundle = Bundle::compile(parse_file("knowledge.jsonl", &knowledge).unwrap()).unwrap();
    let text = std::fs::read_to_string(data.join("questions.jsonl")).unwrap();
    let questions: Vec<Question> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let foreign: Vec<_> = questions
        .iter()
        .filter(|question| question.id.is_none())
        .collect();
    let sorry = |question: &&&Question| {
        answer(&bundle, &DialogueState::default(), &question.text).answer == Answer::Sorry
    };
    let refused = foreign.iter().filter(sorry).count();
    let known: Vec<_> = questions
        .iter()
        .filter_map(|question| Some((question.text.clone(), question.id.clone()?)))
        .collect();
    let right = share_right(&bundle, &known);
    println!(
        "shipped: {right:.3} of {} right at once; {refused} of {} foreign ones refused",
        known.len(),
        foreign.len()
    );
    assert!(right >= 0.85, "{right}");
    assert!(refused * 2 >= foreign.len(), "{refused} of {}", foreign.len());
}

#[test]
fn held_out_bank_questions_are_answered_right_at_once_in_at_least_58_of_100() {
    let Some(folder) = std::env::var_os("SPRINGTIDE_DATA") else {
        println!("skipped: SPRINGTIDE_DATA is not set, so there is no real data to ask");
        return;
    };
    let Ok(text) = std::fs::read_to_string(Path::new(&folder).join("unionpay_faq/questions.jsonl")) else {
        println!("skipped: no unionpay_faq/questions.jsonl in SPRINGTIDE_DATA");
        return;
    };
    let mut entries: BTreeMap<String, Entry> = BTreeMap::new();
    let mut held_out = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        let field = |name: &str| line[name].as_str().unwrap().to_owned();
        if number % 5 == 4 {
            held_out.push((field("question"), field("answer_id")));
            continue;
        }
        entries
            .entry(field("answer_id"))
            .and_modify(|entry| entry.similar.push(field("question")))
            .or_insert_with(|| Entry {
                id: field("answer_id"),
                question: field("question"),
                similar: vec![],
                answer: field("answer"),
            });
    }
    let right = share_right(
        &Bundle::compile(entries.into_values().collect()).unwrap(),
        &held_out,
    );
    println!("bank: {right:.3} of {} right at once", held_out.len());
    assert!(right >= 0.58, "{right}");
}
