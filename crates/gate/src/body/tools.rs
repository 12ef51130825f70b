//! Which tools a body may offer to the model: those that the client runs. A tool that the provider
//! runs fetches, searches and executes from the provider's network, past the egress rules.

use super::{Request, Shape, Value, check_spelling, malformed};
use crate::{Dialect, Kind, Refusal, refusal::quoted};

/// Run by the client, whatever their names say.
const CLIENT_TOOLS: [&str; 2] = ["function", "custom"];

/// Also run by the client: the provider only knows their parameters. `shell` isn't here, because
/// with an `environment` the provider runs it.
const CLIENT_TOOLS_OF_OPENAI: [&str; 2] = ["local_shell", "apply_patch"];

/// Anthropic's client tools end in a date. Its hosted tools do so as well, so the names count.
const DATED_CLIENT_TOOLS: [&str; 4] = ["bash", "computer", "memory", "text_editor"];

pub(super) fn check(request: &Request<'_, '_>) -> Result<(), Refusal> {
    let Some(tools) = request.field("tools") else { return Ok(()) };
    if tools.shape() != Shape::Array {
        return Err(malformed("tools", "must be an array"));
    }
    tools.elements().try_for_each(|tool| check_tool(tool, request.dialect()))
}

fn check_tool(tool: Value<'_>, dialect: Dialect) -> Result<(), Refusal> {
    if tool.shape() != Shape::Object {
        return Err(malformed("tools", "must hold objects"));
    }
    let members = tool.members();
    check_spelling(&members)?;
    let kind = members.iter().find(|member| member.key == "type").map(|member| member.value);
    let Some(kind) = kind.filter(|kind| kind.shape() != Shape::Null) else {
        // Without a type it is the dialect's plain tool, of a name that the client made up.
        return Ok(());
    };
    let kind = kind.string().ok_or_else(|| malformed("tools", "must have a type that is text"))?;
    if is_of_client(&kind, dialect) {
        return Ok(());
    }
    let message = format!("the tool type {} is not allowed: the client must run it", quoted(&kind));
    Err(Refusal::new(Kind::Feature, message).of_field("tools"))
}

fn is_of_client(kind: &str, dialect: Dialect) -> bool {
    if CLIENT_TOOLS.contains(&kind) {
        return true;
    }
    match dialect {
        Dialect::Ollama => false,
        Dialect::OpenAi => CLIENT_TOOLS_OF_OPENAI.contains(&kind),
        Dialect::Anthropic => kind.rsplit_once('_').is_some_and(|(name, date)| {
            let dated = date.len() == 8 && date.bytes().all(|byte| byte.is_ascii_digit());
            dated && DATED_CLIENT_TOOLS.contains(&name)
        }),
    }
}
