//! Patterns with `*`, which stands for any number of any characters; there is no other wildcard.

/// Whether the pattern matches the whole text. Without recursion: backtracking goes to the last
/// star only, so the time is at most the product of both lengths.
pub fn matches(pattern: &str, text: &str) -> bool {
    let (p, t) = (pattern.as_bytes(), text.as_bytes());
    let (mut i, mut j, mut star) = (0, 0, None);
    while let Some(c) = t.get(j) {
        match p.get(i) {
            Some(b'*') => {
                star = Some((i, j));
                i += 1;
            }
            Some(x) if x == c => {
                i += 1;
                j += 1;
            }
            _ => {
                let Some((si, sj)) = star else { return false };
                star = Some((si, sj + 1));
                i = si + 1;
                j = sj + 1;
            }
        }
    }
    p.iter().skip(i).all(|c| *c == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs() {
        for (pattern, text) in [
            ("", ""),
            ("a", "a"),
            ("*", ""),
            ("*", "anything at all"),
            ("clock_*", "clock_"),
            ("clock_*", "clock_time_get"),
            ("*_get", "clock_time_get"),
            ("a*b*c", "a__b__b_c"),
            ("**", "x"),
            ("*ab", "aab"),
            ("größe*", "größe_1"),
        ] {
            assert!(matches(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in
            [("", "a"), ("a", ""), ("a", "A"), ("clock_*", "clock"), ("a*b", "abc"), ("?", "a")]
        {
            assert!(!matches(pattern, text), "{pattern} {text}");
        }
    }

    #[test]
    fn a_star_is_not_exponential() {
        let text = "a".repeat(20_000);
        assert!(!matches(&format!("{}b", "a*".repeat(50)), &text));
    }
}
