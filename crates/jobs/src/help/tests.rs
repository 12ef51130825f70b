//! The text names what the sandbox has, and nothing that it has not.

use super::*;
use contracts::{ImageRef, limits::Limits};
use executor::PinnedImage;
use std::sync::Arc;

fn plan() -> Plan {
    let image = PinnedImage {
        reference: ImageRef::new("x").unwrap(),
        id: "x".to_owned(),
        env: Vec::new(),
        command: Vec::new(),
    };
    Plan {
        image: Arc::new(image),
        limits: Limits::DEFAULT,
        timeout: Duration::from_secs(7),
        egress: None,
    }
}

fn text(owner: Owner<'_>, engine: EngineKind, inference: Option<Inference>) -> String {
    let (plan, places) = (&plan(), &Places::default());
    sections::text(&Facts { owner, engine, plan, places, inference })
}

fn job<'a>() -> Owner<'a> {
    Owner::Job { timeout: Duration::from_secs(7), artifacts: &[] }
}

fn offer(names: &[&str], any: bool) -> Option<Inference> {
    let names = names.iter().map(|name| (*name).to_owned()).collect();
    Some(Inference { offer: Offer { names, any }, caps: Caps::default() })
}

#[test]
fn a_job_reads_its_own_limits_and_no_way_out() {
    let text = text(job(), EngineKind::Podman, None);
    for line in [
        "- time: 7 s;",
        "- memory: 512 MiB",
        "- /workspace: the working directory, with the input files, 256 MiB",
        "The first 256 KiB of stdout",
        "None. There is no interface but loopback",
        "None: this sandbox was not given inference.",
    ] {
        assert!(text.contains(line), "{line:?} is not in {text}");
    }
    assert!(!text.contains("11434"), "{text}");
}

#[test]
fn models_are_those_that_may_be_used() {
    let cases = [
        (offer(&["small", "large"], false), "Models: small, large. No others."),
        (offer(&["small"], true), "Models: small. Other names are taken too."),
        (offer(&[], true), "Any model's name is passed on."),
        (offer(&[], false), "No model is allowed."),
    ];
    for (inference, line) in cases {
        let text = text(job(), EngineKind::Podman, inference);
        assert!(text.contains(line), "{line:?} is not in {text}");
        assert!(text.contains("- OPENAI_BASE_URL=http://localhost:11434/v1\n"), "{text}");
    }
}

#[test]
fn a_budget_is_told_as_far_as_there_is_one() {
    let caps = Caps { max_requests: Some(3), ..Caps::default() };
    let inference = Inference { offer: Offer::default(), caps };
    let text = text(job(), EngineKind::Podman, Some(inference));
    assert!(text.contains("At most: 3 calls.\n"), "{text}");
}

#[test]
fn without_a_container_no_limit_is_promised_that_nobody_enforces() {
    let text = text(job(), EngineKind::Direct, None);
    assert!(text.contains("without a container") && text.contains("- time: 7 s"), "{text}");
    assert!(!text.contains("memory:") && !text.contains("MiB"), "{text}");
}

#[test]
fn a_session_and_a_piece_of_code_read_of_themselves() {
    let (idle, lifetime) = (Duration::from_secs(60), Duration::from_secs(3600));
    let session = text(Owner::Session { idle, lifetime }, EngineKind::Podman, None);
    assert!(session.contains("after 60 s without a command, and 3600 s after its start"));
    let code = text(Owner::Code { timeout: idle }, EngineKind::Podman, None);
    assert!(code.contains("for one piece of code") && code.contains("- time: 60 s"), "{code}");
}

#[test]
fn what_may_be_fetched_is_listed_and_the_way_to_it() {
    let rule = serde_json::from_value(serde_json::json!({"host": "pypi.example.org"})).unwrap();
    let policy = gate::egress::Policy::of_rules("egress", &[rule]).unwrap();
    let (plan, places) = (&Plan { egress: Some(Arc::new(policy)), ..plan() }, &Places::default());
    let (owner, engine) = (job(), EngineKind::Podman);
    let text = sections::text(&Facts { owner, engine, plan, places, inference: None });
    assert!(
        text.contains("HTTPS_PROXY are set") && text.contains("\n- pypi.example.org:443\n"),
        "{text}"
    );
    assert!(text.contains("to any other host than those above"), "{text}");
}
