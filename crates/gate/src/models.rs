//! The models of one sandbox: what it calls them, and what the provider calls them. A name is
//! resolved or refused before any upstream sees it.

mod answers;

pub use answers::{answer, loaded};

use crate::{Kind, Refusal, refusal::quoted, routes::RouteTable};
use contracts::RouteAlias;
use std::{borrow::Cow, collections::BTreeMap};

const MAX_NAME_BYTES: usize = 256;

/// What Ollama puts behind a name without a tag.
const DEFAULT_TAG: &str = ":latest";

/// What happens to a name that is no alias.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Unlisted {
    #[default]
    Refused,
    /// Every other name means this model of the provider's.
    Means(String),
    /// Goes to the provider as it is, if it can't reach further than the provider.
    Same,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ModelMap {
    /// The job's name for a model → the provider's.
    aliases: BTreeMap<String, String>,
    unlisted: Unlisted,
}

/// The names that a client may ask for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Offer {
    pub names: Vec<String>,
    /// Every other name is taken too.
    pub any: bool,
}

impl ModelMap {
    pub fn new(aliases: impl IntoIterator<Item = (String, String)>, unlisted: Unlisted) -> Self {
        Self { aliases: aliases.into_iter().collect(), unlisted }
    }

    /// One name and no other.
    pub fn one(alias: &str, model: &str) -> Self {
        Self::new([(alias.to_owned(), model.to_owned())], Unlisted::Refused)
    }

    /// Whether it is the form of a name that a call may have.
    pub fn can_be_asked_for(name: &str) -> bool {
        check_name(name).is_ok()
    }

    /// Together with the names that routes have. A default route takes every other name.
    pub(crate) fn with_routes(&self, table: &RouteTable) -> Cow<'_, Self> {
        let names = table.names(None);
        if names.is_empty() {
            return Cow::Borrowed(self);
        }
        let mut all = self.clone();
        if names.contains(&RouteAlias::DEFAULT) {
            all.unlisted = Unlisted::Means(RouteAlias::DEFAULT.to_owned());
        }
        all.aliases.extend(names.into_iter().map(|name| (name.to_owned(), name.to_owned())));
        Cow::Owned(all)
    }

    /// The part of it that is named here. A name that the whole map would refuse is refused still.
    pub fn narrowed(&self, names: &[String]) -> Self {
        let meant = |name: &String| Some((name.clone(), self.resolve(name).ok()?.to_owned()));
        Self { aliases: names.iter().filter_map(meant).collect(), unlisted: Unlisted::Refused }
    }

    /// The provider's name for what the client asked for.
    pub fn resolve<'a>(&'a self, name: &'a str) -> Result<&'a str, Refusal> {
        check_name(name)?;
        if let Some(model) = self.listed(name) {
            return Ok(model);
        }
        // Before the default gets it: such a name is never meant for "any model".
        if reaches_further(name) {
            let message = format!("the model {} is not served from this node", quoted(name));
            return Err(Refusal::new(Kind::Model, message).of_field("model"));
        }
        match &self.unlisted {
            Unlisted::Refused => {
                let message = format!("model '{}' not found", quoted(name));
                Err(Refusal::new(Kind::Model, message).of_field("model"))
            }
            Unlisted::Means(model) => Ok(model),
            Unlisted::Same => Ok(name),
        }
    }

    /// The names to show to the client.
    pub fn names(&self) -> Vec<&str> {
        match &self.unlisted {
            // There has to be one to pick from, and it is the one that any name means.
            Unlisted::Means(model) if self.aliases.is_empty() => vec![model],
            _ => self.aliases.keys().map(String::as_str).collect(),
        }
    }

    pub fn offer(&self) -> Offer {
        let names = self.names().into_iter().map(str::to_owned).collect();
        Offer { names, any: self.unlisted != Unlisted::Refused }
    }

    /// Ollama's clients add and drop the default tag as they like.
    fn listed(&self, name: &str) -> Option<&str> {
        let tagged = || self.aliases.get(&format!("{name}{DEFAULT_TAG}"));
        let bare = || self.aliases.get(name.strip_suffix(DEFAULT_TAG)?);
        self.aliases.get(name).or_else(tagged).or_else(bare).map(String::as_str)
    }
}

