//! Fetches through a door: to the byte, in time, and by the rules of the moment.

mod unaware;
mod world;

use contracts::egress::RuleSpec;
use gate::egress::Policy;
use world::{CHUNKS, LONG, SILENT, WORDS, World, rule};

#[tokio::test]
async fn the_last_byte_that_is_granted_passes_and_the_next_does_not() {
    let world = World::open().await;
    let most = WORDS.len() as u64 * 2;
    world.rules(world.policy().bounded(None, Some(most)));
    for _ in 0..2 {
        let answer = world.get("allowed.test", "").await;
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with(WORDS), "{answer}");
    }
    let answer = world.get("allowed.test", "").await;
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
    assert!(answer.contains("bytes_in_spent") && !answer.contains(WORDS), "{answer}");
    let usage = world.door.fetched().unwrap();
    assert_eq!((usage.bytes_in, usage.allowed), (most, 3));
}

#[tokio::test]
async fn a_request_that_is_too_large_for_what_is_left_is_not_begun() {
    let world = World::open().await;
    world.rules(world.policy().bounded(Some(10), None));
    let answer = world.get("allowed.test", "").await;
    assert!(answer.contains("bytes_out_spent"), "{answer}");
    assert_eq!(world.outside.heads().len(), 0);
}

#[tokio::test]
async fn what_the_connection_is_told_stays_here_and_the_host_is_the_targets() {
    let world = World::open().await;
    let more = "connection: close, X-Nominated\r\nx-nominated: 1\r\nproxy-authorization: Basic eA==\r\n\
                te: trailers\r\nkeep-alive: 9\r\nx-passes: 2\r\n";
    let answer = world.get("ALLOWED.test.", more).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let head = world.outside.heads().remove(0).to_lowercase();
    for gone in ["x-nominated", "proxy-authorization", "\nte:", "keep-alive"] {
        assert!(!head.contains(gone), "{gone}: {head}");
    }
    assert!(head.contains("\nx-passes: 2\r\n") && head.contains("\nvia: 1.1 pinfold"), "{head}");
    assert!(head.contains(&format!("\nhost: allowed.test:{}\r\n", world.outside.port)), "{head}");
}

#[tokio::test]
async fn a_connection_outlives_its_rules_and_its_requests_do_not() {
    let world = World::open().await;
    let mut client = world.connect().await;
    client.get(&world, "allowed.test").await;
    assert!(client.until(WORDS).await.starts_with("HTTP/1.1 200 "));
    world.rules(Policy::default());
    client.get(&world, "allowed.test").await;
    assert!(client.until("no_rules").await.starts_with("HTTP/1.1 403 "));
    world.rules(world.policy());
    client.get(&world, "allowed.test").await;
    assert!(client.until(WORDS).await.starts_with("HTTP/1.1 200 "));
    assert_eq!(world.outside.heads().len(), 2);
}

#[tokio::test]
async fn an_idle_tunnel_is_cut_by_rules_that_do_not_allow_it_and_by_no_others() {
    let world = World::open().await;
    let mut client = world.tunnel().await;
    // Other rules that allow it: it stays.
    world.rules(
        Policy::of_rules("r", &[rule(&world, "allowed.test"), rule(&world, "b.test")]).unwrap(),
    );
    client.say(b"still here").await;
    world.outside.until_heard("still here").await;
    world.rules(Policy::of_rules("r", &[rule(&world, "b.test")]).unwrap());
    client.until_closed().await;
    assert_eq!(world.door.fetched().unwrap().refused, 1);
}

#[tokio::test]
async fn a_tunnel_that_was_granted_goes_nowhere_once_the_rules_have_changed() {
    let world = World::open().await;
    let mut client = world.connect_to("allowed.test").await;
    world.rules(Policy::of_rules("r", &[rule(&world, "b.test")]).unwrap());
    client.say(&world::hello("allowed.test")).await;
    assert_eq!(client.until_closed().await.as_bytes(), b"\x15\x03\x03\0\x02\x02\x31");
    assert_eq!(world.outside.connections(), 0);
    assert_eq!(world.door.fetched().unwrap().refused, 1);
}

#[tokio::test]
async fn an_answer_that_has_begun_is_broken_off_by_rules_that_do_not_allow_it_and_by_no_others() {
    let world = World::open().await;
    let other_path = RuleSpec { paths: Some(vec!["/".into()]), ..rule(&world, "allowed.test") };
    for (number, (path, narrower)) in
        [(LONG, vec![]), (LONG, vec![other_path]), (CHUNKS, vec![rule(&world, "b.test")])]
            .into_iter()
            .enumerate()
    {
        world.rules(world.policy());
        let mut client = world.connect().await;
        client.get_at(&world, "allowed.test", path).await;
        assert!(client.until(WORDS).await.starts_with("HTTP/1.1 200 "));
        world.rules(
            Policy::of_rules("r", &[rule(&world, "allowed.test"), rule(&world, "b.test")]).unwrap(),
        );
        if path == CHUNKS {
            client.until(WORDS).await;
            client.until(WORDS).await;
        }
        world.rules(Policy::of_rules("r", &narrower).unwrap());
        let rest = client.until_closed().await;
        // Neither all bytes nor the last chunk: a client knows that it has not all.
        assert!(!rest.ends_with("0\r\n\r\n") && rest.len() < 500, "{rest}");
        world.outside.until_left(number + 1).await;
        assert_eq!(world.door.fetched().unwrap().refused, number as u64 + 1);
    }
}

#[tokio::test]
async fn a_request_without_an_answer_yet_is_denied_by_rules_that_do_not_allow_it() {
    let world = World::open().await;
    let mut client = world.connect().await;
    client.get_at(&world, "allowed.test", SILENT).await;
    world.outside.until_heard(SILENT).await;
    world.rules(Policy::of_rules("r", &[rule(&world, "b.test")]).unwrap());
    let answer = client.until("host_not_allowed").await;
    assert!(answer.starts_with("HTTP/1.1 403 ") && answer.contains("b.test"), "{answer}");
    world.outside.until_left(1).await;
    assert_eq!(world.door.fetched().unwrap().refused, 1);
}

#[tokio::test]
async fn nobody_is_connected_to_before_the_hello_is_whole_and_right() {
    let world = World::open().await;
    let hello = world::hello("allowed.test");
    let mut client = world.connect_to("allowed.test").await;
    client.say(&world::hiding(&hello)).await;
    assert_eq!(client.until_closed().await.as_bytes(), b"\x15\x03\x03\0\x02\x02\x31");
    for said in [&hello[..hello.len() - 1], &world::hello("other.test"), b"GET / HTTP/1.1\r\n\r\n"]
    {
        let mut client = world.connect_to("allowed.test").await;
        client.say(said).await;
        client.until_closed().await;
    }
    assert_eq!(world.outside.connections(), 0);
    let mut client = world.connect_to("allowed.test").await;
    for byte in &hello {
        client.say(&[*byte]).await;
    }
    world.outside.until_heard("allowed.test").await;
}
