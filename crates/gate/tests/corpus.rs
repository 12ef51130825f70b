//! What fuzzing has found worth keeping, again in every test run: the checks and the inputs of `fuzz/`.

#[path = "../../../fuzz/checks/gate_body.rs"]
mod gate_body;
#[path = "../../../fuzz/checks/gate_dns.rs"]
mod gate_dns;
#[path = "../../../fuzz/checks/gate_egress.rs"]
mod gate_egress;
#[path = "../../../fuzz/checks/gate_hello.rs"]
mod gate_hello;
#[path = "../../../fuzz/checks/gate_packages.rs"]
mod gate_packages;
#[path = "../../../fuzz/checks/gate_surface.rs"]
mod gate_surface;
#[path = "../../../fuzz/checks/gate_usage.rs"]
mod gate_usage;
#[path = "../../../fuzz/replay.rs"]
mod replay;

use replay::replay;

#[test]
fn the_corpus_of_body_holds() {
    replay("gate_body", gate_body::check);
}

#[test]
fn the_corpus_of_dns_holds() {
    replay("gate_dns", gate_dns::check);
}

#[test]
fn the_corpus_of_egress_holds() {
    replay("gate_egress", gate_egress::check);
}

#[test]
fn the_corpus_of_hellos_holds() {
    replay("gate_hello", gate_hello::check);
}

#[test]
fn the_corpus_of_packages_holds() {
    replay("gate_packages", gate_packages::check);
}

#[test]
fn the_corpus_of_surface_holds() {
    replay("gate_surface", gate_surface::check);
}

#[test]
fn the_corpus_of_usage_holds() {
    replay("gate_usage", gate_usage::check);
}
