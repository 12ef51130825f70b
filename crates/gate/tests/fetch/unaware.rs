//! Clients that know of no proxy: they ask DNS, and open TLS where it says.

use crate::world::{World, hello, hiding};
use gate::egress::Policy;

/// A question as glibc asks it, with its answer's code, count of answers and last bytes.
async fn asked(world: &World, name: &str, kind: u8) -> (u8, u8, Vec<u8>) {
    let labels =
        name.split('.').flat_map(|label| [&[label.len() as u8], label.as_bytes()].concat());
    let mut message = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00".to_vec();
    message.extend(labels);
    message.extend_from_slice(&[0, 0, kind, 0, 1]);
    let answer = posted(world, &message).await;
    assert_eq!(answer[..2], message[..2]);
    (answer[3] & 15, answer[7], answer[message.len()..].to_vec())
}

/// The body of the answer.
async fn posted(world: &World, message: &[u8]) -> Vec<u8> {
    let mut client = world.connect().await;
    let head = format!(
        "POST /dns-query HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
        message.len()
    );
    client.say(&[head.as_bytes(), message].concat()).await;
    let answer = client.bytes_until_closed().await;
    let head = answer.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
    answer[head + 4..].to_vec()
}

const A: u8 = 1;
const AAAA: u8 = 28;
const HTTPS: u8 = 65;

#[tokio::test]
async fn allowed_names_are_here_and_no_others_are_anywhere() {
    let world = World::open().await;
    let (code, count, rest) = asked(&world, "Allowed.TEST", A).await;
    assert_eq!((code, count), (0, 1));
    assert!(rest.ends_with(&[0, 4, 127, 0, 0, 1]), "{rest:?}");
    for kind in [AAAA, HTTPS] {
        assert_eq!(asked(&world, "allowed.test", kind).await, (0, 0, vec![]));
    }
    assert_eq!(world.door.fetched().unwrap().refused, 0);
    for name in ["other.test", "a.allowed.test", "localhost", "inference.local", "1.2.3.4"] {
        assert_eq!(asked(&world, name, A).await, (3, 0, vec![]), "{name}");
    }
    assert_eq!(world.door.fetched().unwrap().refused, 5);
    world.rules(Policy::default());
    assert_eq!(asked(&world, "allowed.test", A).await, (3, 0, vec![]));
    assert_eq!(world.outside.connections(), 0);
}

#[tokio::test]
async fn what_is_no_question_is_answered_as_such_and_bounded() {
    let world = World::open().await;
    let two = b"\x12\x34\x01\x00\x00\x02\x00\x00\x00\x00\x00\x00\x01a\0\0\x01\0\x01";
    assert_eq!(posted(&world, two).await, b"\x12\x34\x81\x81\0\0\0\0\0\0\0\0");
    for nothing in [&b""[..], b"\x12\x34", &[0; 4000]] {
        assert_eq!(posted(&world, nothing).await, b"no DNS message");
    }
}

#[tokio::test]
async fn tls_goes_to_the_host_that_its_hello_names_byte_for_byte() {
    let world = World::open().await;
    let mut client = world.connect_tls().await;
    let said = hello("allowed.test");
    // However it is cut.
    client.say(&said[..7]).await;
    client.say(&said[7..]).await;
    world.outside.until_heard("allowed.test").await;
    client.say(b"GET /after HTTP/1.1\r\n\r\n").await;
    world.outside.until_heard("GET /after").await;
    drop(client);
    let usage = world.door.fetched().unwrap();
    assert_eq!((usage.allowed, usage.refused), (1, 0));
    assert!(usage.bytes_out > said.len() as u64);
}

#[tokio::test]
async fn tls_to_a_host_that_no_rule_has_gets_an_alert_and_goes_nowhere() {
    let world = World::open().await;
    for name in ["other.test", "localhost", "a.inference.local"] {
        let mut client = world.connect_tls().await;
        client.say(&hello(name)).await;
        // Fatal: access denied.
        assert_eq!(client.bytes_until_closed().await, [21, 3, 3, 0, 2, 2, 49], "{name}");
    }
    assert_eq!(world.door.fetched().unwrap().refused, 3);
    assert_eq!(world.outside.connections(), 0);
}

#[tokio::test]
async fn tls_that_names_no_other_host_is_the_gates_own() {
    let world = World::open().await;
    let without_rules = hello("allowed.test");
    for (said, rules) in [
        (hello("inference.local"), world.policy()),
        (hiding(&hello("allowed.test")), world.policy()),
        (without_rules, Policy::default()),
    ] {
        world.rules(rules);
        let mut client = world.connect_tls().await;
        client.say(&said).await;
        // A server's hello, and no alert.
        assert_eq!(client.first_byte().await, 22);
    }
    assert_eq!(world.outside.connections(), 0);
}

#[tokio::test]
async fn an_open_one_is_cut_by_rules_that_do_not_allow_it_and_with_the_door() {
    let world = World::open().await;
    for (is_narrowed, words) in [(true, "one"), (false, "other")] {
        world.rules(world.policy());
        let mut client = world.connect_tls().await;
        client.say(&hello("allowed.test")).await;
        client.say(words.as_bytes()).await;
        world.outside.until_heard(words).await;
        match is_narrowed {
            true => world.rules(Policy::default()),
            false => world.door.close().await,
        }
        client.until_closed().await;
    }
}
