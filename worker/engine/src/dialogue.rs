//! One turn of a conversation.
//!
//! Order of claims: a choice from the list that was just offered, then the exact question, then retrieval. The answer is
//! three-way: *unique*, a *list* of up to three where the best are too close to choose for the customer, or *sorry* where
//! nothing covers enough of the question.

use serde::{Deserialize, Serialize};

use crate::bundle::{Bundle, Match};
use crate::knowledge::Entry;
use crate::text::normalise;

/// The best entry must cover this share of the question's weight, else nothing fits.
const LEAST_COVERAGE: f32 = 0.20;
/// Entries whose joined score is within this of the best are offered as a list.
const CLOSE: f32 = 0.02;
/// Longest list.
const LIST: usize = 3;

/// What the engine remembers of a conversation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DialogueState {
    /// Ids that the last answer offered to choose from; empty after any other answer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub offered: Vec<String>,
}

/// How a turn is answered, by ids alone: with the bundle it can be rendered again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Answer {
    /// One entry answers.
    Unique(String),
    /// The customer chooses.
    List(Vec<String>),
    /// Nothing fits.
    Sorry,
}

/// Something to choose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Id of the entry.
    pub id: String,
    /// Its standard question.
    pub question: String,
}

/// What the customer reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnswerTexts {
    /// The text.
    pub text: String,
    /// What can be chosen, for a list.
    pub candidates: Vec<Candidate>,
}

/// Why the answer is what it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Facts {
    /// The customer chose from a list.
    Chosen,
    /// The question is in the knowledge as it was asked.
    Exact,
    /// Ranked.
    Retrieved {
        /// Share of the question's weight that the best entry covers, 0 to 1.
        coverage: f32,
        /// Best score less the second best, of at most 2.
        margin: f32,
    },
}

/// What a turn leads to.
#[derive(Clone, Debug, PartialEq)]
pub struct TurnOutcome {
    /// The answer.
    pub answer: Answer,
    /// The state after it.
    pub state: DialogueState,
    /// Why.
    pub facts: Facts,
}

/// Answers one message.
pub fn answer(bundle: &Bundle, state: &DialogueState, text: &str) -> TurnOutcome {
    if let Some(entry) = chosen(bundle, state, text) {
        return outcome(Answer::Unique(entry.id.clone()), Facts::Chosen);
    }
    if let Some(entry) = bundle.exact(text) {
        return outcome(Answer::Unique(entry.id.clone()), Facts::Exact);
    }
    let best = bundle.best(text, LIST);
    let coverage = best.first().map_or(0.0, |first| first.coverage);
    let margin = match best.as_slice() {
        [first, second, ..] => first.score - second.score,
        [first] => first.score,
        [] => 0.0,
    };
    outcome(three_way(&best), Facts::Retrieved { coverage, margin })
}

fn three_way(best: &[Match<'_>]) -> Answer {
    let Some(first) = best.first().filter(|first| first.coverage >= LEAST_COVERAGE) else {
        return Answer::Sorry;
    };
    let close: Vec<_> = best
        .iter()
        .filter(|other| first.score - other.score < CLOSE)
        .map(|other| other.entry.id.clone())
        .collect();
    if close.len() > 1 {
        Answer::List(close)
    } else {
        Answer::Unique(first.entry.id.clone())
    }
}

fn outcome(answer: Answer, facts: Facts) -> TurnOutcome {
    let offered = if let Answer::List(ids) = &answer {
        ids.clone()
    } else {
        Vec::new()
    };
    TurnOutcome {
        answer,
        state: DialogueState { offered },
        facts,
    }
}

/// A number, or the exact standard question, after a list was offered.
fn chosen<'a>(bundle: &'a Bundle, state: &DialogueState, text: &str) -> Option<&'a Entry> {
    let normalised = normalise(text);
    let place = match normalised.trim_start_matches('第').trim_end_matches('个') {
        "1" | "一" => 0,
        "2" | "二" | "两" => 1,
        "3" | "三" => 2,
        _ => return None,
    };
    bundle.entry(state.offered.get(place)?)
}

