//! The top-level fields that reach further than inference: what each would do, and what the gate
//! does about it.

use super::{Edits, Request, Shape, Value, check_spelling, malformed};
use crate::{Dialect, Endpoint, Kind, Refusal};

const ASKS_USAGE: &str = r#""stream_options":{"include_usage":true}"#;

/// Refused in every dialect: an upstream that is itself a gateway or a bare engine acts on them.
const REFUSED: [(&str, &str); 17] = [
    ("api_base", "would choose the upstream"),
    ("base_url", "would choose the upstream"),
    ("api_key", "would choose the credential"),
    ("extra_headers", "would choose the upstream's headers"),
    ("extra_body", "would carry what is refused here"),
    ("headers", "would choose the upstream's headers"),
    ("models", "would name models past the job's list"),
    ("model_list", "would name models past the job's list"),
    ("fallbacks", "would name models past the job's list"),
    ("route", "would choose the upstream"),
    ("provider", "would choose the upstream"),
    ("plugins", "would run tools at the provider"),
    ("kv_transfer_params", "would make the engine connect to a host of the client's"),
    ("chat_template", "would run a program in the engine"),
    ("prompt_embeds", "would have the engine load pickled data"),
    ("mcp_servers", "would make the provider connect to a host of the client's"),
    ("web_search_options", "would search the web from the provider"),
];

/// Arguments that are not a template's, but of who fills it in: another template, which is a program, and work that
/// stalls an engine (CVE-2025-61620, CVE-2025-62426).
const OF_TEMPLATES: [&str; 2] = ["chat_template", "tokenize"];

const REFUSED_OF_OPENAI: [(&str, &str); 3] = [
    ("previous_response_id", "would read what another job may have stored"),
    ("conversation", "would read what another job may have stored"),
    ("background", "would leave work at the provider that nobody can cancel"),
];

const REFUSED_OF_ANTHROPIC: [(&str, &str); 1] = [("container", "would run code at the provider")];

/// How an Ollama is to be run is its node's business: these move models in and out of memory, for
/// every job.
const DROPPED_OPTIONS: [&str; 17] = [
    "embedding_only",
    "f16_kv",
    "logits_all",
    "low_vram",
    "main_gpu",
    "num_batch",
    "num_ctx",
    "num_gpu",
    "num_gqa",
    "num_thread",
    "numa",
    "rope_frequency_base",
    "rope_frequency_scale",
    "use_mlock",
    "use_mmap",
    "vocab_only",
    "tensor_split",
];

pub(super) fn check(request: &Request<'_, '_>) -> Result<(), Refusal> {
    let own: &[_] = match request.dialect() {
        Dialect::Ollama => &[],
        Dialect::OpenAi => &REFUSED_OF_OPENAI,
        Dialect::Anthropic => &REFUSED_OF_ANTHROPIC,
    };
    for (field, why) in REFUSED.iter().chain(own).copied() {
        if request.field(field).is_some_and(asks_for_something) {
            let message = format!("{field} is not allowed: it {why}");
            return Err(Refusal::new(Kind::Feature, message).of_field(field));
        }
    }
    let arguments = request.field("chat_template_kwargs").map(Value::members).unwrap_or_default();
    if let Some(member) = arguments.iter().find(|member| OF_TEMPLATES.contains(&&*member.key)) {
        let message = format!("chat_template_kwargs may not have {}", member.key);
        return Err(Refusal::new(Kind::Feature, message).of_field("chat_template_kwargs"));
    }
    let prompt = request.field("prompt").map(Value::shape);
    if prompt == Some(Shape::Object) {
        let message = "prompt is not allowed as a template: it is stored at the provider";
        return Err(Refusal::new(Kind::Feature, message).of_field("prompt"));
    }
    Ok(())
}

/// SDKs send `false` and `[]` for what nobody asked for. `{}` does ask, for a tool's defaults.
fn asks_for_something(value: Value<'_>) -> bool {
    match value.shape() {
        Shape::Bool(asks) => asks,
        Shape::Array => value.elements().next().is_some(),
        _ => true,
    }
}

/// Takes out, turns off and adds. True when a usage chunk will come that the client didn't ask for.
pub(super) fn rewrite(
    request: &Request<'_, '_>,
    root: Value<'_>,
    asks_usage: bool,
    edits: &mut Edits,
) -> Result<bool, Refusal> {
    let mut added = Vec::new();
    let mut gone: &[&str] = &[];
    let mut hides_usage = false;
    match request.dialect() {
        Dialect::Ollama => {
            gone = &["keep_alive"];
            drop_options(request, edits)?;
        }
        Dialect::OpenAi => {
            added.extend(store_nothing(request, edits)?);
            let counts = [Endpoint::ChatCompletions, Endpoint::Completions];
            if asks_usage && counts.contains(&request.endpoint) {
                hides_usage = ask_for_usage(request, edits, &mut added)?;
            }
        }
        Dialect::Anthropic => {}
    }
    edits.reshape(root, request.members, |member| gone.contains(&&*member.key), &added);
    Ok(hides_usage)
}

fn drop_options(request: &Request<'_, '_>, edits: &mut Edits) -> Result<(), Refusal> {
    let Some(options) = request.field("options") else { return Ok(()) };
    if options.shape() != Shape::Object {
        return Err(malformed("options", "must be an object"));
    }
    let members = options.members();
    check_spelling(&members)?;
    edits.reshape(options, &members, |member| DROPPED_OPTIONS.contains(&&*member.key), &[]);
    Ok(())
}

/// What a provider stores outlives the job. Responses are stored unless the call says otherwise.
fn store_nothing(
    request: &Request<'_, '_>,
    edits: &mut Edits,
) -> Result<Option<&'static str>, Refusal> {
    let by_default = request.endpoint == Endpoint::Responses;
    let store = request.members.iter().find(|member| member.key == "store");
    let Some(store) = store.map(|member| member.value) else {
        return Ok(by_default.then_some(r#""store":false"#));
    };
    match store.shape() {
        Shape::Bool(false) => {}
        Shape::Null if !by_default => {}
        Shape::Bool(true) | Shape::Null => edits.replace(store, "false"),
        _ => return Err(malformed("store", "must be true or false")),
    }
    Ok(None)
}

fn ask_for_usage(
    request: &Request<'_, '_>,
    edits: &mut Edits,
    added: &mut Vec<&'static str>,
) -> Result<bool, Refusal> {
    let options = request.members.iter().find(|member| member.key == "stream_options");
    let Some(options) = options.map(|member| member.value) else {
        added.push(ASKS_USAGE);
        return Ok(true);
    };
    match options.shape() {
        Shape::Object => {}
        Shape::Null => {
            edits.replace(options, r#"{"include_usage":true}"#);
            return Ok(true);
        }
        _ => return Err(malformed("stream_options", "must be an object")),
    }
    let members = options.members();
    check_spelling(&members)?;
    match options.get("include_usage") {
        None => edits.reshape(options, &members, |_| false, &[r#""include_usage":true"#]),
        Some(asked) => match asked.shape() {
            Shape::Bool(true) => return Ok(false),
            Shape::Bool(false) | Shape::Null => edits.replace(asked, "true"),
            _ => return Err(malformed("stream_options", "must say true or false")),
        },
    }
    Ok(true)
}
