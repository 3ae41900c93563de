//! Patterns with `*`, and where the place says so `?`.

/// What the question mark means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum QuestionMark {
    /// Itself.
    Literal,
    /// Exactly one character.
    AnyCharacter,
}

/// Whether `*` (any sequence) and everything else (itself) make up the whole text. The time is at most the product of
/// both lengths, whatever the pattern.
pub(super) fn matches(pattern: &str, text: &str, question_mark: QuestionMark) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let text: Vec<char> = text.chars().collect();
    let (mut p, mut t) = (0, 0);
    // The last star, and the first character of the text that it does not cover.
    let mut retry: Option<(usize, usize)> = None;
    while t < text.len() {
        match (pattern.get(p), text.get(t)) {
            (Some('*'), _) => {
                p += 1;
                retry = Some((p, t));
            }
            (Some('?'), Some(_)) if question_mark == QuestionMark::AnyCharacter => {
                p += 1;
                t += 1;
            }
            (Some(wanted), Some(found)) if wanted == found => {
                p += 1;
                t += 1;
            }
            _ => match &mut retry {
                Some((after_star, covered)) => {
                    *covered += 1;
                    (p, t) = (*after_star, *covered);
                }
                None => return false,
            },
        }
    }
    pattern.iter().skip(p).all(|rest| *rest == '*')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn stars_stand_for_any_sequence() {
        for (pattern, text, expected) in [
            ("", "", true),
            ("*", "", true),
            ("*", "a/b", true),
            ("a*", "a", true),
            ("a*c", "abbc", true),
            ("a*c", "abbcd", false),
            ("*.b.*c", "a.b.b.cc", true),
            ("a*b*c", "acb", false),
            ("**", "x", true),
            ("a", "", false),
            ("", "a", false),
            ("a?c", "abc", false),
            ("a?c", "a?c", true),
        ] {
            assert_eq!(matches(pattern, text, QuestionMark::Literal), expected, "{pattern} {text}");
        }
        for (pattern, text, expected) in
            [("a?c", "abc", true), ("a?c", "a字c", true), ("a?", "a", false), ("?*", "", false), ("*?", "xyz", true)]
        {
            assert_eq!(matches(pattern, text, QuestionMark::AnyCharacter), expected, "{pattern} {text}");
        }
    }

    /// The definition, too slow for anything but short texts.
    fn is_match(pattern: &[char], text: &[char]) -> bool {
        match (pattern.split_first(), text.split_first()) {
            (None, rest) => rest.is_none(),
            (Some(('*', after)), rest) => {
                is_match(after, text) || rest.is_some_and(|(_, rest)| is_match(pattern, rest))
            }
            (Some((_, _)), None) => false,
            (Some((p, after)), Some((t, rest))) => (*p == '?' || p == t) && is_match(after, rest),
        }
    }

    proptest! {
        #[test]
        fn the_loop_agrees_with_the_definition(pattern in "[ab*?]{0,8}", text in "[ab]{0,8}") {
            let (p, t): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
            prop_assert_eq!(matches(&pattern, &text, QuestionMark::AnyCharacter), is_match(&p, &t));
        }
    }
}
