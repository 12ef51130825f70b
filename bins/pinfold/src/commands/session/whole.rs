//! Whether what was typed is all of a piece of code, or goes on in the next line. A guess by brackets,
//! quotes and blocks: what is sent too early is told by the interpreter, and two empty lines send
//! whatever it is.

use contracts::code::Language;

pub(super) fn is_whole(lang: Language, text: &str) -> bool {
    if text.ends_with("\n\n") {
        return true;
    }
    match lang {
        Language::Python => python(text),
        Language::JavaScript | Language::TypeScript => javascript(text),
        Language::Bash => bash(text),
    }
}

/// Blocks end at an empty line, as in Python's own prompt.
fn python(text: &str) -> bool {
    let mut rest = text.chars().peekable();
    let mut depth = 0_i64;
    let mut block = false;
    // Of the logical line so far: its first and its last character that says something.
    let (mut first, mut last) = (None, None);
    while let Some(c) = rest.next() {
        match c {
            '#' => while rest.next_if(|c| *c != '\n').is_some() {},
            '\'' | '"' => {
                let (closed, triple) = python_string(c, &mut rest);
                if !closed && triple {
                    return false;
                }
                last = Some(c);
            }
            '\\' => {
                rest.next();
                if rest.peek().is_none() {
                    return false;
                }
            }
            '\n' if depth == 0 => {
                block |= last == Some(':') || first == Some('@');
                (first, last) = (None, None);
            }
            c if c.is_whitespace() => {}
            c => {
                depth += i64::from("([{".contains(c)) - i64::from(")]}".contains(c));
                first = first.or(Some(c));
                last = Some(c);
            }
        }
    }
    block |= last == Some(':') || first == Some('@');
    let empty_line = text.rsplit_once('\n').is_some_and(|(_, line)| line.trim().is_empty());
    depth <= 0 && (!block || empty_line)
}

/// Skips a string behind its first quote: whether it is closed, and whether it may have many lines.
fn python_string(quote: char, rest: &mut std::iter::Peekable<std::str::Chars<'_>>) -> (bool, bool) {
    let mut quotes = 1;
    while quotes < 3 && rest.next_if_eq(&quote).is_some() {
        quotes += 1;
    }
    if quotes == 2 {
        return (true, false);
    }
    let triple = quotes == 3;
    let mut row = 0;
    while let Some(c) = rest.next() {
        row = if c == quote { row + 1 } else { 0 };
        match c {
            '\\' => drop(rest.next()),
            '\n' if !triple => return (false, false),
            _ if row == if triple { 3 } else { 1 } => return (true, triple),
            _ => {}
        }
    }
    (false, triple)
}

fn javascript(text: &str) -> bool {
    let mut rest = text.chars().peekable();
    let mut depth = 0_i64;
    while let Some(c) = rest.next() {
        match c {
            '\'' | '"' | '`' => {
                if !skip_quoted(c, c == '`', &mut rest) && c == '`' {
                    return false;
                }
            }
            '/' if rest.next_if_eq(&'/').is_some() => {
                while rest.next_if(|c| *c != '\n').is_some() {}
            }
            '/' if rest.next_if_eq(&'*').is_some() => {
                let mut before = ' ';
                let closes = |c: char| std::mem::replace(&mut before, c) == '*' && c == '/';
                if !rest.by_ref().any(closes) {
                    return false;
                }
            }
            c => depth += i64::from("([{".contains(c)) - i64::from(")]}".contains(c)),
        }
    }
    depth <= 0
}

/// Whether a quoted text is closed, before the line's end unless it may go on behind it.
fn skip_quoted(
    quote: char,
    lines: bool,
    rest: &mut std::iter::Peekable<std::str::Chars<'_>>,
) -> bool {
    while let Some(c) = rest.next() {
        match c {
            '\\' if quote != '\'' || !lines => drop(rest.next()),
            '\n' if !lines => return false,
            c if c == quote => return true,
            _ => {}
        }
    }
    false
}

