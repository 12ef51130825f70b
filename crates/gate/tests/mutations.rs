//! What parses hostile bytes, on a hundred thousand spoilt samples: the same ones in each run.

use bytes::Bytes;
use gate::{
    BodyPolicy, Endpoint, Forward, Framing, Meter, ModelMap, Prepared, Unlisted, UsageFilter,
    prepare,
};
use serde::de::IgnoredAny;
use serde_json::Value;

const MUTATIONS: usize = 100_000;

const BODIES: [&str; 6] = [
    r#"{"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"a\u00e9\"b"}]}],"max_tokens":1.0e2}"#,
    r#"{ "keep_alive" : -1 , "model":"m", "prompt":"x", "options":{"num_ctx":1,"seed":12345678901234567890,"num_gpu":2}}"#,
    r#"{"model":"m","stream":true,"stream_options":{"include_usage":false,"x":[]},"store":true,"n":2}"#,
    r#"{"model":"m","tools":[{"type":"function","function":{"parameters":{}}},{"name":"t"}],"input":[]}"#,
    r#"{"model":"m","messages":[{"content":[{"type":"image_url","image_url":{"url":"data:x"}}]}],"z":null}"#,
    r#"{"a":{"b":[{"c":[1,2,{"d":"\ud83d\ude00"}]}]},"model":"m","input":"\\","store":null}"#,
];

const STREAMS: [&str; 4] = [
    "data: {\"choices\":[{\"delta\":{\"content\":\"hi\"}}]}\n\ndata: {\"choices\":[],\"usage\":{\"prompt_tokens\":9,\"completion_tokens\":2}}\n\ndata: [DONE]\n\n",
    "event: a\r\ndata: {\"type\":\"message_start\",\"message\":{\"usage\":{\"input_tokens\":4,\"output_tokens\":1}}}\r\n\r\ndata: {\"type\":\"message_stop\"}\r\n\r\n",
    "{\"message\":{\"content\":\"hi\"},\"done\":false}\n{\"done\":true,\"prompt_eval_count\":26,\"eval_count\":298}\n",
    "{\"data\":[{\"a\":\"\\\"}\"}],\"usage\":{\"input_tokens\":5,\"output_tokens\":6},\"done\":true}",
];

/// What mutations put in: what parsers trip over.
const TOKENS: [&str; 28] = [
    "\"",
    "\\",
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\\u0000",
    "\\ud800",
    "\"model\":\"x\",",
    "null",
    "true",
    "1e999",
    "-",
    "\r",
    "\n",
    "\n\n",
    "data:",
    "\"usage\":{},",
    "[DONE]",
    "\u{0}",
    "\u{feff}",
    "\u{1f600}",
    " ",
    "\t",
    "7",
    "\"x\" :\r[ ],",
];

/// A generator that is the same everywhere and forever.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % bound.max(1) as u64).unwrap()
    }

    fn spoil(&mut self, sample: &str) -> Vec<u8> {
        let mut bytes = sample.as_bytes().to_vec();
        for _ in 0..=self.below(2) {
            let at = self.below(bytes.len());
            let to = (at + self.below(12)).min(bytes.len());
            match self.below(6) {
                0 if at < bytes.len() => bytes[at] = u8::try_from(self.below(256)).unwrap(),
                1 => drop(bytes.drain(at..to)),
                2 => bytes.truncate(at),
                3 => {
                    let copied = bytes[at..to].to_vec();
                    let target = self.below(bytes.len());
                    bytes.splice(target..target, copied);
                }
                _ => {
                    let token = TOKENS[self.below(TOKENS.len())];
                    bytes.splice(at..at, token.bytes());
                }
            }
        }
        bytes
    }
}

fn forward(endpoint: Endpoint, body: &Bytes, models: &ModelMap) -> Option<Forward> {
    match prepare(endpoint, body, BodyPolicy::default(), models) {
        Ok(Prepared::Forward(forward)) => Some(forward),
        Ok(Prepared::Load { .. }) => None,
        Err(refusal) => {
            // The other parser agrees about what is no JSON, but for keys that are no text.
            let called_bad = refusal.message.starts_with("the body is not JSON at");
            let half_pair = body.windows(3).any(|window| window.eq_ignore_ascii_case(b"\\ud"));
            assert!(!called_bad || half_pair || !is_json(body), "{refusal}: {body:?}");
            None
        }
    }
}

