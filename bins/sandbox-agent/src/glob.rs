//! Globs over relative paths: `?` and `*` within a part, `**` over any number of parts.
//!
//! Time is bounded by pattern × path: the tables below are filled once, there is no backtracking
//! that a hostile pattern could drive.

/// Whether the whole path matches the pattern.
pub(crate) fn matches(pattern: &str, path: &str) -> bool {
    let pattern: Vec<&str> = pattern.split('/').collect();
    let path: Vec<&str> = path.split('/').collect();
    // reach[j]: the parts of the pattern so far match the first j parts of the path.
    let mut reach = vec![false; path.len() + 1];
    reach[0] = true;
    for part in pattern {
        let mut next = vec![false; path.len() + 1];
        if part == "**" {
            let mut open = false;
            for at in 0..=path.len() {
                open |= reach[at];
                next[at] = open;
            }
        } else {
            for at in 0..path.len() {
                next[at + 1] = reach[at] && part_matches(part, path[at]);
            }
        }
        reach = next;
    }
    reach[path.len()]
}

fn part_matches(pattern: &str, part: &str) -> bool {
    let part: Vec<char> = part.chars().collect();
    let mut reach = vec![false; part.len() + 1];
    reach[0] = true;
    for symbol in pattern.chars() {
        let mut next = vec![false; part.len() + 1];
        if symbol == '*' {
            let mut open = false;
            for at in 0..=part.len() {
                open |= reach[at];
                next[at] = open;
            }
        } else {
            for at in 0..part.len() {
                next[at + 1] = reach[at] && (symbol == '?' || symbol == part[at]);
            }
        }
        reach = next;
    }
    reach[part.len()]
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
