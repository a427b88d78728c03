//! Okapi BM25 (Robertson & Zaragoza 2009, "The Probabilistic Relevance Framework: BM25 and Beyond", section 3) over weighted
//! term frequencies, so that a document may have parts that count less (BM25F with one length).
//!
//! `score(q, d) = Σ_t q_t · ln(1 + (N − n_t + ½)/(n_t + ½)) · f_td (k₁ + 1) / (f_td + k₁ (1 − b + b |d|/avg))`

use std::collections::HashMap;

/// Saturation `k1` and length normalisation `b`.
#[derive(Clone, Copy, Debug)]
pub struct Parameters {
    /// How slowly repetitions stop counting.
    pub k1: f32,
    /// How much long documents are held back, 0 to 1.
    pub b: f32,
}

/// A document: term to weighted frequency.
pub type Document = HashMap<String, f32>;

#[derive(Debug)]
struct Term {
    /// Inverse document frequency.
    idf: f32,
    /// (document, its part of the score before idf).
    postings: Vec<(u32, f32)>,
}

/// An inverted index.
#[derive(Debug)]
pub struct Index {
    terms: HashMap<String, Term>,
    documents: usize,
}

impl Index {
    /// Compiles `documents`; they are known by their place from then on.
    pub fn new(documents: &[Document], parameters: Parameters) -> Self {
        let Parameters { k1, b } = parameters;
        let lengths: Vec<f32> = documents.iter().map(|document| document.values().sum()).collect();
        let average = (lengths.iter().sum::<f32>() / documents.len().max(1) as f32).max(f32::MIN_POSITIVE);
        let mut terms: HashMap<String, Term> = HashMap::new();
        for (place, (document, length)) in (0_u32..).zip(documents.iter().zip(&lengths)) {
            let damping = k1 * (1.0 - b + b * length / average);
            for (term, frequency) in document {
                let part = frequency * (k1 + 1.0) / (frequency + damping);
                let term = terms.entry(term.clone()).or_insert_with(|| Term {
                    idf: 0.0,
                    postings: Vec::new(),
                });
                term.postings.push((place, part));
            }
        }
        for term in terms.values_mut() {
            term.idf = idf(documents.len(), term.postings.len());
        }
        Self {
            terms,
            documents: documents.len(),
        }
    }

    /// Scores of all documents that share a term with the query, by place.
    pub fn scores(&self, query: &Document) -> Vec<f32> {
        let mut scores = vec![0.0; self.documents];
        for (text, count) in query {
            let Some(term) = self.terms.get(text) else {
                continue;
            };
            for (place, part) in &term.postings {
                if let Some(score) = usize::try_from(*place)
                    .ok()
                    .and_then(|place| scores.get_mut(place))
                {
                    *score += count * term.idf * part;
                }
            }
        }
        scores
    }

    /// Weight of a query's terms that are in `document`, of the weight of all its terms: 0 to 1. A term that is in no
    /// document weighs as one that is in a single document.
    pub fn coverage(&self, query: &Document, document: &Document) -> f32 {
        let weight = |text: &str| {
            self.terms
                .get(text)
                .map_or_else(|| idf(self.documents, 1), |term| term.idf)
        };
        let (mut covered, mut all) = (0.0, 0.0);
        for text in query.keys() {
            all += weight(text);
            covered += if document.contains_key(text) {
                weight(text)
            } else {
                0.0
            };
        }
        if all > 0.0 { covered / all } else { 0.0 }
    }
}

fn idf(documents: usize, with_term: usize) -> f32 {
    let (all, with_term) = (documents as f32, with_term as f32);
    (1.0 + (all - with_term + 0.5) / (with_term + 0.5)).ln()
}

/// Adds `weight` for each occurrence of each feature.
pub fn add(document: &mut Document, features: Vec<String>, weight: f32) {
    for feature in features {
        *document.entry(feature).or_default() += weight;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(words: &[&str]) -> Document {
        let mut document = Document::new();
        add(
            &mut document,
            words.iter().map(|&word| word.to_owned()).collect(),
            1.0,
        );
        document
    }

    #[test]
    fn scores_are_those_of_the_formula() {
        let documents = [document(&["a", "b"]), document(&["a", "a", "c", "c"])];
        let index = Index::new(&documents, Parameters { k1: 1.2, b: 0.75 });
        let scores = index.scores(&document(&["a", "c"]));
        // N = 2, avg = 3; idf(a) = ln(1 + 0.5/2.5), idf(c) = ln(1 + 1.5/1.5)
        let (idf_a, idf_c) = (1.2_f32.ln(), 2.0_f32.ln());
        let first = idf_a * 2.2 / (1.0 + 1.2 * (0.25 + 0.75 * 2.0 / 3.0));
        let second = (idf_a + idf_c) * 2.0 * 2.2 / (2.0 + 1.2 * (0.25 + 0.75 * 4.0 / 3.0));
        assert!(
            (scores[0] - first).abs() < 1e-6 && (scores[1] - second).abs() < 1e-6,
            "{scores:?}"
        );
    }

    #[test]
    fn coverage_is_the_share_of_the_querys_weight() {
        let documents = [document(&["a", "b"]), document(&["c"])];
        let index = Index::new(&documents, Parameters { k1: 1.2, b: 0.75 });
        assert!((index.coverage(&document(&["a", "zzz"]), &documents[0]) - 0.5).abs() < 1e-6);
        assert!(index.coverage(&document(&[]), &documents[0]).abs() < 1e-6);
    }
}