fn is_json(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok_and(|text| serde_json::from_str::<IgnoredAny>(text).is_ok())
}

/// What policy is to make of a body, written the simple way.
fn rewritten(endpoint: Endpoint, mut body: Value) -> Value {
    let fields = body.as_object_mut().unwrap();
    fields.insert("model".to_owned(), "real".into());
    if endpoint == Endpoint::OllamaGenerate {
        fields.remove("keep_alive");
        if let Some(options) = fields.get_mut("options").and_then(Value::as_object_mut) {
            options.retain(|key, _| !["num_ctx", "num_gpu"].contains(&key.as_str()));
        }
    }
    if endpoint == Endpoint::Responses {
        fields.insert("store".to_owned(), false.into());
    }
    if endpoint == Endpoint::ChatCompletions {
        if fields.get("store") == Some(&Value::Bool(true)) {
            fields.insert("store".to_owned(), false.into());
        }
        if fields.get("stream") == Some(&Value::Bool(true)) {
            let options = fields.entry("stream_options").or_insert(Value::Null);
            if options.is_null() {
                *options = Value::Object(serde_json::Map::new());
            }
            options["include_usage"] = true.into();
        }
    }
    body
}

#[test]
fn bodies_pass_unchanged_or_changed_as_meant_or_not_at_all() {
    let same = ModelMap::new([], Unlisted::Same);
    let real = ModelMap::new([], Unlisted::Means("real".to_owned()));
    let endpoints = [Endpoint::ChatCompletions, Endpoint::OllamaGenerate, Endpoint::Responses];
    let mut chance = Chance(0x9e37_79b9_7f4a_7c15);
    let mut passed = 0;
    for index in 0..MUTATIONS {
        let body = Bytes::from(chance.spoil(BODIES[index % BODIES.len()]));
        let shown = || String::from_utf8_lossy(&body).into_owned();
        // Nothing is to be changed here, so nothing is.
        if let Some(forward) = forward(Endpoint::Messages, &body, &same) {
            assert_eq!(forward.body, body);
            assert!(is_json(&body), "{}", shown());
        }
        let endpoint = endpoints[chance.below(endpoints.len())];
        let Some(forward) = forward(endpoint, &body, &real) else { continue };
        passed += 1;
        assert!(is_json(&body) && is_json(&forward.body), "{}", shown());
        // Half of a surrogate pair is JSON, but no text that can be compared.
        if let Ok(value) = serde_json::from_slice(&body) {
            let sent: Value = serde_json::from_slice(&forward.body).unwrap();
            assert_eq!(sent, rewritten(endpoint, value), "{endpoint:?} {}", shown());
        }
    }
    // Most are spoilt for good. The rest is what says that a rewritten body means what it should.
    assert!(passed > MUTATIONS / 20, "only {passed} passed: the mutations are too wild");
}

#[test]
fn streams_are_read_alike_at_any_split() {
    let framings = [Framing::Sse, Framing::Sse, Framing::Ndjson, Framing::Whole];
    let mut chance = Chance(0x2545_f491_4f6c_dd1d);
    for index in 0..MUTATIONS {
        let sample = index % STREAMS.len();
        let stream = chance.spoil(STREAMS[sample]);
        let endpoint = Endpoint::ALL[chance.below(Endpoint::ALL.len())];
        let split = chance.below(stream.len() + 1);
        let (head, tail) = stream.split_at(split);
        let read = |pieces: &[&[u8]]| {
            let mut meter = Meter::new(endpoint, framings[sample]);
            pieces.iter().for_each(|piece| meter.feed(piece));
            meter.finish(1)
        };
        assert_eq!(read(&[&stream]), read(&[head, tail]), "{}", String::from_utf8_lossy(&stream));
        let filter = |pieces: &[&[u8]]| {
            let mut filter = UsageFilter::default();
            let mut passed: Vec<u8> = pieces.iter().flat_map(|piece| filter.feed(piece)).collect();
            passed.extend_from_slice(&filter.finish());
            passed
        };
        let whole = filter(&[&stream]);
        assert_eq!(whole, filter(&[head, tail]));
        let may_hide = stream.windows(7).any(|window| window == b"\"usage\"");
        assert!(may_hide || whole == stream);
    }
}
