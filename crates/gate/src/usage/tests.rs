//! Responses as tables: what each dialect says of its cost, at every split of its bytes.

use super::*;
use crate::Endpoint::{
    ChatCompletions, Completions, CountTokens, Embeddings, Messages, OllamaChat, OllamaEmbed,
    OllamaGenerate, Responses,
};
use Framing::{Ndjson, Sse, Whole};

const INPUT_ESTIMATE: u64 = 77;

struct Case {
    name: &'static str,
    endpoint: Endpoint,
    framing: Framing,
    response: &'static str,
    expected: Reading,
}

fn case(
    name: &'static str,
    (endpoint, framing): (Endpoint, Framing),
    response: &'static str,
    expected: Reading,
) -> Case {
    Case { name, endpoint, framing, response, expected }
}

fn counted(input_tokens: u64, cached_tokens: u64, output_tokens: u64) -> Reading {
    Reading { input_tokens, cached_tokens, output_tokens, finished: true, estimated: false }
}

fn guessed(input_tokens: u64, output_tokens: u64, finished: bool) -> Reading {
    Reading { input_tokens, cached_tokens: 0, output_tokens, finished, estimated: true }
}

fn metered(case: &Case, pieces: &[&[u8]]) -> Reading {
    let mut meter = Meter::new(case.endpoint, case.framing);
    pieces.iter().for_each(|piece| meter.feed(piece));
    meter.finish(INPUT_ESTIMATE)
}

fn chat() -> Vec<Case> {
    vec![
        case(
            "usage chunk",
            (ChatCompletions, Sse),
            "data: {\"choices\":[{\"delta\":{\"content\":\"hi\"}}],\"usage\":null}\n\n\
             data:{\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":2,\
             \"prompt_tokens_details\":{\"cached_tokens\":4}}}\n\ndata: [DONE]\n\n",
            counted(9, 4, 2),
        ),
        case(
            "CRLF, comments and data over several lines",
            (ChatCompletions, Sse),
            ": ping\r\n\r\nevent: x\r\ndata: {\"usage\":\r\ndata: {\"prompt_tokens\":1,\
             \"completion_tokens\":0}}\r\n\r\n:\r\ndata: [DONE]\r\n\r\n",
            counted(1, 0, 0),
        ),
        case(
            "CR alone and no last line end",
            (Completions, Sse),
            "data: {\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":4}}\r\rdata: [DONE]",
            counted(3, 0, 4),
        ),
        case(
            "an explicit zero is no estimate",
            (ChatCompletions, Sse),
            "data: {\"choices\":[{\"delta\":{\"content\":\"12345678\"}}]}\n\n\
             data: {\"usage\":{\"prompt_tokens\":0,\"completion_tokens\":0}}\n\ndata: [DONE]\n\n",
            counted(0, 0, 0),
        ),
        case(
            "no usage: text, reasoning and tool calls are estimated",
            (ChatCompletions, Sse),
            "data: {\"choices\":[{\"delta\":{\"role\":\"assistant\",\"content\":\"12345678\"}}]}\n\n\
             data: {\"choices\":[{\"delta\":{\"reasoning_content\":\"1234\",\"tool_calls\":\
             [{\"id\":\"call_1\",\"type\":\"function\",\"function\":{\"name\":\"f\",\
             \"arguments\":\"1234\"}}]}}]}\n\ndata: [DONE]\n\n",
            guessed(INPUT_ESTIMATE, 4, true),
        ),
        case(
            "cut in the middle",
            (ChatCompletions, Sse),
            "data: {\"choices\":[{\"delta\":{\"content\":\"123456789\"}}]}\n\ndata: {\"cho",
            guessed(INPUT_ESTIMATE, 3, false),
        ),
        case(
            "an error is no end",
            (ChatCompletions, Sse),
            "data: {\"error\":{\"message\":\"no\"}}\n\n",
            guessed(INPUT_ESTIMATE, 0, false),
        ),
        case(
            "in one piece",
            (ChatCompletions, Whole),
            r#"{"choices":[{"message":{"content":"a\"}"}}],"usage":{"prompt_tokens":5,"completion_tokens":6}}"#,
            counted(5, 0, 6),
        ),
        case(
            "in one piece, without usage",
            (Completions, Whole),
            r#"{"a":[]}"#,
            guessed(77, 2, true),
        ),
        case(
            "in one piece, cut",
            (ChatCompletions, Whole),
            r#"{"usage":{"prompt_tokens":5}"#,
            guessed(77, 7, false),
        ),
        case(
            "embeddings",
            (Embeddings, Whole),
            r#"{"data":[{"embedding":[0.1,0.2]}],"usage":{"prompt_tokens":8,"total_tokens":8}}"#,
            counted(8, 0, 0),
        ),
    ]
}

