//! Knowledge and customers' questions: what the project ships, or a user's own.
//!
//! Two forms of a file are read. *Ours*: knowledge `{"id","question","similar","answer"}`, questions `{"text","id"}`. *FAQ*:
//! `{"question","answer_id","answer"}` a line, where lines of one `answer_id` are one entry; of a file in this form each line
//! whose number, counted from 0, leaves 4 when divided by 5 is held out of the knowledge, and only those lines are asked.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use serde::Deserialize;
use springtide_engine::Entry;

/// Bytes of knowledge in one ConfigMap, at most.
const PART_BYTES: usize = 900_000;

/// A question that a customer asks.
#[derive(Clone, Debug)]
pub struct Question {
    /// Number, from 0, of its line in the questions file.
    pub id: usize,
    /// What is typed.
    pub text: String,
    /// Id of the entry that answers it; `None` if nothing in the knowledge does.
    pub answer_id: Option<String>,
}

/// What one tenant's bot knows, what its customers ask, and when they come.
#[derive(Clone, Debug)]
pub struct TenantData {
    /// Where the knowledge came from.
    pub knowledge_file: PathBuf,
    /// Where the questions came from.
    pub questions_file: PathBuf,
    /// Arrival curve.
    pub trace_file: PathBuf,
    /// Knowledge.
    pub entries: Vec<Entry>,
    /// Questions.
    pub questions: Vec<Question>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum QuestionLine {
    Faq { question: String, answer_id: String },
    Ours { text: String, id: Option<String> },
}

#[derive(Deserialize)]
#[serde(untagged)]
enum KnowledgeLine {
    Faq {
        question: String,
        answer_id: String,
        answer: String,
    },
    Ours(Entry),
}

/// Files that the project ships.
pub fn shipped(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("data").join(name)
}

impl TenantData {
    /// Reads the three files.
    pub fn read(
        knowledge_file: PathBuf,
        questions_file: PathBuf,
        trace_file: PathBuf,
    ) -> anyhow::Result<Self> {
        let entries = read_knowledge(&knowledge_file)?;
        let questions = read_questions(&questions_file)?;
        if !trace_file.is_file() {
            bail!("there is no trace at {}", trace_file.display());
        }
        Ok(Self {
            knowledge_file,
            questions_file,
            trace_file,
            entries,
            questions,
        })
    }

    /// What the project ships.
    pub fn shipped(trace: &str) -> anyhow::Result<Self> {
        Self::read(
            shipped("knowledge.jsonl"),
            shipped("questions.jsonl"),
            shipped(trace),
        )
    }

    /// The knowledge as JSON lines, in parts that each fit a ConfigMap.
    pub fn knowledge_parts(&self) -> anyhow::Result<Vec<String>> {
        let mut parts = vec![String::new()];
        for entry in &self.entries {
            let line = serde_json::to_string(entry)? + "\n";
            if parts
                .last()
                .is_some_and(|part| part.len() + line.len() > PART_BYTES)
            {
                parts.push(String::new());
            }
            if let Some(part) = parts.last_mut() {
                part.push_str(&line);
            }
        }
        Ok(parts)
    }
}

fn is_held_out(line: usize) -> bool {
    line % 5 == 4
}

fn lines_of<T: for<'a> Deserialize<'a>>(file: &Path) -> anyhow::Result<Vec<(usize, T)>> {
    let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let lines = text
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty());
    lines
        .map(|(number, line)| {
            let parsed = serde_json::from_str(line);
            Ok((
                number,
                parsed.with_context(|| format!("{}, line {} (counted from 0)", file.display(), number))?,
            ))
        })
        .collect()
}

fn read_knowledge(file: &Path) -> anyhow::Result<Vec<Entry>> {
    let mut faq: BTreeMap<String, Entry> = BTreeMap::new();
    let mut entries = Vec::new();
    for (number, line) in lines_of::<KnowledgeLine>(file)? {
        match line {
            KnowledgeLine::Ours(entry) => entries.push(entry),
            KnowledgeLine::Faq { .. } if is_held_out(number) => {}
            KnowledgeLine::Faq {
                question,
                answer_id,
                answer,
            } => {
                faq.entry(answer_id.clone())
                    .and_modify(|entry| entry.similar.push(question.clone()))
                    .or_insert_with(|| Entry {
                        id: answer_id,
                        question,
                        similar: Vec::new(),
                        answer,
                    });
            }
        }
    }
    entries.extend(faq.into_values());
    springtide_engine::knowledge::check_all(&entries).with_context(|| format!("{}", file.display()))?;
    Ok(entries)
}

