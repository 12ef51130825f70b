//! Globs over relative paths: `?` and `*` within a part, `**` over any number of parts.
//!
//! Time is bounded by pattern × path: the tables below are filled once, there is no backtracking
//! that a hostile pattern could drive.

/// Whether the whole path matches the pattern.
pub fn matches(pattern: &str, path: &str) -> bool {
    let path: Vec<&str> = path.split('/').collect();
    sequence_matches(pattern.split('/'), &path, |part| part == "**", part_matches)
}

fn part_matches(pattern: &str, part: &&str) -> bool {
    let part: Vec<char> = part.chars().collect();
    let fits = |symbol, found: &char| symbol == '?' || symbol == *found;
    sequence_matches(pattern.chars(), &part, |symbol| symbol == '*', fits)
}

/// Whether a pattern matches all items, where some of its symbols stand for any number of them.
fn sequence_matches<S: Copy, T>(
    pattern: impl Iterator<Item = S>,
    items: &[T],
    stands_for_many: impl Fn(S) -> bool,
    fits: impl Fn(S, &T) -> bool,
) -> bool {
    // reach[n]: the symbols so far match the first n items.
    let mut reach = vec![false; items.len() + 1];
    reach[0] = true;
    for symbol in pattern {
        let mut next = vec![false; items.len() + 1];
        if stands_for_many(symbol) {
            let mut open = false;
            for at in 0..=items.len() {
                open |= reach[at];
                next[at] = open;
            }
        } else {
            for at in 0..items.len() {
                next[at + 1] = reach[at] && fits(symbol, &items[at]);
            }
        }
        reach = next;
    }
    reach[items.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stay_within_a_part_and_double_stars_do_not() {
        for (pattern, path, expected) in [
            ("*.png", "a.png", true),
            ("*.png", "x/a.png", false),
            ("**", "x/y/z", true),
            ("**/*.png", "a.png", true),
            ("**/*.png", "x/y/a.png", true),
            ("out/**", "out/a/b", true),
            ("out/**", "outer/a", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("", "a", false),
        ] {
            assert_eq!(matches(pattern, path), expected, "{pattern} on {path}");
        }
    }

    #[test]
    fn a_pattern_made_to_backtrack_ends_at_once() {
        let pattern = "a*".repeat(200) + "b";
        assert!(!matches(&pattern, &"a".repeat(255)));
        let deep = vec!["**"; 300].join("/") + "/x";
        assert!(!matches(&deep, &["a"; 300].join("/")));
    }
}
