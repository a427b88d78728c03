//! The languages of bills and of the portal.

/// A language that bills are written in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Locale {
    /// Simplified Chinese.
    ZhCn,
    /// English; also what an unknown language falls back to.
    #[default]
    En,
}

impl Locale {
    /// BCP 47 tag.
    pub fn tag(self) -> &'static str {
        match self {
            Self::ZhCn => "zh-CN",
            Self::En => "en",
        }
    }

    /// The language nearest to a BCP 47 tag: every Chinese is simplified Chinese, all else English.
    pub fn nearest(tag: &str) -> Self {
        Self::known(tag).unwrap_or_default()
    }

    /// The first language of an `Accept-Language` header, by its weights, that there is.
    pub fn negotiate(accept_language: &str) -> Option<Self> {
        let mut best: Option<(u32, Self)> = None;
        for entry in accept_language.split(',').take(32) {
            let mut parts = entry.trim().split(';');
            let Some(locale) = parts.next().and_then(Self::known) else {
                continue;
            };
            let weight = parts
                .find_map(|part| part.trim().strip_prefix("q="))
                .map_or(1000, thousandths);
            if weight > 0 && best.is_none_or(|(most, _)| weight > most) {
                best = Some((weight, locale));
            }
        }
        best.map(|(_, locale)| locale)
    }

    fn known(tag: &str) -> Option<Self> {
        let language = tag.trim().split(['-', '_']).next().unwrap_or_default();
        [("zh", Self::ZhCn), ("en", Self::En)]
            .into_iter()
            .find_map(|(known, locale)| language.eq_ignore_ascii_case(known).then_some(locale))
    }
}

/// A weight of up to three decimals, "0.8", in thousandths; what is none counts as nothing.
fn thousandths(weight: &str) -> u32 {
    let (whole, fraction) = weight.trim().split_once('.').unwrap_or((weight.trim(), ""));
    let digits: String = fraction.chars().chain("000".chars()).take(3).collect();
    match (whole.parse::<u32>(), digits.parse::<u32>()) {
        (Ok(whole @ 0..=1), Ok(fraction)) => (whole * 1000 + fraction).min(1000),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_language_of_the_highest_weight_wins_and_unknown_ones_are_passed_over() {
        for (header, expected) in [
            ("zh-CN,zh;q=0.9,en;q=0.8", Some(Locale::ZhCn)),
            ("fr, en;q=0.4, zh;q=0.7", Some(Locale::ZhCn)),
            ("en-GB", Some(Locale::En)),
            ("zh;q=0, en;q=0.1", Some(Locale::En)),
            ("fr,de", None),
            ("", None),
        ] {
            assert_eq!(Locale::negotiate(header), expected, "{header}");
        }
        assert_eq!(Locale::nearest("zh-Hant-TW"), Locale::ZhCn);
        assert_eq!(Locale::nearest("pt"), Locale::En);
    }
}
