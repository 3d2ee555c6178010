//! Which of some words was meant by one that is none of them: two letters swapped, missing, too many or wrong.

/// The word that takes the fewest of such mistakes, at most two, and in a word of up to four letters one.
pub fn nearest<'a>(typed: &str, words: impl Iterator<Item = &'a str> + Clone) -> Option<&'a str> {
    let most = if typed.len() > 4 { 2 } else { 1 };
    (1..=most).find_map(|mistakes| words.clone().find(|word| is_near(typed.as_bytes(), word.as_bytes(), mistakes)))
}

/// Whether so many mistakes lead from one to the other. Each mistake opens four ways on: few, as there are two of them at most.
fn is_near(typed: &[u8], word: &[u8], mistakes: u32) -> bool {
    let (Some((first, typed_rest)), Some((wanted, word_rest))) = (typed.split_first(), word.split_first()) else {
        return typed.len().max(word.len()) <= mistakes as usize;
    };
    if first == wanted {
        return is_near(typed_rest, word_rest, mistakes);
    }
    let Some(left) = mistakes.checked_sub(1) else { return false };
    let swapped = match (typed, word) {
        ([a, b, typed @ ..], [c, d, word @ ..]) if (a, b) == (d, c) => is_near(typed, word, left),
        _ => false,
    };
    swapped
        || is_near(typed_rest, word_rest, left)
        || is_near(typed_rest, word, left)
        || is_near(typed, word_rest, left)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistyped_word_is_recognized_and_another_is_not() {
        let words = ["status", "apply", "slot", "stopping", "find", "healthcheck"];
        for (typed, want) in [
            ("stauts", Some("status")),
            ("satus", Some("status")),
            ("statuss", Some("status")),
            ("stat", None),
            ("aply", Some("apply")),
            ("appyl", Some("apply")),
            ("helthchek", Some("healthcheck")),
            ("helthchk", None),
            ("slo", Some("slot")),
            ("stop", None),
            ("fnid", Some("find")),
            ("update", None),
            ("", None),
            ("x", None),
            ("\u{e4}pply", Some("apply")),
        ] {
            assert_eq!(nearest(typed, words.iter().copied()), want, "{typed}");
        }
    }
}
