//! What fuzzing has found worth keeping, again in every test run: the checks and the inputs of `fuzz/`.

#[path = "../../../fuzz/checks/jobs_uploads.rs"]
mod jobs_uploads;
#[path = "../../../fuzz/replay.rs"]
mod replay;
#[path = "../../../fuzz/checks/tars.rs"]
mod tars;

use replay::replay;

#[test]
fn the_corpus_of_uploads_holds() {
    replay("jobs_uploads", jobs_uploads::check);
}
