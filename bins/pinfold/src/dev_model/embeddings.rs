//! Vectors that mean nothing, but are the same for the same text.

use super::{answer::words, ollama::durations};
use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::{Value, json};

const DIMENSIONS: usize = 8;
const MAX_DIMENSIONS: u64 = 4096;
/// As OpenAI has it; what comes after is left out.
const MAX_INPUTS: usize = 2048;

pub(super) fn openai(model: &str, question: &Value) -> Value {
    let inputs = inputs(&question["input"]);
    let packed = question["encoding_format"] == "base64";
    let data = inputs.iter().enumerate().map(|(index, input)| {
        let vector = vector(input, question);
        let embedding = if packed { json!(base64(&vector)) } else { json!(vector) };
        json!({"object": "embedding", "index": index, "embedding": embedding})
    });
    let data: Vec<Value> = data.collect();
    let count = count(&inputs);
    json!({"object": "list", "data": data, "model": model,
        "usage": {"prompt_tokens": count, "total_tokens": count}})
}

pub(super) fn ollama(model: &str, question: &Value) -> Value {
    let inputs = inputs(&question["input"]);
    let vectors: Vec<_> = inputs.iter().map(|input| vector(input, question)).collect();
    let mut answer = durations(count(&inputs), 0);
    for name in ["eval_count", "eval_duration", "prompt_eval_duration"] {
        answer.remove(name);
    }
    answer.insert("model".to_owned(), json!(model));
    answer.insert("embeddings".to_owned(), json!(vectors));
    Value::Object(answer)
}

/// Ollama's older endpoint.
pub(super) fn ollama_one(_model: &str, question: &Value) -> Value {
    let prompt = question["prompt"].as_str().unwrap_or_default();
    json!({"embedding": vector(prompt, question)})
}

/// A text, a list of texts, a list of tokens, or a list of lists of tokens.
fn inputs(input: &Value) -> Vec<String> {
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    match input {
        Value::Array(list) if list.first().is_some_and(Value::is_number) => vec![text(input)],
        Value::Array(list) => list.iter().take(MAX_INPUTS).map(text).collect(),
        other => vec![text(other)],
    }
}

fn count(inputs: &[String]) -> usize {
    inputs.iter().map(|input| words(input)).sum()
}

fn vector(text: &str, question: &Value) -> Vec<f32> {
    let wanted =
        question["dimensions"].as_u64().filter(|wanted| (1..=MAX_DIMENSIONS).contains(wanted));
    let dimensions = wanted.map_or(DIMENSIONS, |wanted| wanted as usize);
    // FNV-1a over the text, then one more round for each number.
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    let mut hash = text.bytes().fold(0xcbf2_9ce4_8422_2325, step);
    let numbers = (0..dimensions).map(|place| {
        hash = step(hash, place as u8);
        // 16 bits between -1 and 1 are exact in every notation.
        f32::from((hash >> 48) as u16) / 32768.0 - 1.0
    });
    numbers.collect()
}

fn base64(vector: &[f32]) -> String {
    let bytes: Vec<u8> = vector.iter().flat_map(|number| number.to_le_bytes()).collect();
    BASE64_STANDARD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vector_depends_on_the_text_alone() {
        let none = Value::Null;
        assert_eq!(vector("a", &none), vector("a", &none));
        assert_ne!(vector("a", &none), vector("b", &none));
        assert_eq!(vector("a", &json!({"dimensions": 3})).len(), 3);
        assert_eq!(vector("a", &json!({"dimensions": u64::MAX})).len(), DIMENSIONS);
        assert!(vector("a", &none).iter().all(|number| number.abs() <= 1.0));
    }

    #[test]
    fn inputs_come_in_four_shapes() {
        let shapes =
            [(json!("a b"), 1), (json!(["a", "b"]), 2), (json!([1, 2]), 1), (json!([[1], [2]]), 2)];
        for (input, count) in shapes {
            assert_eq!(inputs(&input).len(), count, "{input}");
        }
    }
}