/// Spaces, signs and dots that some upstream would trim, split at or resolve have no place in a name.
fn check_name(name: &str) -> Result<(), Refusal> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._:@".contains(&byte);
    let straight = name.split('/').all(|part| !["", ".", ".."].contains(&part));
    if name.len() <= MAX_NAME_BYTES && name.bytes().all(plain) && straight {
        return Ok(());
    }
    Err(Refusal::new(Kind::Malformed, "model is no model's name").of_field("model"))
}

/// Names that make an Ollama call out with the node's identity (`x:cloud`, `x:20b-cloud`), that
/// name another registry (`host/space/name`), or a variant that searches the web (`x:online`).
fn reaches_further(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let mut parts = name.split(['/', ':', '@']);
    let remote = |part: &str| part == "cloud" || part == "online" || part.ends_with("-cloud");
    let registry = match name.split_once('/') {
        Some((first, rest)) => first.contains(['.', ':']) || rest.contains('/'),
        None => false,
    };
    registry || parts.any(remote)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(unlisted: Unlisted) -> ModelMap {
        let aliases =
            [("small", "qwen2.5:0.5b"), ("tagged:latest", "t"), ("gpt:cloud", "gpt:cloud")];
        ModelMap::new(aliases.map(|(alias, model)| (alias.to_owned(), model.to_owned())), unlisted)
    }

    #[test]
    fn an_alias_means_its_model() {
        let map = map(Unlisted::Refused);
        let cases = [
            ("small", "qwen2.5:0.5b"),
            ("small:latest", "qwen2.5:0.5b"),
            ("tagged", "t"),
            ("tagged:latest", "t"),
            ("gpt:cloud", "gpt:cloud"),
        ];
        for (name, model) in cases {
            assert_eq!(map.resolve(name), Ok(model), "{name}");
        }
        for name in ["Small", "smal", "qwen2.5:0.5b", "small:1", "t"] {
            assert_eq!(map.resolve(name).unwrap_err().kind, Kind::Model, "{name}");
        }
    }

    #[test]
    fn a_default_takes_the_other_names() {
        let any = map(Unlisted::Means("m".to_owned()));
        assert_eq!(any.resolve("anything"), Ok("m"));
        assert_eq!(any.resolve("small"), Ok("qwen2.5:0.5b"));
        let same = map(Unlisted::Same);
        assert_eq!(same.resolve("meta/llama-3.1-8b"), Ok("meta/llama-3.1-8b"));
    }

    #[test]
    fn a_name_that_reaches_further_is_refused_unless_listed() {
        let names = [
            "x:cloud",
            "X:CLOUD",
            "gpt-oss:120b-cloud",
            "x-cloud",
            "x-cloud:latest",
            "cloud/x",
            "hf.co/a/b",
            "hf.co/b",
            "a/b/c",
            "localhost:5000/b",
            "x:online",
            "registry.ollama.ai/x",
            "x:cloud@sha256:00",
        ];
        for unlisted in [Unlisted::Refused, Unlisted::Same, Unlisted::Means("m".to_owned())] {
            let map = map(unlisted);
            for name in names {
                assert_eq!(map.resolve(name).unwrap_err().kind, Kind::Model, "{name}");
            }
        }
        for name in ["cloudy", "x:cloud9", "meta/llama", "x@sha256:00"] {
            assert!(!reaches_further(name), "{name}");
        }
    }

    #[test]
    fn what_is_no_name_never_reaches_a_map() {
        let map = map(Unlisted::Same);
        let long = "a".repeat(MAX_NAME_BYTES + 1);
        for name in
            ["", " x", "x\0", "x\n:cloud", "../x", "a//b", "/x", "x/", "é", "x%3acloud", &long]
        {
            assert_eq!(map.resolve(name).unwrap_err().kind, Kind::Malformed, "{name:?}");
        }
    }
}