fn bash(text: &str) -> bool {
    let mut rest = text.chars().peekable();
    let (mut depth, mut word, mut starts) = (0_i64, String::new(), true);
    let mut joins = false;
    let mut take = |word: &mut String, starts: &mut bool| {
        if *starts {
            depth += match word.as_str() {
                "if" | "while" | "until" | "for" | "case" | "select" | "{" => 1,
                "fi" | "done" | "esac" | "}" => -1,
                _ => 0,
            };
        }
        let leads = ["if", "while", "until", "then", "do", "else", "elif", "{", "!"];
        if !word.is_empty() {
            *starts = *starts && leads.contains(&word.as_str());
        }
        word.clear();
    };
    while let Some(c) = rest.next() {
        if !c.is_whitespace() {
            joins = matches!(c, '|') || c == '&' && rest.peek() == Some(&'&') || joins && c == '&';
        }
        match c {
            '\'' | '"' => {
                word.push(c);
                if !skip_quoted(c, true, &mut rest) {
                    return false;
                }
            }
            '\\' => {
                word.push(c);
                if rest.next().is_none_or(|c| c == '\n') && rest.peek().is_none() {
                    return false;
                }
            }
            '#' if word.is_empty() => while rest.next_if(|c| *c != '\n').is_some() {},
            '\n' | ';' | '&' | '|' | '(' | ')' => {
                take(&mut word, &mut starts);
                starts = true;
            }
            c if c.is_whitespace() => take(&mut word, &mut starts),
            c => word.push(c),
        }
    }
    take(&mut word, &mut starts);
    depth <= 0 && !joins && !waits_for_document(text)
}

/// Whether a here-document has not come to the word that ends it.
fn waits_for_document(text: &str) -> bool {
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        let Some((_, rest)) = line.split_once("<<") else { continue };
        // Three are a here-string.
        if rest.starts_with('<') {
            continue;
        }
        let rest = rest.trim_start_matches('-').trim_start();
        let end = rest.split(|c: char| c.is_whitespace() || ";|&)".contains(c)).next();
        let end = end.unwrap_or_default().trim_matches(['\'', '"']);
        if !end.is_empty() && !lines.by_ref().any(|line| line.trim_start_matches('\t') == end) {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(lang: Language, whole: &[&str], more: &[&str]) {
        for text in whole {
            assert!(is_whole(lang, text), "{text:?} is whole");
        }
        for text in more {
            assert!(!is_whole(lang, text), "{text:?} goes on");
        }
    }

    #[test]
    fn python_goes_on_in_brackets_strings_and_blocks() {
        let whole = [
            "",
            "x = 1",
            "print('a:')",
            "x = {'a': 1}",
            "for i in x: print(i)",
            "for i in x:\n    print(i)\n",
            "@f\ndef g():\n    pass\n",
            "'''a\nb'''",
            "''",
            "s = 'it'  # (",
            "'unclosed",
            "x = 1 + \\\n2",
            ")",
            "def f(a,\n  b): return a",
            "f(1,\n\n",
        ];
        let more = [
            "for i in x:",
            "for i in x:  # all",
            "for i in x:\n    print(i)",
            "def f(a,\n      b):\n  x = 1",
            "f(1,",
            "'''a\nb'",
            "'''a\\'''",
            "x = 1 + \\",
            "x = 1 + \\\n",
            "@f",
            "if a:\n  b\nelse:",
        ];
        check(Language::Python, &whole, &more);
    }

    #[test]
    fn javascript_goes_on_in_brackets_templates_and_comments() {
        let whole =
            ["1", "f()", "'('", "`a\n`", "// (", "/* ( */ 1", "'it\\'s'", "function f() {\n}"];
        let more = ["f(", "function f() {", "`a", "/* a", "[1,\n2", "/* * "];
        check(Language::JavaScript, &whole, &more);
    }

    #[test]
    fn bash_goes_on_in_quotes_and_between_its_words() {
        let whole = [
            "ls",
            "echo done if",
            "for x in a b; do echo $x; done",
            "if true; then\n echo\nfi",
            "f() { echo; }",
            "echo 'a\nb'",
            "cat <<E\na\nE",
            "cat <<<a",
            "case x in\n x) ;;\nesac",
            "true && true",
            "sleep 1 &",
            "# if",
        ];
        let more = [
            "if true",
            "for x in a; do",
            "while true; do\necho",
            "echo 'a",
            "echo \"a",
            "f() {",
            "ls |",
            "true &&",
            "true ||",
            "cat <<E\na",
            "ls \\",
            "if if true; then true; fi; then",
        ];
        check(Language::Bash, &whole, &more);
    }
}