fn responses() -> Vec<Case> {
    const USAGE: &str = r#""usage":{"input_tokens":10,"input_tokens_details":{"cached_tokens":3},"output_tokens":5}"#;
    let ended = |kind: &str| -> &'static str {
        let delta = r#"{"type":"response.output_text.delta","delta":"hello"}"#;
        let end = format!(r#"{{"type":"response.{kind}","response":{{"id":"r",{USAGE}}}}}"#);
        format!("event: a\ndata: {delta}\n\nevent: b\ndata: {end}\n\n").leak()
    };
    vec![
        case("completed", (Responses, Sse), ended("completed"), counted(10, 3, 5)),
        case("incomplete", (Responses, Sse), ended("incomplete"), counted(10, 3, 5)),
        case("failed", (Responses, Sse), ended("failed"), counted(10, 3, 5)),
        case("no end", (Responses, Sse), ended("in_progress"), guessed(77, 2, false)),
        case(
            "failed without usage",
            (Responses, Sse),
            "data: {\"type\":\"response.failed\",\"response\":{\"usage\":null}}\n\n",
            guessed(77, 0, true),
        ),
        case(
            "[DONE] is of another dialect",
            (Responses, Sse),
            "data: [DONE]\n\n",
            guessed(77, 0, false),
        ),
        case("in one piece", (Responses, Whole), format!("{{{USAGE}}}").leak(), counted(10, 3, 5)),
    ]
}

fn anthropic() -> Vec<Case> {
    const START: &str = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"usage\":\
        {\"input_tokens\":4,\"cache_creation_input_tokens\":10,\"cache_read_input_tokens\":20,\
        \"output_tokens\":1}}}\n\nevent: ping\ndata: {\"type\": \"ping\"}\n\n";
    const TEXT: &str = "data: {\"type\":\"content_block_delta\",\"delta\":{\"type\":\"text_delta\",\
        \"text\":\"123456789\"}}\n\n";
    const END: &str = "data: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\
        \"usage\":{\"output_tokens\":15}}\n\ndata: {\"type\":\"message_stop\"}\n\n";
    vec![
        case(
            "start and end, with what is cached",
            (Messages, Sse),
            format!("{START}{TEXT}{END}").leak(),
            counted(34, 20, 15),
        ),
        case(
            "cut: what start foretold is no count",
            (Messages, Sse),
            format!("{START}{TEXT}").leak(),
            Reading { cached_tokens: 20, ..guessed(34, 3, false) },
        ),
        case(
            "an error in the middle",
            (Messages, Sse),
            format!("{START}event: error\ndata: {{\"type\":\"error\",\"error\":{{}}}}\n\n").leak(),
            Reading { cached_tokens: 20, ..guessed(34, 1, false) },
        ),
        case(
            "in one piece",
            (Messages, Whole),
            r#"{"content":[{"text":"}"}],"usage":{"input_tokens":2,"cache_creation_input_tokens":null,"cache_read_input_tokens":5,"output_tokens":7}}"#,
            counted(7, 5, 7),
        ),
        case(
            "counting is free",
            (CountTokens, Whole),
            r#"{"input_tokens":2095}"#,
            counted(0, 0, 0),
        ),
    ]
}

fn ollama() -> Vec<Case> {
    vec![
        case(
            "chat",
            (OllamaChat, Ndjson),
            "{\"message\":{\"content\":\"hi\"},\"done\":false}\n\
             {\"message\":{\"content\":\"\"},\"done\":true,\"prompt_eval_count\":26,\"eval_count\":298}\n",
            counted(26, 0, 298),
        ),
        case(
            "no last line end",
            (OllamaGenerate, Ndjson),
            "{\"response\":\"a\",\"done\":false}\r\n{\"done\":true,\"prompt_eval_count\":1,\"eval_count\":2}",
            counted(1, 0, 2),
        ),
        case(
            "cut",
            (OllamaChat, Ndjson),
            "{\"message\":{\"role\":\"assistant\",\"content\":\"1234\",\"thinking\":\"5678\"},\"done\":false}\n{\"mess",
            guessed(77, 2, false),
        ),
        case(
            "an error is no end",
            (OllamaGenerate, Ndjson),
            "{\"response\":\"12345\",\"done\":false}\n{\"error\":\"out of memory\"}\n",
            guessed(77, 2, false),
        ),
        case(
            "in one piece",
            (OllamaGenerate, Whole),
            r#"{"response":"\"done\":false","done":true,"prompt_eval_count":3,"eval_count":4}"#,
            counted(3, 0, 4),
        ),
        case(
            "embeddings",
            (OllamaEmbed, Whole),
            r#"{"embeddings":[[0.1],[0.2]],"prompt_eval_count":8}"#,
            counted(8, 0, 0),
        ),
    ]
}

