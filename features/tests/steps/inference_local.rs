//! Inference by HTTPS: curl and strict clients in a sandbox, and what they are given to believe.

use super::inference::{CURL_IMAGE, chat, run, upstream};
use crate::world::World;
use cucumber::{given, then, when};
use serde_json::{Value, json};

const NODE_IMAGE: &str = "localhost/pinfold/sdk-node:latest";
const MODELS: &str = "https://inference.local/v1/models";

/// With the checks that Python 3.13 has switched on by itself.
const STRICT_PYTHON: &str = "import ssl, urllib.request as u\n\
    context = ssl.create_default_context()\n\
    context.verify_flags |= ssl.VERIFY_X509_STRICT | ssl.VERIFY_X509_PARTIAL_CHAIN\n\
    context.minimum_version = ssl.TLSVersion.TLSv1_3\n\
    print(u.urlopen('https://inference.local/v1/models', context=context).status, end='')";

const STRICT_NODE: &str = "fetch('https://inference.local/v1/models')\
    .then(answer => process.stdout.write(String(answer.status)))";

async fn curl(world: &mut World, url: &str, options: &str, env: Value) {
    let script = format!(
        "curl -sS -o /dev/null -w '%{{http_code}} %{{http_version}}' {options} {url}; echo \" $?\""
    );
    run(world, &script, json!({"image": CURL_IMAGE, "env": env})).await;
}

#[when(expr = "a job asks curl for the models with {string}")]
async fn asks_for_models(world: &mut World, option: String) {
    curl(world, MODELS, &option, json!({})).await;
}

#[when(expr = "a job asks curl for {string}")]
async fn asks(world: &mut World, url: String) {
    curl(world, &url, "-X POST -d '{}'", json!({})).await;
}

#[when(expr = "a job asks curl for {string} with {string}")]
async fn asks_with(world: &mut World, url: String, option: String) {
    curl(world, &url, &option, json!({})).await;
}

#[when("a job whose request names another bundle asks curl for the models")]
async fn other_bundle(world: &mut World) {
    curl(world, MODELS, "", json!({"CURL_CA_BUNDLE": "/nowhere"})).await;
}

fn output(world: &World) -> String {
    world.last().json()["stdout"].as_str().expect("output").to_owned()
}

#[then(expr = "curl says {string}")]
fn curl_says(world: &mut World, said: String) {
    assert_eq!(output(world), format!("{said} 0\n"), "{}", world.last().text());
}

#[then(expr = "curl ends with {int}")]
fn curl_ends(world: &mut World, code: u8) {
    let (output, text) = (output(world), world.last().text());
    assert!(output.ends_with(&format!(" {code}\n")), "{text}");
}

#[when("a job asks for the models by a strict client of Python")]
async fn strict_python(world: &mut World) {
    let job = world.job(json!({"image": CURL_IMAGE, "use_inference": true,
                               "command": ["python3", "-c", STRICT_PYTHON]}));
    world.run(job).await;
}

#[when("a job asks for the models by a strict client of Node")]
async fn strict_node(world: &mut World) {
    let job = world.job(json!({"image": NODE_IMAGE, "use_inference": true,
                               "command": ["node", "-e", STRICT_NODE]}));
    world.run(job).await;
}

#[when("a job with curl looks at what it is told to believe")]
async fn looks(world: &mut World) {
    let script = "grep -c BEGIN $NODE_EXTRA_CA_CERTS; grep -c BEGIN $SSL_CERT_FILE; \
                  echo > $SSL_CERT_FILE 2>/dev/null && echo writable; \
                  grep -rl 'PRIVATE KEY' /run /etc/hosts 2>/dev/null; true";
    run(world, script, json!({"image": CURL_IMAGE})).await;
}

#[then("it finds one authority of its own, more in the bundle, and no key")]
fn finds(world: &mut World) {
    let output = output(world);
    let lines: Vec<&str> = output.lines().collect();
    let [own, all] = lines[..] else { panic!("{output}") };
    assert_eq!(own, "1");
    assert!(all.parse::<u32>().expect("a number") > 1, "the node has roots: {output}");
}

#[given("a job that calls by HTTPS before and after a pause")]
async fn calls_twice(world: &mut World) {
    let ask = format!(
        "curl -s -H 'content-type: application/json' -d '{}' https://inference.local/api/chat \
         | grep -c '\"done\":true'",
        chat("dev")
    );
    let sandbox = json!({"image": CURL_IMAGE, "use_inference": true,
                         "command": ["sh", "-c", format!("{ask}; sleep 4; {ask}")]});
    let job = world.job(sandbox);
    let answer = world.node().caller.post("/v1/worker/jobs", job.to_string()).await;
    assert_eq!(answer.status, 202, "{}", answer.text());
    World::until("the first call", || async { upstream(world).await["requests"] == 1 }).await;
}
