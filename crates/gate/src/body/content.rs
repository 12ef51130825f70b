//! What the messages of a body may point to: data that they carry. A URL makes the provider fetch;
//! an id reads what was stored at the provider, perhaps by another job.

use super::{
    Request, Shape, Value,
    json::{Place, Visitor},
    malformed,
};
use crate::{Dialect, Kind, Refusal};
use std::borrow::Cow;

/// Where messages stand, in the dialects that know remote content.
const TREES: [&str; 3] = ["input", "messages", "system"];

/// A part within a tool's result within a message is at 8.
const MAX_DEPTH: usize = 16;

/// A document's content may hold pictures. Each is read once more than what it is in.
const MAX_SOURCES: usize = 4;

/// The arguments of a tool call are the client's own data, whatever their keys are.
const ARGUMENTS: [&str; 3] = ["action", "arguments", "input"];

const LINKS: [&str; 4] = ["audio_url", "file_url", "image_url", "video_url"];

/// Ids of what the provider keeps, and data that an engine would unpickle.
const REFUSED: [(&str, &str); 3] = [
    ("file_id", "a file that is stored at the provider"),
    ("image_embeds", "embeddings for the engine to load"),
    ("audio_embeds", "embeddings for the engine to load"),
];

/// How a block of Anthropic's carries its data itself.
const INLINE_SOURCES: [&str; 3] = ["base64", "content", "text"];

pub(super) fn check(request: &Request<'_, '_>, allows_remote: bool) -> Result<(), Refusal> {
    if request.dialect() == Dialect::Ollama {
        return Ok(());
    }
    let trees = TREES.into_iter().filter_map(|tree| Some((tree, request.field(tree)?)));
    for (tree, value) in trees {
        value.visit(&mut Walk { tree, allows_remote, sources: Vec::new() })?;
    }
    Ok(())
}

struct Walk {
    tree: &'static str,
    allows_remote: bool,
    /// Where those end that the walk may be within.
    sources: Vec<usize>,
}

impl<'a> Visitor<'a> for Walk {
    type Fault = Refusal;

    const MAX_DEPTH: usize = MAX_DEPTH;

    fn member(&mut self, key: &str, value: Place<'a>) -> Result<bool, Refusal> {
        if value.shape() == Shape::Null || ARGUMENTS.contains(&key) {
            return Ok(false);
        }
        let key = folded(key);
        if let Some((_, what)) = REFUSED.iter().find(|(refused, _)| *refused == key) {
            return Err(self.refusal(what));
        }
        if LINKS.contains(&&*key) {
            return self.check_link(value.value()).map(|()| false);
        }
        match (&*key, value.shape()) {
            ("source", Shape::Object) => self.check_source(value)?,
            ("type", Shape::String)
                if value.value().string().as_deref() == Some("item_reference") =>
            {
                return Err(self.refusal("an item that is stored at the provider"));
            }
            _ => {}
        }
        Ok(true)
    }

    fn too_deep(&self) -> Refusal {
        malformed(self.tree, "nests deeper than messages do")
    }
}

impl Walk {
    /// A link is a string, or an object with a `url`.
    fn check_link(&self, link: Value<'_>) -> Result<(), Refusal> {
        let url = if link.shape() == Shape::Object { self.only(link, "url")? } else { Some(link) };
        let url = url.and_then(Value::string);
        let url = url.ok_or_else(|| malformed(self.tree, "has a link without a URL"))?;
        let inline = url.starts_with("data:");
        let remote = url.starts_with("https://") || url.starts_with("http://");
        if inline || self.allows_remote && remote {
            return Ok(());
        }
        Err(self.refusal("a URL for the provider to fetch"))
    }

    fn check_source(&mut self, source: Place<'_>) -> Result<(), Refusal> {
        self.sources.retain(|end| source.start() < *end);
        if self.sources.len() == MAX_SOURCES {
            return Err(self.too_deep());
        }
        let source = source.value();
        self.sources.push(source.end);
        let kind = self.only(source, "type")?.and_then(Value::string);
        let kind = kind.ok_or_else(|| malformed(self.tree, "has a source without a type"))?;
        if INLINE_SOURCES.contains(&&*kind) || self.allows_remote && kind == "url" {
            return Ok(());
        }
        Err(self.refusal("a source for the provider to fetch"))
    }

    /// A member that is there once, in whichever spelling.
    fn only<'a>(&self, object: Value<'a>, name: &str) -> Result<Option<Value<'a>>, Refusal> {
        let members = object.members();
        let mut found = members.iter().filter(|member| folded(&member.key) == name);
        match (found.next(), found.next()) {
            (_, Some(_)) => Err(malformed(self.tree, "has a part with two spellings of one key")),
            (found, None) => Ok(found.map(|member| member.value)),
        }
    }

    fn refusal(&self, what: &str) -> Refusal {
        let message = format!("{} may not point to {what}: send the data itself", self.tree);
        Refusal::new(Kind::Feature, message).of_field(self.tree)
    }
}

/// A key as Go's decoders compare it with a field: `URL` is `url` to them, and so is `source` with a long s.
fn folded(key: &str) -> Cow<'_, str> {
    let is_folded = key.bytes().all(|byte| byte.is_ascii() && !byte.is_ascii_uppercase());
    if is_folded {
        return Cow::Borrowed(key);
    }
    let fold = |char: char| match char {
        '\u{17f}' => 's',
        '\u{212a}' => 'k',
        char => char.to_ascii_lowercase(),
    };
    Cow::Owned(key.chars().map(fold).collect())
}
