//! A client firm's knowledge, compiled: shared by all its conversations, swapped as a whole.
//!
//! Two BM25 rankings are joined: over each entry as one document (all its questions, and its answer at a lower weight), and
//! over each question alone (an entry's best question counts). Each is divided by its own best score, so that they weigh the same.

use std::collections::HashMap;

use crate::bm25::{Document, Index, Parameters, add};
use crate::knowledge::{Entry, KnowledgeError, check_all, parse_file};
use crate::text::{exact_key, features};

const BY_ENTRY: Parameters = Parameters { k1: 3.0, b: 0.3 };
const BY_QUESTION: Parameters = Parameters { k1: 1.2, b: 0.4 };
/// Weight of a feature of the answer, where one of a question weighs 1.
const ANSWER_WEIGHT: f32 = 0.3;

/// See the module.
#[derive(Debug)]
pub struct Bundle {
    entries: Vec<Entry>,
    /// Exact key of a question to its entry.
    exact: HashMap<String, usize>,
    by_id: HashMap<String, usize>,
    documents: Vec<Document>,
    by_entry: Index,
    by_question: Index,
    /// Entry of each question in `by_question`.
    entry_of_question: Vec<usize>,
}

/// An entry that may answer.
#[derive(Clone, Copy, Debug)]
pub struct Match<'a> {
    /// The entry.
    pub entry: &'a Entry,
    /// Joined score, at most 2.
    pub score: f32,
    /// Share of the question's weight that the entry covers, 0 to 1.
    pub coverage: f32,
}

impl Bundle {
    /// Reads and compiles files of `(name, text)`.
    pub fn from_files<'a>(
        files: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, KnowledgeError> {
        let mut entries = Vec::new();
        for (name, text) in files {
            entries.extend(parse_file(name, text)?);
        }
        Self::compile(entries)
    }

    /// Compiles entries.
    pub fn compile(entries: Vec<Entry>) -> Result<Self, KnowledgeError> {
        check_all(&entries)?;
        let (mut exact, mut by_id) = (HashMap::new(), HashMap::new());
        let (mut documents, mut questions, mut entry_of_question) = (Vec::new(), Vec::new(), Vec::new());
        for (place, entry) in entries.iter().enumerate() {
            by_id.insert(entry.id.clone(), place);
            let mut document = Document::new();
            for question in std::iter::once(&entry.question).chain(&entry.similar) {
                exact.entry(exact_key(question)).or_insert(place);
                let question_features = features(question);
                let mut alone = Document::new();
                add(&mut alone, question_features.clone(), 1.0);
                add(&mut document, question_features, 1.0);
                questions.push(alone);
                entry_of_question.push(place);
            }
            add(&mut document, features(&entry.answer), ANSWER_WEIGHT);
            documents.push(document);
        }
        let by_entry = Index::new(&documents, BY_ENTRY);
        let by_question = Index::new(&questions, BY_QUESTION);
        Ok(Self {
            entries,
            exact,
            by_id,
            documents,
            by_entry,
            by_question,
            entry_of_question,
        })
    }

    /// All entries.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The entry of that id.
    pub fn entry(&self, id: &str) -> Option<&Entry> {
        self.by_id.get(id).and_then(|place| self.entries.get(*place))
    }

    /// The entry that has exactly this question, as far as people write it the same.
    pub fn exact(&self, text: &str) -> Option<&Entry> {
        let key = exact_key(text);
        self.exact
            .get(&key)
            .filter(|_| !key.is_empty())
            .and_then(|place| self.entries.get(*place))
    }

    /// The best `most` entries, best first; entries that share nothing with `text` are not among them.
    pub fn best(&self, text: &str, most: usize) -> Vec<Match<'_>> {
        let mut query = Document::new();
        add(&mut query, features(text), 1.0);
        let mut joined = scaled_to_one(self.by_entry.scores(&query));
        for (score, best) in joined
            .iter_mut()
            .zip(scaled_to_one(self.best_question_of_each_entry(&query)))
        {
            *score += best;
        }
        let mut ranked: Vec<(usize, f32)> = joined
            .into_iter()
            .enumerate()
            .filter(|(_, score)| *score > 0.0)
            .collect();
        // Ties go to the earlier entry, so that the same question always gets the same answer.
        ranked.sort_by(|one, other| other.1.total_cmp(&one.1).then(one.0.cmp(&other.0)));
        ranked.truncate(most);
        ranked
            .into_iter()
            .filter_map(|(place, score)| {
                let entry = self.entries.get(place)?;
                let coverage = self.by_entry.coverage(&query, self.documents.get(place)?);
                Some(Match {
                    entry,
                    score,
                    coverage,
                })
            })
            .collect()
    }

    fn best_question_of_each_entry(&self, query: &Document) -> Vec<f32> {
        let mut best = vec![0.0_f32; self.entries.len()];
        for (score, place) in self
            .by_question
            .scores(query)
            .into_iter()
            .zip(&self.entry_of_question)
        {
            if let Some(best) = best.get_mut(*place) {
                *best = best.max(score);
            }
        }
        best
    }
}

fn scaled_to_one(mut scores: Vec<f32>) -> Vec<f32> {
    let best = scores.iter().copied().fold(0.0, f32::max);
    if best > 0.0 {
        for score in &mut scores {
            *score /= best;
        }
    }
    scores
}
