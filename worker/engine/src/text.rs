//! Text as retrieval sees it.
//!
//! *Normalised*: NFKC (full-width forms become plain), lower case, punctuation and symbols become spaces, runs of spaces one.
//! *Feature*: for scripts without spaces (Chinese, Japanese, Thai …) each character and each pair of neighbours; for words of
//! other scripts the word and its inner 2- and 3-grams. Character n-grams beat word segmentation on Chinese questions.

use unicode_normalization::UnicodeNormalization as _;

/// See the module.
pub fn normalise(text: &str) -> String {
    let mut normalised = String::with_capacity(text.len());
    for character in text.nfkc().flat_map(char::to_lowercase) {
        if character.is_alphanumeric() {
            normalised.push(character);
        } else if !normalised.is_empty() && !normalised.ends_with(' ') {
            normalised.push(' ');
        }
    }
    normalised.truncate(normalised.trim_end().len());
    normalised
}

/// A text without what people vary without meaning: two texts with the same key are the same question.
pub fn exact_key(text: &str) -> String {
    normalise(text).replace(' ', "")
}

/// The features of a text, with repetitions.
pub fn features(text: &str) -> Vec<String> {
    let mut features = Vec::new();
    for word in normalise(text).split(' ') {
        for run in runs_of_one_script(word) {
            if is_spaceless(run.first().copied().unwrap_or_default()) {
                push_grams(&mut features, "", &run, 1);
                push_grams(&mut features, "", &run, 2);
            } else {
                features.push(format!("w:{}", run.iter().collect::<String>()));
                push_grams(&mut features, "i:", &run, 2);
                push_grams(&mut features, "i:", &run, 3);
            }
        }
    }
    features
}

fn push_grams(features: &mut Vec<String>, prefix: &str, run: &[char], length: usize) {
    features.extend(
        run.windows(length)
            .map(|gram| prefix.chars().chain(gram.iter().copied()).collect()),
    );
}

fn runs_of_one_script(word: &str) -> Vec<Vec<char>> {
    let mut runs: Vec<Vec<char>> = Vec::new();
    for character in word.chars() {
        match runs.last_mut() {
            Some(run)
                if run
                    .last()
                    .is_some_and(|last| is_spaceless(*last) == is_spaceless(character)) =>
            {
                run.push(character);
            }
            _ => runs.push(vec![character]),
        }
    }
    runs
}

/// Scripts that are written without spaces between words.
fn is_spaceless(character: char) -> bool {
    matches!(u32::from(character),
        0x0E00..=0x0EFF     // Thai, Lao
        | 0x1000..=0x109F   // Myanmar
        | 0x1780..=0x17FF   // Khmer
        | 0x3040..=0x30FF   // Hiragana, Katakana
        | 0x3400..=0x4DBF | 0x4E00..=0x9FFF | 0xF900..=0xFAFF | 0x2_0000..=0x3_FFFF // Han
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_width_case_and_punctuation_make_no_difference() {
        assert_eq!(normalise("　退款，多久到账？ＡＢＣ!!"), "退款 多久到账 abc");
        assert_eq!(exact_key("退款多久到账"), exact_key("退款 ，多久到账？？"));
    }

    #[test]
    fn chinese_gives_characters_and_pairs_and_latin_gives_words_and_inner_grams() {
        assert_eq!(features("退款a1"), ["退", "款", "退款", "w:a1", "i:a1"]);
        assert_eq!(
            features("Refund"),
            [
                "w:refund", "i:re", "i:ef", "i:fu", "i:un", "i:nd", "i:ref", "i:efu", "i:fun", "i:und"
            ]
        );
        assert!(features("？！ ").is_empty());
    }
}
