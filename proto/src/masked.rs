//! Takes personal data out of short texts: pure.
//!
//! What is taken out are *numbers* of five digits or more, as of telephones, identity cards and bank accounts, however they
//! are spaced or written (full-width, in Chinese digits), and e-mail addresses. It rather takes out too much, as dates and
//! prices of many digits. Names are not found.

/// Stands where something was taken out.
pub const MASK: &str = "***";
/// Digits of the shortest number that is taken out.
const SHORTEST: usize = 5;
/// Characters that may stand between two digits of one number.
const WIDEST_GAP: usize = 2;
const CHINESE_DIGITS: &str = "零〇一二三四五六七八九幺两壹贰叁肆伍陆柒捌玖";

/// The text without them. What was masked once stays as it is.
pub fn masked(text: &str) -> String {
    without_numbers(&without_addresses(&text.chars().collect::<Vec<_>>()))
}

/// A full-width character as its plain one.
fn plain(c: char) -> char {
    match c {
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(u32::from(c) - 0xfee0).unwrap_or(c),
        c => c,
    }
}

fn is_digit(c: char) -> bool {
    plain(c).is_numeric() || CHINESE_DIGITS.contains(c)
}

fn is_between_digits(c: char) -> bool {
    c.is_whitespace() || "-–—‐·•._,/()+:、。".contains(plain(c))
}

/// May be a part of an e-mail address on either side of its `@`.
fn is_of_address(c: char) -> bool {
    let c = plain(c);
    c.is_ascii_alphanumeric() || "._%+-".contains(c)
}

fn without_addresses(text: &[char]) -> Vec<char> {
    let mut left = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.iter().position(|c| plain(*c) == '@') {
        let (before, behind) = (&rest[..at], &rest[at + 1..]);
        let local = before.iter().rev().take_while(|c| is_of_address(**c)).count();
        let domain = behind.iter().take_while(|c| is_of_address(**c)).count();
        if local > 0 && domain > 0 {
            left.extend(&before[..at - local]);
            left.extend(MASK.chars());
            rest = &behind[domain..];
        } else {
            left.extend(&rest[..=at]);
            rest = behind;
        }
    }
    left.extend(rest);
    left
}

fn without_numbers(text: &[char]) -> String {
    let mut left = String::new();
    let mut rest = text;
    while let Some(first) = rest.first().copied() {
        let (digits, length) = number_at(rest);
        if digits >= SHORTEST {
            left.push_str(MASK);
            rest = &rest[length..];
            // The last place of an identity card's number.
            if rest.first().is_some_and(|c| plain(*c).eq_ignore_ascii_case(&'x')) {
                rest = &rest[1..];
            }
        } else {
            // No number begins within one that is too short: it would be shorter still.
            let passed = length.max(1);
            left.push(first);
            left.extend(&rest[1..passed]);
            rest = &rest[passed..];
        }
    }
    left
}

/// How many digits the number has that begins the text, and how many characters; none where none begins.
fn number_at(text: &[char]) -> (usize, usize) {
    let (mut digits, mut length) = (0, 0);
    loop {
        let behind = text[length..].iter().take(WIDEST_GAP + 1);
        let gap = behind.take_while(|c| is_between_digits(**c)).count();
        let gap = if digits == 0 { 0 } else { gap };
        let next = text.get(length + gap).copied();
        if gap > WIDEST_GAP || !next.is_some_and(is_digit) {
            return (digits, length);
        }
        digits += 1;
        length += gap + 1;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_of_five_digits_are_taken_out_however_they_are_written_and_shorter_ones_stay() {
        for (text, left) in [
            ("我的电话13800138000，谢谢", "我的电话***，谢谢"),
            ("１３８００１３８０００", "***"),
            ("138 0013 8000", "***"),
            ("138\u{3000}0013\u{3000}8000 急", "*** 急"),
            ("1 3 8 0 0", "***"),
            ("+86-138-0013-8000", "+***"),
            ("一三八零零一三八零零零", "***"),
            ("11010119900307123X 是我", "*** 是我"),
            ("卡号 6222.0202.1234.5678", "卡号 ***"),
            ("等了1234分钟", "等了1234分钟"),
            ("3 次，共 25 分钟", "3 次，共 25 分钟"),
            ("订单 98765", "订单 ***"),
            ("12   345", "12   345"),
            ("一般般，不太满意", "一般般，不太满意"),
            ("٠١٢٣٤٥", "***"),
        ] {
            assert_eq!(masked(text), left, "{text}");
        }
    }

    #[test]
    fn addresses_are_taken_out_whole_and_what_is_none_stays() {
        for (text, left) in [
            ("写信到li.lei+1@example.com吧", "写信到***吧"),
            ("12345@qq.com", "***"),
            ("ａｂ＠ｑｑ．ｃｏｍ", "***"),
            ("@客服 在吗", "@客服 在吗"),
            ("a@ b", "a@ b"),
            ("a@b@c.com", "***@c.com"),
        ] {
            assert_eq!(masked(text), left, "{text}");
        }
    }

    proptest! {
        #[test]
        fn nothing_is_left_that_would_be_masked(text in "[0-9０-９一二a-c@＠.\\- \u{3000}好X]{0,40}") {
            let once = masked(&text);
            prop_assert_eq!(masked(&once), once.clone());
            let mut run = 0;
            for c in once.chars() {
                run = if is_digit(c) { run + 1 } else { 0 };
                prop_assert!(run < SHORTEST, "{} from {}", once, text);
            }
        }
    }
}
