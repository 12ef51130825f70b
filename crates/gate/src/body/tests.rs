//! Bodies as tables: what becomes of each field that reaches further than inference.

use super::*;
use crate::Unlisted;
use http::HeaderValue;

fn models() -> ModelMap {
    ModelMap::new([("m".to_owned(), "real:7b".to_owned())], Unlisted::Refused)
}

fn judge(endpoint: Endpoint, body: &str) -> Result<Prepared, Refusal> {
    prepare(endpoint, &Bytes::copy_from_slice(body.as_bytes()), BodyPolicy::default(), &models())
}

fn forward(endpoint: Endpoint, body: &str) -> Forward {
    match judge(endpoint, body) {
        Ok(Prepared::Forward(forward)) => forward,
        other => panic!("{endpoint:?} {body}: {other:?}"),
    }
}

fn forwarded(endpoint: Endpoint, body: &str) -> String {
    String::from_utf8(forward(endpoint, body).body.to_vec()).unwrap()
}

fn refused(endpoint: Endpoint, body: &str) -> Kind {
    match judge(endpoint, body) {
        Err(refusal) => refusal.kind,
        Ok(passed) => panic!("{endpoint:?} {body}: {passed:?}"),
    }
}

#[test]
fn the_model_is_renamed_and_nothing_else_changes() {
    let body = r#" {"z":1.0e+05, "n":12345678901234567890123, "model" :"m","s":"\u00e9\/é","a":[ 1,2 ],"t":{"b":1,"a":2}} "#;
    let expected = body.replace(r#""m""#, r#""real:7b""#);
    for endpoint in [Endpoint::Messages, Endpoint::ChatCompletions, Endpoint::Embeddings] {
        assert_eq!(forwarded(endpoint, body), expected, "{endpoint:?}");
    }
    let escaped = r#"{"\u006dodel":"\u006d","x":0}"#;
    assert_eq!(forwarded(Endpoint::Messages, escaped), r#"{"\u006dodel":"real:7b","x":0}"#);
}

#[test]
fn a_body_that_needs_no_change_is_the_same_bytes() {
    let same = ModelMap::new([], Unlisted::Same);
    let body = Bytes::from_static(br#"{"model":"m", "messages":[]}"#);
    let prepared = prepare(Endpoint::Messages, &body, BodyPolicy::default(), &same).unwrap();
    let Prepared::Forward(forward) = prepared else { panic!("{prepared:?}") };
    assert_eq!(forward.body.as_ptr(), body.as_ptr(), "it was copied");
}

#[test]
fn the_model_has_one_name_and_one_spelling() {
    let cases = [
        (r#"{"messages":[]}"#, Kind::Malformed),
        (r#"{"model":null}"#, Kind::Malformed),
        (r#"{"model":7}"#, Kind::Malformed),
        (r#"{"model":["m"]}"#, Kind::Malformed),
        (r#"{"model":"\ud800"}"#, Kind::Malformed),
        (r#"{"model":"m","model":"m"}"#, Kind::Malformed),
        (r#"{"model":"m","\u006dodel":"x:cloud"}"#, Kind::Malformed),
        (r#"{"model":"m","Model":"x:cloud"}"#, Kind::Malformed),
        (r#"{"model":"m","MODEL":"x:cloud"}"#, Kind::Malformed),
        ("{\"model\":\"m\",\"tool\u{17f}\":[]}", Kind::Malformed),
        ("{\"model\":\"m\",\"\u{212a}eep_alive\":0}", Kind::Malformed),
        (r#"{"model":"m","store ":true}"#, Kind::Malformed),
        (r#"{"model":"x"}"#, Kind::Model),
        (r#"{"model":"x:cloud"}"#, Kind::Model),
        (r#"{"model":"\u0078:cloud"}"#, Kind::Model),
        (r#"["m"]"#, Kind::Malformed),
        (r#"{"model":"m"} {}"#, Kind::Malformed),
    ];
    for (body, kind) in cases {
        for endpoint in Endpoint::ALL {
            assert_eq!(refused(endpoint, body), kind, "{endpoint:?} {body}");
        }
    }
}

#[test]
fn ollama_is_not_told_how_to_run() {
    let cases = [
        (r#"{"model":"m","keep_alive":-1,"prompt":"a"}"#, r#"{"model":"real:7b","prompt":"a"}"#),
        (r#"{"keep_alive":"24h","model":"m","prompt":"a"}"#, r#"{"model":"real:7b","prompt":"a"}"#),
        (
            r#"{"model":"m","prompt":"a","options":{"num_ctx":9,"temperature":0.50,"num_gpu":1},"keep_alive":0}"#,
            r#"{"model":"real:7b","prompt":"a","options":{"temperature":0.50}}"#,
        ),
        (
            r#"{"model":"m","prompt":"a","options":{"num_thread":9,"use_mmap":false}}"#,
            r#"{"model":"real:7b","prompt":"a","options":{}}"#,
        ),
        (
            r#"{"model":"m","prompt":"a","options":null}"#,
            r#"{"model":"real:7b","prompt":"a","options":null}"#,
        ),
    ];
    for (body, expected) in cases {
        assert_eq!(forwarded(Endpoint::OllamaGenerate, body), expected);
    }
    for options in [r#"{"Num_Ctx":1}"#, "[]", r#""x""#, r#"{"num_ctx":1,"num_ctx":1}"#] {
        let body = format!(r#"{{"model":"m","prompt":"a","options":{options}}}"#);
        assert_eq!(refused(Endpoint::OllamaGenerate, &body), Kind::Malformed, "{body}");
    }
}

#[test]
fn loading_is_answered_and_unloading_refused() {
    use Endpoint::{OllamaChat, OllamaGenerate};
    let loads = [
        (OllamaGenerate, r#"{"model":"m"}"#),
        (OllamaGenerate, r#"{"model":"m","prompt":""}"#),
        (OllamaGenerate, r#"{"model":"m","prompt":"","keep_alive":"5m"}"#),
        (OllamaChat, r#"{"model":"m"}"#),
        (OllamaChat, r#"{"model":"m","messages":[],"keep_alive":-1}"#),
        (OllamaChat, r#"{"model":"m","messages":[ ]}"#),
    ];
    for (endpoint, body) in loads {
        assert_eq!(judge(endpoint, body), Ok(Prepared::Load { alias: "m".into() }), "{body}");
    }
    for zero in ["0", "0.0", "-0", "\"0\"", "\"0s\"", "\"0m0s\""] {
        let generate = format!(r#"{{"model":"m","keep_alive":{zero}}}"#);
        assert_eq!(refused(OllamaGenerate, &generate), Kind::Feature, "{zero}");
        let chat = format!(r#"{{"model":"m","messages":[{{}}],"keep_alive":{zero}}}"#);
        assert_eq!(forwarded(OllamaChat, &chat), r#"{"model":"real:7b","messages":[{}]}"#);
    }
}

#[test]
fn what_reaches_further_is_refused_by_name() {
    use Endpoint::{ChatCompletions, Completions, Messages, Responses};
    let cases = [
        (Responses, r#""previous_response_id":"resp_1""#),
        (Responses, r#""conversation":{"id":"conv_1"}"#),
        (Responses, r#""background":true"#),
        (Responses, r#""prompt":{"id":"pmpt_1"}"#),
        (Completions, r#""prompt_embeds":"x""#),
        (ChatCompletions, r#""web_search_options":{}"#),
        (ChatCompletions, r#""plugins":[{"id":"web"}]"#),
        (ChatCompletions, r#""models":["x"]"#),
        (ChatCompletions, r#""api_base":"http://10.0.0.1""#),
        (ChatCompletions, r#""kv_transfer_params":{}"#),
        (Messages, r#""mcp_servers":[{"url":"https://x"}]"#),
        (Messages, r#""container":"c""#),
        (Messages, r#""container":{"skills":[]}"#),
    ];
    for (endpoint, field) in cases {
        let body = format!(r#"{{"model":"m",{field}}}"#);
        assert_eq!(refused(endpoint, &body), Kind::Feature, "{field}");
        let name = field[1..].split('"').next();
        assert_eq!(judge(endpoint, &body).unwrap_err().param.as_deref(), name);
    }
}

#[test]
fn what_asks_for_nothing_passes() {
    let fields = [
        (Endpoint::Responses, r#""background":false"#),
        (Endpoint::Responses, r#""previous_response_id":null"#),
        (Endpoint::Messages, r#""mcp_servers":[]"#),
        (Endpoint::Messages, r#""container":null"#),
        (Endpoint::Messages, r#""tools":null"#),
        (Endpoint::Completions, r#""prompt":["a"]"#),
    ];
    for (endpoint, field) in fields {
        let body = format!(r#"{{"model":"m","store":false,{field}}}"#);
        assert_eq!(forwarded(endpoint, &body), body.replace(r#""m""#, r#""real:7b""#));
    }
}

#[test]
fn nothing_is_stored() {
    use Endpoint::{ChatCompletions, Messages, Responses};
    let cases = [
        (Responses, r#"{"model":"m"}"#, r#"{"store":false,"model":"real:7b"}"#),
        (Responses, r#"{"model":"m","store":null}"#, r#"{"model":"real:7b","store":false}"#),
        (Responses, r#"{"model":"m","store":true}"#, r#"{"model":"real:7b","store":false}"#),
        (ChatCompletions, r#"{"model":"m","store":true}"#, r#"{"model":"real:7b","store":false}"#),
        (ChatCompletions, r#"{"model":"m"}"#, r#"{"model":"real:7b"}"#),
        (ChatCompletions, r#"{"model":"m","store":null}"#, r#"{"model":"real:7b","store":null}"#),
        (Messages, r#"{"model":"m"}"#, r#"{"model":"real:7b"}"#),
    ];
    for (endpoint, body, expected) in cases {
        assert_eq!(forwarded(endpoint, body), expected);
    }
    assert_eq!(refused(Responses, r#"{"model":"m","store":"true"}"#), Kind::Malformed);
}

#[test]
fn tools_are_the_clients_own() {
    use Endpoint::{ChatCompletions, Messages, OllamaChat, Responses};
    let allowed = [
        (OllamaChat, r#"{"type":"function","function":{}}"#),
        (ChatCompletions, r#"{"type":"function","function":{"parameters":{"Type":"x"}}}"#),
        (Responses, r#"{"type":"custom","name":"web_search"}"#),
        (Responses, r#"{"type":"local_shell"}"#),
        (Messages, r#"{"name":"x","input_schema":{"type":"object"}}"#),
        (Messages, r#"{"type":null,"name":"x"}"#),
        (Messages, r#"{"type":"custom","name":"x"}"#),
        (Messages, r#"{"type":"bash_20250124","name":"bash"}"#),
        (Messages, r#"{"type":"text_editor_20250728","name":"e"}"#),
        (Messages, r#"{"type":"computer_20250124","name":"computer"}"#),
    ];
    for (endpoint, tool) in allowed {
        let body = format!(r#"{{"model":"m","messages":[{{}}],"tools":[{tool}]}}"#);
        forward(endpoint, &body);
    }
    let hosted = [
        (OllamaChat, "web_search"),
        (OllamaChat, "bash_20250124"),
        (ChatCompletions, "web_search"),
        (Responses, "web_search_preview"),
        (Responses, "web_search_2025_08_26"),
        (Responses, "code_interpreter"),
        (Responses, "file_search"),
        (Responses, "mcp"),
        (Responses, "image_generation"),
        (Responses, "computer_use_preview"),
        (Responses, "shell"),
        (Responses, "namespace"),
        (Responses, "bash_20250124"),
        (Responses, "Function"),
        (Responses, "function "),
        (Messages, "web_search_20250305"),
        (Messages, "web_fetch_20250910"),
        (Messages, "code_execution_20250825"),
        (Messages, "mcp_toolset"),
        (Messages, "bash_2025012"),
        (Messages, "bash_code_execution_20250825"),
        (Messages, "\\u0077eb_search_20250305"),
        (Messages, ""),
    ];
    for (endpoint, kind) in hosted {
        let tools = format!(r#"[{{"type":"function"}},{{"name":"x","type":"{kind}"}}]"#);
        let body = format!(r#"{{"model":"m","messages":[{{}}],"tools":{tools}}}"#);
        assert_eq!(refused(endpoint, &body), Kind::Feature, "{kind}");
    }
    for tools in ["{}", "[1]", r#"[{"Type":"mcp"}]"#, r#"[{"type":1}]"#, r#""mcp""#] {
        let body = format!(r#"{{"model":"m","tools":{tools}}}"#);
        assert_eq!(refused(Endpoint::Responses, &body), Kind::Malformed, "{tools}");
    }
}

#[test]
fn messages_carry_their_data_themselves() {
    use Endpoint::{ChatCompletions, Messages, Responses};
    let chat = |part: &str| format!(r#"{{"model":"m","messages":[{{"content":[{part}]}}]}}"#);
    let input = |item: &str| format!(r#"{{"model":"m","input":[{item}]}}"#);
    let passes = [
        (
            ChatCompletions,
            chat(r#"{"type":"image_url","image_url":{"url":"data:image/png;base64,AA=="}}"#),
        ),
        (ChatCompletions, chat(r#"{"type":"file","file":{"file_data":"data:x"}}"#)),
        (ChatCompletions, chat(r#"{"type":"text","text":"see https://x"}"#)),
        (Responses, input(r#"{"type":"input_image","image_url":"data:\/x","file_id":null}"#)),
        (Responses, input(r#"{"type":"function_call","arguments":"{\"file_id\":1}"}"#)),
        (Responses, r#"{"model":"m","input":"https://x"}"#.to_owned()),
        (Messages, chat(r#"{"type":"image","source":{"type":"base64","data":"AA"}}"#)),
        (Messages, chat(r#"{"type":"tool_use","input":{"file_id":"f","source":{"type":"url"}}}"#)),
        (Messages, chat(r#"{"type":"search_result","source":"https://x","content":[]}"#)),
    ];
    for (endpoint, body) in passes {
        forward(endpoint, &body);
    }
    let remote = [
        (ChatCompletions, chat(r#"{"type":"image_url","image_url":{"url":"https://x/a.png"}}"#)),
        (ChatCompletions, chat(r#"{"type":"image_url","image_url":"http://169.254.169.254/"}"#)),
        (ChatCompletions, chat(r#"{"type":"video_url","video_url":{"url":"http://x"}}"#)),
        (Responses, input(r#"{"content":[{"type":"input_file","file_url":"https://x"}]}"#)),
        (Responses, input(r#"{"output":[{"type":"input_image","image_url":"https://x"}]}"#)),
        (Messages, chat(r#"{"type":"image","source":{"type":"url","url":"https://x"}}"#)),
        (Messages, chat(r#"{"type":"tool_result","content":[{"source":{"type":"url"}}]}"#)),
    ];
    let policy = BodyPolicy { allows_remote_media: true, ..BodyPolicy::default() };
    for (endpoint, body) in remote {
        assert_eq!(refused(endpoint, &body), Kind::Feature, "{body}");
        let allowed = prepare(endpoint, &Bytes::from(body.clone()), policy, &models());
        assert!(allowed.is_ok(), "{body}: {allowed:?}");
    }
    let never = [
        (ChatCompletions, chat(r#"{"type":"image_url","image_url":{"url":"file:///etc/passwd"}}"#)),
        (ChatCompletions, chat(r#"{"type":"file","file":{"file_id":"file-1"}}"#)),
        (ChatCompletions, chat(r#"{"type":"image_embeds","image_embeds":"AA"}"#)),
        (Responses, input(r#"{"type":"item_reference","id":"rs_1"}"#)),
        (Responses, input(r#"{"type":"input_image","file_id":"file-1"}"#)),
        (Messages, chat(r#"{"type":"document","source":{"type":"file","file_id":"f"}}"#)),
        (Messages, chat(r#"{"type":"container_upload","file_id":"f"}"#)),
    ];
    for (endpoint, body) in never {
        let judged = prepare(endpoint, &Bytes::from(body.clone()), policy, &models());
        assert_eq!(judged.unwrap_err().kind, Kind::Feature, "{body}");
    }
    let deep = chat(&format!("{}{}", "[".repeat(20), "]".repeat(20)));
    assert_eq!(refused(Messages, &deep), Kind::Malformed);
}

#[test]
fn a_stream_of_openai_is_asked_for_its_usage() {
    const ASKED: &str = r#"{"include_usage":true}"#;
    let cases = [
        ("", &format!(r#""stream_options":{ASKED},"#)[..], "", true),
        (r#","stream_options":null"#, "", r#","stream_options":{"include_usage":true}"#, true),
        (r#","stream_options":{}"#, "", r#","stream_options":{"include_usage":true}"#, true),
        (
            r#","stream_options":{"include_obfuscation":false}"#,
            "",
            r#","stream_options":{"include_usage":true,"include_obfuscation":false}"#,
            true,
        ),
        (
            r#","stream_options":{ "include_usage" : false }"#,
            "",
            r#","stream_options":{ "include_usage" : true }"#,
            true,
        ),
        (
            r#","stream_options":{"include_usage":true}"#,
            "",
            r#","stream_options":{"include_usage":true}"#,
            false,
        ),
    ];
    for (options, front, expected, hides) in cases {
        let body = format!(r#"{{"model":"m","stream":true{options}}}"#);
        let sent = forward(Endpoint::ChatCompletions, &body);
        let expected = format!(r#"{{{front}"model":"real:7b","stream":true{expected}}}"#);
        assert_eq!(sent.body, expected);
        assert_eq!((sent.hides_usage, sent.streams), (hides, true), "{body}");
    }
    for (endpoint, body) in [
        (Endpoint::ChatCompletions, r#"{"model":"m"}"#),
        (Endpoint::Messages, r#"{"model":"m","stream":true}"#),
    ] {
        assert!(!forward(endpoint, body).hides_usage);
        assert_eq!(forwarded(endpoint, body), body.replace(r#""m""#, r#""real:7b""#));
    }
    let policy = BodyPolicy { asks_for_usage: false, ..BodyPolicy::default() };
    let body = Bytes::from_static(br#"{"model":"m","stream":true}"#);
    let prepared = prepare(Endpoint::ChatCompletions, &body, policy, &models()).unwrap();
    assert!(matches!(prepared, Prepared::Forward(Forward { hides_usage: false, .. })));
    for fault in [r#""stream":1"#, r#""stream":true,"stream_options":1"#] {
        let body = format!(r#"{{"model":"m",{fault}}}"#);
        assert_eq!(refused(Endpoint::ChatCompletions, &body), Kind::Malformed);
    }
}

#[test]
fn the_most_that_a_call_may_generate_is_read() {
    use Endpoint::{ChatCompletions, Completions, Messages, OllamaChat, Responses};
    let cases = [
        (Messages, r#""max_tokens":100"#, Some(100)),
        (ChatCompletions, r#""max_tokens":5,"max_completion_tokens":9"#, Some(9)),
        (ChatCompletions, r#""max_tokens":5,"n":4"#, Some(20)),
        (ChatCompletions, r#""max_tokens":5,"n":0"#, Some(5)),
        (ChatCompletions, r#""max_tokens":18446744073709551615,"n":4"#, Some(u64::MAX)),
        (ChatCompletions, r#""max_tokens":1e3"#, Some(1000)),
        (ChatCompletions, r#""max_tokens":1,"max_completion_tokens":1.5e5"#, Some(150_000)),
        (ChatCompletions, r#""max_tokens":1,"n":1e2"#, Some(100)),
        (ChatCompletions, r#""max_tokens":1,"max_completion_tokens":-1"#, None),
        (Responses, r#""max_tokens":1"#, None),
        (OllamaChat, r#""max_tokens":1"#, None),
        (OllamaChat, r#""max_tokens":1,"options":{"num_predict":-1}"#, None),
        (OllamaChat, r#""max_tokens":1,"options":{"num_predict":1e5}"#, Some(100_000)),
        (OllamaChat, r#""options":{"num_predict":null}"#, None),
        (ChatCompletions, r#""n":4"#, Some(4 * DEFAULT_OUTPUT_TOKENS)),
        (Completions, r#""max_tokens":5,"prompt":["a","b"]"#, Some(10)),
        (Completions, r#""max_tokens":5,"prompt":[1,2,3]"#, Some(5)),
        (Completions, r#""max_tokens":5,"prompt":[[1],[2]],"best_of":2"#, Some(20)),
        (Responses, r#""max_output_tokens":7"#, Some(7)),
        (OllamaChat, r#""options":{"num_predict":8}"#, Some(8)),
        (OllamaChat, r#""options":{"num_predict":-1}"#, None),
    ];
    for (endpoint, fields, expected) in cases {
        let body = format!(r#"{{"model":"m","messages":[{{}}],{fields}}}"#);
        assert_eq!(forward(endpoint, &body).max_output_tokens, expected, "{fields}");
    }
    for (endpoint, fields) in [
        (ChatCompletions, r#""max_tokens":"100000""#),
        (ChatCompletions, r#""max_tokens":1,"n":"100""#),
        (OllamaChat, r#""options":{"num_predict":[1]}"#),
    ] {
        let body = format!(r#"{{"model":"m","messages":[{{}}],{fields}}}"#);
        assert_eq!(refused(endpoint, &body), Kind::Malformed, "{fields}");
    }
}

#[test]
fn streams_are_known_before_they_start() {
    use Endpoint::{Messages, OllamaChat, OllamaEmbed};
    let cases = [
        (OllamaChat, "", true),
        (OllamaChat, r#","stream":null"#, true),
        (OllamaChat, r#","stream":false"#, false),
        (OllamaEmbed, "", false),
        (Messages, "", false),
        (Messages, r#","stream":true"#, true),
    ];
    for (endpoint, stream, expected) in cases {
        let body = format!(r#"{{"model":"m","messages":[{{}}]{stream}}}"#);
        assert_eq!(forward(endpoint, &body).streams, expected, "{endpoint:?} {stream}");
    }
}

#[test]
fn only_plain_bodies_are_read() {
    let header = |values: &[&'static str]| {
        let values = values.iter().map(|value| (CONTENT_ENCODING, HeaderValue::from_static(value)));
        check_encoding(&HeaderMap::from_iter(values)).map_err(|refusal| refusal.kind)
    };
    assert_eq!(header(&[]), Ok(()));
    assert_eq!(header(&["Identity"]), Ok(()));
    for coding in ["gzip", "zstd", "identity, gzip", "", "br"] {
        assert_eq!(header(&[coding]), Err(Kind::Encoding), "{coding}");
    }
    let mut two = HeaderMap::new();
    two.append(CONTENT_ENCODING, HeaderValue::from_static("identity"));
    two.append(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    assert_eq!(check_encoding(&two).unwrap_err().kind, Kind::Encoding);
}

#[test]
fn the_model_to_show_is_named_in_either_way() {
    for body in [r#"{"model":"m"}"#, r#"{"name":"m"}"#, r#"{"model":"m","name":"x"}"#] {
        assert_eq!(named_model(body.as_bytes()), Ok("m".to_owned()));
    }
    for body in ["{}", r#"{"model":1}"#, "x", r#"{"model":"m","model":"m"}"#] {
        assert_eq!(named_model(body.as_bytes()).unwrap_err().kind, Kind::Malformed);
    }
}

/// The values that a body holds are not collected, and none is read again for each level that it is at.
#[test]
fn a_body_costs_what_its_bytes_cost() {
    let flood = "0,".repeat(1 << 17);
    let sources = |count| {
        format!("{}0{}", r#"{"source":{"type":"text","a":"#.repeat(count), "}}".repeat(count))
    };
    let times = ["".to_owned(), "[".repeat(14)].map(|open| {
        let close = "]".repeat(open.len());
        let body = format!(r#"{{"model":"m","messages":[{open}{flood}0{close}]}}"#);
        let took = || {
            let began = std::time::Instant::now();
            judge(Endpoint::ChatCompletions, &body).unwrap();
            began.elapsed()
        };
        // The best of some: a busy machine takes its time now and then.
        (0..7).map(|_| took()).min().unwrap()
    });
    assert!(times[1] < times[0] * 4, "{times:?}");
    let nested = |count| {
        judge(Endpoint::Messages, &format!(r#"{{"model":"m","messages":[{}]}}"#, sources(count)))
    };
    assert!(nested(4).is_ok());
    assert_eq!(nested(5).unwrap_err().kind, Kind::Malformed);
}

/// Go's decoders take these for the fields that are looked at, in messages too.
#[test]
fn another_spelling_of_a_part_is_no_way_around() {
    let of = |part: &str| {
        let body = format!(r#"{{"model":"m","messages":[{{"content":[{part}]}}]}}"#);
        judge(Endpoint::ChatCompletions, &body).err().map(|refusal| refusal.kind)
    };
    for part in [
        r#"{"Image_URL":{"url":"http://a/b"}}"#,
        r#"{"image_url":{"url":"data:a","URL":"http://a/b"}}"#,
        r#"{"image_url":{"URL":"http://a/b"}}"#,
        r#"{"FILE_ID":"f"}"#,
        r#"{"\u017fource":{"type":"url","url":"http://a/b"}}"#,
        r#"{"source":{"type":"base64","Type":"url"}}"#,
        r#"{"TYPE":"item_reference"}"#,
    ] {
        assert!(of(part).is_some(), "{part}");
    }
    assert_eq!(of(r#"{"Image_URL":{"Url":"data:image/png;base64,a"}}"#), None);
    assert_eq!(
        of(r#"{"type":"tool_use","input":{"URL":"http://a","Image_URL":"http://b"}}"#),
        None
    );
}

#[test]
fn what_is_refused_is_refused_in_a_field_that_carries_it() {
    for field in [
        r#""chat_template_kwargs":{"chat_template":"{{x}}"}"#,
        r#""chat_template_kwargs":{"tokenize":true}"#,
        r#""extra_body":{"api_base":"http://a"}"#,
    ] {
        let body = format!(r#"{{"model":"m","messages":[{{}}],{field}}}"#);
        assert_eq!(refused(Endpoint::ChatCompletions, &body), Kind::Feature, "{field}");
    }
    let body = r#"{"model":"m","messages":[{}],"chat_template_kwargs":{"enable_thinking":false}}"#;
    assert!(judge(Endpoint::ChatCompletions, body).is_ok());
}
