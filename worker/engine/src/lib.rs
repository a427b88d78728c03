//! Springtide's dialogue engine: text and state in; answer, new state and facts out. No network, no clock, no randomness.
//!
//! - [`knowledge`]: what a client firm's bot knows, as people write it: entries with a standard question, similar ones and an answer.
//! - [`bundle`]: that knowledge compiled for look-ups; one is shared by all conversations of a client firm.
//! - [`dialogue`]: one turn: exact question, choice from a list that was offered, then retrieval, then the three-way answer
//!   (one answer, a list to choose from, or sorry).
//! - [`text`]: normalisation and the features (character and word n-grams) that retrieval works on.
//! - [`bm25`]: the ranking function.

pub mod bm25;
pub mod bundle;
pub mod dialogue;
pub mod knowledge;
pub mod text;

pub use bundle::Bundle;
pub use dialogue::{Answer, AnswerTexts, Candidate, DialogueState, Facts, TurnOutcome, answer, render};
pub use knowledge::{Entry, KnowledgeError};
