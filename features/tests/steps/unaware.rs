//! Clients that know of no proxy: what they find by asking DNS, and by opening TLS where it says.

use super::egress::{IMAGE, ended_at_once, outside, rules, run};
use crate::{outside::WORDS, world::World};
use cucumber::{given, then, when};
use serde_json::json;

const NODE_IMAGE: &str = "localhost/pinfold/sdk-node:latest";

/// Looks where the host is said to be, and fetches from it.
const PYTHON: &str = "import socket, sys, urllib.request
found = {place[4][0] for place in socket.getaddrinfo('allowed.test', 443)}
assert found == {'127.0.0.1'}, found
sys.stdout.write(urllib.request.urlopen('https://allowed.test/', timeout=10).read().decode())";

const NODE: &str = "fetch('https://allowed.test/').then(answer => answer.text())
    .then(words => process.stdout.write(words))";

#[given("the server outside is at the usual port of TLS, too")]
async fn at_usual_port(world: &mut World) {
    world.outside.as_mut().expect("a server outside").take_usual_port().await;
}

/// With nothing in its environment that tells of a proxy.
async fn run_unaware(world: &mut World, image: &str, client: &str) {
    let server = outside(world);
    let env = json!({"CA": server.authority, "CLIENT": client});
    let more = json!({
        "image": image, "network_policy": "restricted", "egress": rules(server),
    });
    let script = "printf %s \"$CA\" > /tmp/ca.pem
        exec env -i PATH=\"$PATH\" SSL_CERT_FILE=/tmp/ca.pem NODE_EXTRA_CA_CERTS=/tmp/ca.pem sh -c \"$CLIENT\"";
    run(world, &["sh", "-c", script], env, Some(more)).await;
}

#[when(regex = "^a job without proxy variables runs (curl|Python|Node)$")]
async fn runs(world: &mut World, name: String) {
    let (image, client) = match name.as_str() {
        "curl" => (IMAGE, "curl -sS --max-time 10 https://allowed.test/".to_owned()),
        "Python" => (IMAGE, format!("python3 -c \"{PYTHON}\"")),
        _ => (NODE_IMAGE, format!("node -e \"{NODE}\"")),
    };
    run_unaware(world, image, &client).await;
}

#[when(regex = "^a job without proxy variables asks curl for \"(.*)\" with \"(.*)\"$")]
async fn asks(world: &mut World, url: String, option: String) {
    run_unaware(world, IMAGE, &format!("curl -sS --max-time 10 {option} {url}")).await;
}

#[then(expr = "curl ends with {int} at once, and the server outside has heard nothing")]
fn ends(world: &mut World, code: i64) {
    let result = world.last().json();
    assert_eq!(result["exit_code"], code, "{result}");
    ended_at_once(world);
    assert_eq!(outside(world).connections(), 0);
    assert!(!result["stdout"].as_str().unwrap_or_default().contains(WORDS));
}
