//! A caller's glob over a path that a program made: pattern, line feed, path.
//!
//! It means what the simplest reader of it finds, and no pattern takes long.

use sandbox_agent::glob_matches;

/// Beyond it the simplest reader takes too long; the agent's own must not.
const MOST_STARS: usize = 6;
const MOST_BYTES: usize = 200;

pub(crate) fn check(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let Some((pattern, path)) = text.split_once('\n') else { return };
    let found = glob_matches(pattern, path);
    assert!(glob_matches("**", path));
    assert!(glob_matches(&format!("**/{pattern}"), path) || !found);
    let wild = pattern.chars().filter(|symbol| matches!(symbol, '*' | '?')).count();
    if wild == 0 {
        assert_eq!(found, pattern == path);
    }
    if wild <= MOST_STARS && text.len() <= MOST_BYTES {
        let parts = |text: &str| text.split('/').map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(found, all_match(&parts(pattern), &parts(path)), "{pattern:?} on {path:?}");
    }
}

fn all_match(pattern: &[String], path: &[String]) -> bool {
    match (pattern.split_first(), path.split_first()) {
        (None, None) => true,
        (None, Some(_)) => false,
        (Some((first, rest)), _) if first == "**" => {
            all_match(rest, path)
                || path.split_first().is_some_and(|(_, path)| all_match(pattern, path))
        }
        (Some(_), None) => false,
        (Some((first, rest)), Some((part, path))) => {
            let (first, part): (Vec<char>, Vec<char>) =
                (first.chars().collect(), part.chars().collect());
            one_matches(&first, &part) && all_match(rest, path)
        }
    }
}

fn one_matches(pattern: &[char], part: &[char]) -> bool {
    match (pattern.split_first(), part.split_first()) {
        (None, None) => true,
        (Some(('*', rest)), _) => {
            one_matches(rest, part)
                || part.split_first().is_some_and(|(_, part)| one_matches(pattern, part))
        }
        (Some(('?', rest)), Some((_, part))) => one_matches(rest, part),
        (Some((symbol, rest)), Some((found, part))) => symbol == found && one_matches(rest, part),
        (None, Some(_)) | (Some(_), None) => false,
    }
}
