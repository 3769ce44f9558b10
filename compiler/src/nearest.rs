//! "Did you mean": finds the word that a misspelt one most likely stands for.

/// More changes than this are no spelling mistake.
const MAX_DISTANCE: usize = 3;

/// The candidate that `word` is the beginning of, else the one with the fewest changes; `None` for
/// short words, where a few changes make anything out of anything, and if nothing is near.
pub fn nearest<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    if word.len() <= MAX_DISTANCE {
        return None;
    }
    let scored = candidates.map(|c| (if c.starts_with(word) { 0 } else { distance(word, c) }, c));
    scored.min().filter(|(d, _)| *d <= MAX_DISTANCE).map(|(_, c)| c)
}

/// Levenshtein distance. Of long words only the beginning counts; they are far from everything.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().take(64).enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        for (y, cell) in b.iter().zip(row.iter_mut().skip(1)) {
            let here = (diagonal + usize::from(x != *y)).min(left + 1).min(*cell + 1);
            diagonal = std::mem::replace(cell, here);
            left = here;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("abc", ""), 3);
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("same", "same"), 0);
    }

    #[test]
    fn near_and_far() {
        let words = || ["--policy", "--paranoid", "--output"].into_iter();
        assert_eq!(nearest("--polcy", words()), Some("--policy"));
        assert_eq!(nearest("--out", words()), Some("--output"));
        assert_eq!(nearest("--something", words()), None);
        assert_eq!(nearest("-x", words()), None);
    }
}