/// The texts of an answer. An entry that has gone from the knowledge since makes an apology of it.
pub fn render(bundle: &Bundle, answer: &Answer) -> AnswerTexts {
    const SORRY: &str = "抱歉，这个问题我暂时答不上来。您可以换一种说法，或者说得更具体一些。";
    const CHOOSE: &str = "您想问的是下面哪一个？回复序号即可：";
    let sorry = || AnswerTexts {
        text: SORRY.to_owned(),
        candidates: Vec::new(),
    };
    match answer {
        Answer::Sorry => sorry(),
        Answer::Unique(id) => bundle.entry(id).map_or_else(sorry, |entry| AnswerTexts {
            text: entry.answer.clone(),
            candidates: Vec::new(),
        }),
        Answer::List(ids) => {
            let candidates: Vec<_> = ids
                .iter()
                .filter_map(|id| bundle.entry(id))
                .map(|entry| Candidate {
                    id: entry.id.clone(),
                    question: entry.question.clone(),
                })
                .collect();
            let lines = candidates
                .iter()
                .zip(1..)
                .map(|(candidate, number)| format!("\n{number}. {}", candidate.question));
            AnswerTexts {
                text: lines.fold(CHOOSE.to_owned(), |text, line| text + &line),
                candidates,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bundle() -> Bundle {
        let lines = [
            (
                "refund-time",
                "退款多久到账",
                "钱什么时候退回来",
                "退款一般三天内到账。",
            ),
            (
                "invoice",
                "怎么开发票",
                "可以开电子发票吗",
                "在订单详情里申请发票。",
            ),
            (
                "change-address",
                "怎么修改收货地址",
                "地址填错了能改吗",
                "发货前可以修改地址。",
            ),
        ];
        let entry = |(id, question, similar, answer): (&str, &str, &str, &str)| Entry {
            id: id.into(),
            question: question.into(),
            similar: vec![similar.into()],
            answer: answer.into(),
        };
        Bundle::compile(lines.into_iter().map(entry).collect()).unwrap()
    }

    fn ask(text: &str) -> TurnOutcome {
        answer(&bundle(), &DialogueState::default(), text)
    }

    #[test]
    fn the_exact_question_is_answered_however_it_is_punctuated() {
        let turn = ask("怎么开发票？！");
        assert_eq!(
            (turn.answer, turn.facts),
            (Answer::Unique("invoice".into()), Facts::Exact)
        );
    }

    #[test]
    fn a_question_in_other_words_finds_its_entry_and_a_foreign_one_gets_sorry() {
        assert_eq!(
            ask("我的退款啥时候到账啊").answer,
            Answer::Unique("refund-time".into())
        );
        assert_eq!(ask("明天北京下雨吗").answer, Answer::Sorry);
        assert_eq!(ask("???").answer, Answer::Sorry);
    }

    #[test]
    fn a_number_after_a_list_chooses_and_without_a_list_does_not() {
        let offered = DialogueState {
            offered: vec!["refund-time".into(), "invoice".into()],
        };
        let turn = answer(&bundle(), &offered, "第二个");
        assert_eq!(
            (turn.answer, turn.facts),
            (Answer::Unique("invoice".into()), Facts::Chosen)
        );
        assert_eq!(turn.state, DialogueState::default());
        assert_ne!(answer(&bundle(), &offered, "3").facts, Facts::Chosen);
        assert_ne!(ask("2").facts, Facts::Chosen);
    }

    #[test]
    fn equally_good_entries_are_offered_as_a_list() {
        let entry = |id: &str| Entry {
            id: id.into(),
            question: "红色鞋子尺码".into(),
            similar: vec![],
            answer: "见详情。".into(),
        };
        let twins = Bundle::compile(vec![entry("a"), entry("b")]).unwrap();
        let turn = answer(&twins, &DialogueState::default(), "鞋子尺码红色");
        assert_eq!(turn.answer, Answer::List(vec!["a".into(), "b".into()]));
        assert_eq!(turn.state.offered, ["a", "b"]);
        assert_eq!(render(&twins, &turn.answer).candidates.len(), 2);
    }

    proptest! {
        #[test]
        fn any_text_is_answered_and_always_the_same(text in ".{0,200}") {
            let bundle = bundle();
            let first = answer(&bundle, &DialogueState::default(), &text);
            prop_assert_eq!(&first, &answer(&bundle, &DialogueState::default(), &text));
            prop_assert!(!render(&bundle, &first.answer).text.is_empty());
        }
    }
}