#[test]
fn every_dialect_is_read_at_every_split() {
    for case in [chat(), responses(), anthropic(), ollama()].into_iter().flatten() {
        let bytes = case.response.as_bytes();
        assert_eq!(metered(&case, &[bytes]), case.expected, "{}", case.name);
        for at in 0..=bytes.len() {
            let reading = metered(&case, &[&bytes[..at], &bytes[at..]]);
            assert_eq!(reading, case.expected, "{} at {at}", case.name);
        }
        let each: Vec<&[u8]> = bytes.chunks(1).collect();
        assert_eq!(metered(&case, &each), case.expected, "{} by bytes", case.name);
    }
}

#[test]
fn a_frame_that_is_too_long_is_estimated_and_the_next_is_read() {
    let long = "x".repeat(MAX_FRAME_BYTES + 4);
    let text = format!("data: {{\"choices\":\"{long}\"}}\n\ndata: [DONE]\n\n");
    let mut meter = Meter::new(ChatCompletions, Sse);
    text.as_bytes().chunks(64 << 10).for_each(|piece| meter.feed(piece));
    assert!(meter.has_output());
    let reading = meter.finish(0);
    assert!(reading.finished && reading.estimated);
    assert!(reading.output_tokens >= (MAX_FRAME_BYTES as u64) / BYTES_PER_TOKEN);
    // Many lines of one event count together.
    let mut meter = Meter::new(ChatCompletions, Sse);
    for _ in 0..40 {
        meter.feed(format!("data: {}\n", "y".repeat(60_000)).as_bytes());
    }
    assert!(meter.event.len() <= MAX_FRAME_BYTES + 40);
    meter.feed(b"\ndata: {\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2}}\n\n");
    assert_eq!(meter.finish(0).output_tokens, 2);
}

#[test]
fn nothing_at_all_is_an_unfinished_call() {
    for (endpoint, framing) in [(ChatCompletions, Sse), (OllamaChat, Ndjson), (Messages, Whole)] {
        let meter = Meter::new(endpoint, framing);
        assert!(!meter.has_output());
        assert_eq!(meter.finish(5), guessed(5, 0, false));
    }
}

#[test]
fn figures_that_are_none_are_not_believed() {
    let frames = [
        r#"{"usage":{"prompt_tokens":-1,"completion_tokens":"7"}}"#,
        r#"{"usage":{"prompt_tokens":1.5,"completion_tokens":1e99}}"#,
        r#"{"usage":[1,2]}"#,
        r#"[{"usage":{}}]"#,
        r#""usage""#,
    ];
    for frame in frames {
        let mut meter = Meter::new(ChatCompletions, Sse);
        meter.feed(format!("data: {frame}\n\n").as_bytes());
        assert_eq!(meter.finish(5), guessed(5, 0, false), "{frame}");
    }
    let mut meter = Meter::new(Messages, Whole);
    meter.feed(b"{\"usage\":{\"input_tokens\":18446744073709551615,\"cache_read_input_tokens\":18446744073709551615,\"cache_creation_input_tokens\":9,\"output_tokens\":1}}");
    assert_eq!(meter.finish(0), counted(u64::MAX, u64::MAX, 1));
}

#[test]
fn the_framing_is_that_of_the_content_type() {
    let cases = [
        (Some("text/event-stream; charset=utf-8"), Sse),
        (Some("Text/Event-Stream"), Sse),
        (Some("application/x-ndjson"), Ndjson),
        (Some("application/json"), Whole),
        (Some(""), Whole),
        (None, Whole),
    ];
    for (content_type, framing) in cases {
        assert_eq!(Framing::of_content_type(content_type), framing);
    }
}
