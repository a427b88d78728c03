//! Knowledge as people write it: JSON lines, or a YAML or JSON list, of entries
//! `{id, question, similar: […], answer}`.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

/// Longest id, in characters: it fits a usage record's dimension.
pub const MAX_ID: usize = 64;
/// Longest question, in characters.
pub const MAX_QUESTION: usize = 1_000;
/// Longest answer, in characters.
pub const MAX_ANSWER: usize = 8_000;
/// Most similar questions of one entry.
pub const MAX_SIMILAR: usize = 500;
/// Most entries of one bundle.
pub const MAX_ENTRIES: usize = 50_000;

/// One thing that the bot knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// Stable name of the entry; usage records and statistics carry it.
    pub id: String,
    /// The standard question, shown where a customer chooses from a list.
    pub question: String,
    /// Other ways to ask it.
    #[serde(default)]
    pub similar: Vec<String>,
    /// What the customer reads.
    pub answer: String,
}

/// Why knowledge cannot be used; says where.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KnowledgeError {
    /// A line is not a JSON object of an entry's shape.
    #[error("{file}, line {line}: {cause}")]
    Line {
        /// Which file.
        file: String,
        /// Counted from 1.
        line: usize,
        /// What is wrong.
        cause: String,
    },
    /// The file is not a list of entries.
    #[error("{file}: {cause}")]
    File {
        /// Which file.
        file: String,
        /// What is wrong.
        cause: String,
    },
    /// An entry breaks a rule.
    #[error("{file}, entry {id:?}: {cause}")]
    Entry {
        /// Which file.
        file: String,
        /// Its id, as far as it has one.
        id: String,
        /// Which rule.
        cause: String,
    },
    /// Nothing is known.
    #[error("there is no entry in the knowledge: it needs at least one {{id, question, answer}}")]
    Empty,
    /// More than a bundle holds.
    #[error("there are {0} entries in the knowledge, more than {MAX_ENTRIES}")]
    TooMany(usize),
}

/// Reads one file; its form follows from its name: `.yaml`, `.yml` and `.json` are a list, all else JSON lines.
pub fn parse_file(file: &str, text: &str) -> Result<Vec<Entry>, KnowledgeError> {
    let extension = std::path::Path::new(file)
        .extension()
        .and_then(|extension| extension.to_str())
        .unwrap_or_default();
    let entries: Vec<Entry> = match extension {
        "yaml" | "yml" => serde_saphyr::from_str(text).map_err(|error| file_error(file, &error))?,
        "json" => serde_json::from_str(text).map_err(|error| file_error(file, &error))?,
        _ => parse_lines(file, text)?,
    };
    for entry in &entries {
        check(file, entry)?;
    }
    Ok(entries)
}

fn file_error(file: &str, error: &impl std::fmt::Display) -> KnowledgeError {
    KnowledgeError::File {
        file: file.to_owned(),
        cause: error.to_string(),
    }
}

fn parse_lines(file: &str, text: &str) -> Result<Vec<Entry>, KnowledgeError> {
    let lines = text
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty());
    lines
        .map(|(index, line)| {
            serde_json::from_str(line).map_err(|error| KnowledgeError::Line {
                file: file.to_owned(),
                line: index + 1,
                cause: error.to_string(),
            })
        })
        .collect()
}

fn check(file: &str, entry: &Entry) -> Result<(), KnowledgeError> {
    let Entry {
        id,
        question,
        similar,
        answer,
    } = entry;
    let wrong = |cause: &str| {
        Err(KnowledgeError::Entry {
            file: file.to_owned(),
            id: id.clone(),
            cause: cause.to_owned(),
        })
    };
    let fits = |text: &str, longest: usize| !text.trim().is_empty() && text.chars().count() <= longest;
    if !fits(id, MAX_ID) || id.chars().any(char::is_control) {
        return wrong("the id must have 1 to 64 characters");
    }
    if !fits(question, MAX_QUESTION) || similar.iter().any(|question| !fits(question, MAX_QUESTION)) {
        return wrong("each question must have 1 to 1,000 characters");
    }
    if similar.len() > MAX_SIMILAR {
        return wrong("there are more than 500 similar questions");
    }
    if !fits(answer, MAX_ANSWER) {
        return wrong("the answer must have 1 to 8,000 characters");
    }
    Ok(())
}

/// Checks what no file alone can know: ids are unique, and there is something.
pub fn check_all(entries: &[Entry]) -> Result<(), KnowledgeError> {
    if entries.is_empty() {
        return Err(KnowledgeError::Empty);
    }
    if entries.len() > MAX_ENTRIES {
        return Err(KnowledgeError::TooMany(entries.len()));
    }
    let mut seen = HashSet::new();
    match entries.iter().find(|entry| !seen.insert(&entry.id)) {
        None => Ok(()),
        Some(twice) => Err(KnowledgeError::Entry {
            file: "knowledge".to_owned(),
            id: twice.id.clone(),
            cause: "the id is used twice".to_owned(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str =
        r#"{"id":"a","question":"退款多久到账","similar":["钱什么时候退"],"answer":"三天内。"}"#;

    #[test]
    fn json_lines_yaml_and_json_say_the_same() {
        let yaml = "- id: a\n  question: 退款多久到账\n  similar: [钱什么时候退]\n  answer: 三天内。\n";
        let lines = parse_file("k.jsonl", &format!("{LINE}\n\n")).unwrap();
        assert_eq!(lines, parse_file("k.yaml", yaml).unwrap());
        assert_eq!(lines, parse_file("k.json", &format!("[{LINE}]")).unwrap());
    }

    #[test]
    fn a_wrong_line_is_named_by_its_number() {
        let error = parse_file("k.jsonl", &format!("{LINE}\n{{\"id\":\"b\"}}\n")).unwrap_err();
        assert!(matches!(&error, KnowledgeError::Line { line: 2, .. }), "{error}");
        assert!(error.to_string().contains("k.jsonl, line 2"), "{error}");
    }

    #[test]
    fn unknown_fields_empty_answers_and_repeated_ids_are_refused() {
        assert!(
            parse_file(
                "k.jsonl",
                r#"{"id":"a","question":"x","answer":"y","anwser":"z"}"#
            )
            .is_err()
        );
        assert!(parse_file("k.jsonl", r#"{"id":"a","question":"x","answer":" "}"#).is_err());
        let entries = parse_file("k.jsonl", &format!("{LINE}\n{LINE}")).unwrap();
        assert!(
            check_all(&entries)
                .unwrap_err()
                .to_string()
                .contains("used twice")
        );
        assert_eq!(check_all(&[]), Err(KnowledgeError::Empty));
    }
}
