//! Packages: the registries that a sandbox may install from, and names that are safe to hand to their
//! clients.

use crate::{Faults, code::Language};
use serde::{Deserialize, Serialize};

/// Libraries of one request, and bytes of one of their names.
const MAX_LIBRARIES: usize = 64;
const MAX_LIBRARY_BYTES: usize = 200;

/// A registry whose packages the node fetches, checks and keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Registry {
    Pypi,
    Npm,
    Debian,
}

impl Registry {
    pub fn name(self) -> &'static str {
        match self {
            Self::Pypi => "pypi",
            Self::Npm => "npm",
            Self::Debian => "debian",
        }
    }
}

/// Some of the registries.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Registries(u8);

impl Registries {
    pub fn holds(self, registry: Registry) -> bool {
        self.0 & Self::of(registry).0 != 0
    }

    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub fn iter(self) -> impl Iterator<Item = Registry> {
        let all = [Registry::Pypi, Registry::Npm, Registry::Debian];
        all.into_iter().filter(move |registry| self.holds(*registry))
    }

    pub fn bits(self) -> u8 {
        self.0
    }

    /// Bits of no registry are not kept.
    pub fn from_bits(bits: u8) -> Self {
        Self(bits & 0b111)
    }

    fn of(registry: Registry) -> Self {
        Self(1 << registry as u8)
    }
}

impl FromIterator<Registry> for Registries {
    fn from_iter<T: IntoIterator<Item = Registry>>(registries: T) -> Self {
        registries.into_iter().fold(Self::default(), |all, one| all.and(Self::of(one)))
    }
}

/// Names for the language's own client, with versions at most: no option of it, no address, no file.
pub fn check_libraries(lang: Language, libraries: &[String], faults: &mut Faults) {
    let most = format!("are more than {MAX_LIBRARIES}");
    faults.require(libraries.len() <= MAX_LIBRARIES, "libraries", most);
    for (index, library) in libraries.iter().enumerate() {
        let is_name = match lang {
            Language::Python => is_requirement(library),
            Language::JavaScript | Language::TypeScript => is_npm_spec(library),
            _ => false,
        };
        if library.len() > MAX_LIBRARY_BYTES || !is_name {
            let message = match lang {
                Language::Python | Language::JavaScript | Language::TypeScript => {
                    "must be a package's name, with its version at most"
                }
                _ => "can't be installed for this language",
            };
            faults.add(format!("libraries[{index}]"), message);
        }
    }
}

/// `name`, `name[extra]`, `name==1.2`, `name>=1,<2`.
fn is_requirement(text: &str) -> bool {
    let end = text.find(['[', '=', '<', '>', '~', '!']).unwrap_or(text.len());
    let (name, mut rest) = text.split_at(end);
    if let Some(extras) = rest.strip_prefix('[') {
        let Some((extras, after)) = extras.split_once(']') else { return false };
        if !extras.split(',').all(|extra| is_name(extra, b"-_.")) {
            return false;
        }
        rest = after;
    }
    let version = |text: &str| {
        let compared = ["===", "==", "~=", "!=", "<=", ">=", "<", ">"];
        let number = compared.iter().find_map(|sign| text.strip_prefix(sign));
        number.is_some_and(|number| is_name(number, b".*+!_-"))
    };
    is_name(name, b"-_.") && (rest.is_empty() || rest.split(',').all(version))
}

/// `name`, `@scope/name`, and either with `@` and a version, a range or a tag.
fn is_npm_spec(text: &str) -> bool {
    let (scope, rest) = match text.strip_prefix('@') {
        Some(scoped) => match scoped.split_once('/') {
            Some((scope, rest)) => (Some(scope), rest),
            None => return false,
        },
        None => (None, text),
    };
    let (name, version) = rest.split_once('@').unwrap_or((rest, "latest"));
    let version = version.trim_start_matches(['^', '~', '>', '<', '=']);
    scope.is_none_or(|scope| is_name(scope, b"-_."))
        && is_name(name, b"-_.")
        && is_name(version, b"-+.")
}

fn is_name(text: &str, also: &[u8]) -> bool {
    text.bytes().next().is_some_and(|first| first.is_ascii_alphanumeric())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || also.contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_library(lang: Language, library: &str) -> bool {
        let mut faults = Faults::default();
        check_libraries(lang, &[library.to_owned()], &mut faults);
        faults.is_empty()
    }

    #[test]
    fn a_library_is_a_name_with_a_version_at_most() {
        for library in [
            "flask",
            "Flask",
            "ruamel.yaml",
            "numpy==2.1.*",
            "a>=1,<2",
            "uvicorn[standard]~=0.30",
            "torch==2.4.0+cpu",
        ] {
            assert!(is_library(Language::Python, library), "{library}");
        }
        for library in [
            "lodash",
            "lodash@4.17.21",
            "@types/node",
            "@types/node@^20.1.0",
            "a@next",
            "a@>=1.0.0",
        ] {
            assert!(is_library(Language::JavaScript, library), "{library}");
        }
    }

    #[test]
    fn what_a_client_could_take_for_more_is_refused() {
        let long = "a".repeat(300);
        for library in [
            "",
            "-r",
            "--index-url=https://evil.example",
            "-e.",
            ".",
            "./a",
            "/a",
            "a b",
            "a\n-r b",
            "a;b",
            "https://evil.example/a.whl",
            "git+https://evil.example/a",
            "a @ https://evil.example",
            "file:a",
            "a@file:x",
            "a@npm:b",
            "a@git+ssh://x",
            "@a",
            "@/a",
            "a@",
            "a==",
            "a[",
            "a[-x]",
            "a,b",
            "a==1 --pre",
            "a\0",
            "\u{e4}",
            &long,
        ] {
            assert!(!is_library(Language::Python, library), "{library}");
            assert!(!is_library(Language::TypeScript, library), "{library}");
        }
        assert!(!is_library(Language::Bash, "jq"));
    }

    #[test]
    fn registries_are_what_was_put_in() {
        let some: Registries =
            [Registry::Npm, Registry::Debian, Registry::Npm].into_iter().collect();
        assert!(some.holds(Registry::Npm) && some.holds(Registry::Debian));
        assert!(!some.holds(Registry::Pypi) && !some.is_empty());
        assert_eq!(Registries::from_bits(some.bits()), some);
        assert_eq!(some.iter().collect::<Vec<_>>(), [Registry::Npm, Registry::Debian]);
        assert!(Registries::default().is_empty());
    }
}