fn read_questions(file: &Path) -> anyhow::Result<Vec<Question>> {
    let questions: Vec<_> = lines_of::<QuestionLine>(file)?
        .into_iter()
        .filter_map(|(id, line)| match line {
            QuestionLine::Ours { text, id: answer_id } => Some(Question { id, text, answer_id }),
            QuestionLine::Faq { question, answer_id } => is_held_out(id).then_some(Question {
                id,
                text: question,
                answer_id: Some(answer_id),
            }),
        })
        .collect();
    if questions.is_empty() {
        bail!("there is no question in {}", file.display());
    }
    Ok(questions)
}

/// Where each tenant's data comes from: files named one by one, or a folder, for the first tenant; ours for the rest.
#[derive(clap::Args, Clone, Debug, Default)]
pub struct DataArgs {
    /// Knowledge of the first tenant, instead of what is shipped (see the README for the two forms)
    #[arg(long, value_name = "FILE")]
    pub knowledge: Option<PathBuf>,
    /// Questions that the first tenant's customers ask
    #[arg(long, value_name = "FILE")]
    pub questions: Option<PathBuf>,
    /// Arrivals of the first tenant's customers: CSV with a header, time first, count second
    #[arg(long, value_name = "FILE")]
    pub trace: Option<PathBuf>,
    /// Folder with `unionpay_faq/questions.jsonl` and `traces/bank_calls_5min.csv`, taken for what is not named
    #[arg(long, env = "SPRINGTIDE_DATA", value_name = "FOLDER")]
    pub data: Option<PathBuf>,
}

impl DataArgs {
    /// Data of the first tenant and of the second.
    pub fn read(&self) -> anyhow::Result<[TenantData; 2]> {
        let in_folder = |name: &str| {
            self.data
                .as_ref()
                .map(|folder| folder.join(name))
                .filter(|file| file.is_file())
        };
        let faq = in_folder("unionpay_faq/questions.jsonl");
        let ours_or = |named: &Option<PathBuf>, found: Option<PathBuf>, ours: &str| {
            named.clone().or(found).unwrap_or_else(|| shipped(ours))
        };
        let first = TenantData::read(
            ours_or(&self.knowledge, faq.clone(), "knowledge.jsonl"),
            ours_or(&self.questions, faq, "questions.jsonl"),
            ours_or(
                &self.trace,
                in_folder("traces/bank_calls_5min.csv"),
                "arrivals_evening.csv",
            ),
        )?;
        Ok([first, TenantData::shipped("arrivals_evening.csv")?])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faq_lines_are_entries_by_answer_and_every_fifth_is_asked_only() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("faq.jsonl");
        let line = |number: usize| {
            format!(
                "{{\"question\":\"q{number}\",\"answer_id\":\"{}\",\"answer\":\"a\",\"subject\":\"s\"}}\n",
                number % 2
            )
        };
        std::fs::write(&file, (0..10).map(line).collect::<String>()).unwrap();
        let entries = read_knowledge(&file).unwrap();
        assert_eq!(entries.len(), 2);
        assert_eq!(
            entries.iter().map(|entry| 1 + entry.similar.len()).sum::<usize>(),
            8
        );
        let questions = read_questions(&file).unwrap();
        assert_eq!(
            questions.iter().map(|question| question.id).collect::<Vec<_>>(),
            [4, 9]
        );
        assert_eq!(questions[1].answer_id.as_deref(), Some("1"));
    }

    #[test]
    fn what_is_shipped_is_complete_and_no_question_is_in_the_knowledge() {
        let data = TenantData::shipped("arrivals_evening.csv").unwrap();
        assert!(data.entries.len() >= 60 && data.entries.iter().all(|entry| entry.similar.len() >= 5));
        assert!(data.questions.len() >= 200);
        let bundle = springtide_engine::Bundle::compile(data.entries.clone()).unwrap();
        let known: Vec<_> = data
            .questions
            .iter()
            .filter(|question| bundle.exact(&question.text).is_some())
            .collect();
        assert!(known.is_empty(), "{known:?}");
        assert!(
            data.knowledge_parts()
                .unwrap()
                .iter()
                .all(|part| part.len() <= PART_BYTES)
        );
    }
}
