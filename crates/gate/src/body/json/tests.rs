//! JSON as tables: what passes as it is, and what is refused with its place.

use super::*;

fn error(body: &str) -> JsonError {
    parse(body.as_bytes()).map(Value::raw).unwrap_err()
}

#[test]
fn what_is_json_passes_as_it_is() {
    let good = [
        "{}",
        " {\r\n\t} ",
        r#"{"a":-0.0e+10,"b":[1E5,123456789012345678901234567890,0]}"#,
        r#"{"":"","é":"\ud83d\ude00\/\b"}"#,
        r#"{"half":"\ud800"}"#,
        r#"{"a":{"a":{"a":null}},"b":[{"a":1},{"a":2}]}"#,
    ];
    for body in good {
        assert_eq!(parse(body.as_bytes()).unwrap().raw(), body.trim(), "{body}");
    }
}

#[test]
fn what_is_not_json_is_refused_with_its_place() {
    let bad = [
        "",
        " ",
        "{",
        "{]",
        r#"{"a"}"#,
        r#"{"a":}"#,
        r#"{"a":1,}"#,
        "{,}",
        r#"{a:1}"#,
        r#"{'a':1}"#,
        r#"{"a":01}"#,
        r#"{"a":+1}"#,
        r#"{"a":.5}"#,
        r#"{"a":1.}"#,
        r#"{"a":1e}"#,
        r#"{"a":-}"#,
        r#"{"a":NaN}"#,
        r#"{"a":tru}"#,
        r#"{"a":[1,]}"#,
        r#"{"a":[1 2]}"#,
        r#"{"a":"\x"}"#,
        r#"{"a":"\u12"}"#,
        r#"{"a":"\u12g4"}"#,
        "{\"a\":\"\n\"}",
        "{\"a\":\"\0\"}",
        r#"{"a":"x"#,
        r#"{"a":"\"#,
        "\u{feff}{}",
        r#"{"a":1 "b":2}"#,
        "{/**/}",
        r#"{"\ud800":1}"#,
        r#"{"a":"\u+123"}"#,
    ];
    for body in bad {
        assert!(matches!(error(body), JsonError::Syntax { .. }), "{body}: {:?}", error(body));
    }
    assert_eq!(error(r#"{"a":x}"#), JsonError::Syntax { at: 5 });
    assert_eq!(error("{} {}"), JsonError::Trailing { at: 3 });
    assert_eq!(error("{}\0"), JsonError::Trailing { at: 2 });
    assert_eq!(parse(b"{\"a\":\"\xff\"}").unwrap_err(), JsonError::Utf8);
    for body in ["[]", "1", "\"a\"", "null"] {
        assert_eq!(error(body), JsonError::NotAnObject);
    }
}

#[test]
fn a_key_stands_once_in_any_spelling() {
    let twins = [
        r#"{"model":"a","model":"b"}"#,
        r#"{"model":"a","\u006dodel":"b"}"#,
        r#"{"\u006dodel":"a","mode\u006c":"b"}"#,
        r#"{"a":{"b":[{"c":1,"d":2,"c":3}]}}"#,
    ];
    for body in twins {
        assert!(matches!(error(body), JsonError::DuplicateKey { .. }), "{body}");
    }
    let many = (0..40).map(|key| format!("\"{key}\":0")).collect::<Vec<_>>().join(",");
    assert!(parse(format!("{{{many}}}").as_bytes()).is_ok());
    let twin = error(&format!("{{{many},\"\\u0037\":1}}"));
    assert!(matches!(twin, JsonError::DuplicateKey { .. }));
}

#[test]
fn depth_has_a_bound() {
    let nested = |levels: usize| format!("{{\"a\":{}{}}}", "[".repeat(levels), "]".repeat(levels));
    assert!(parse(nested(MAX_DEPTH - 1).as_bytes()).is_ok());
    assert_eq!(error(&nested(MAX_DEPTH)), JsonError::Depth);
    assert_eq!(error(&"{\"a\":".repeat(1_000_000)), JsonError::Depth);
}

#[test]
fn the_parts_of_a_value_are_found() {
    let body = r#" { "a" : [ 1 , "x\n" , { } ] , "\u0062" : "y" , "c":-7 } "#;
    let root = parse(body.as_bytes()).unwrap();
    let keys: Vec<_> = root.members().into_iter().map(|member| member.key).collect();
    assert_eq!(keys, ["a", "b", "c"]);
    let parts: Vec<_> = root.get("a").unwrap().elements().map(Value::raw).collect();
    assert_eq!(parts, ["1", "\"x\\n\"", "{ }"]);
    assert_eq!(root.get("a").unwrap().elements().nth(1).unwrap().string().unwrap(), "x\n");
    assert_eq!(root.get("b").unwrap().string().unwrap(), "y");
    assert!(root.get("d").is_none());
    assert!(root.get("b").unwrap().elements().next().is_none());
    assert!(root.get("a").unwrap().elements().nth(2).unwrap().members().is_empty());
}
