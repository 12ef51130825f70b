//! Output that nobody reads, as in `pinfold jobs | true`.

use std::process::{Command, Stdio};

#[test]
fn a_closed_pipe_ends_it_without_a_word() {
    let (read, write) = std::io::pipe().unwrap();
    drop(read);
    let ended = Command::new(env!("CARGO_BIN_EXE_pinfold"))
        .args(["dev-model", "--listen", "127.0.0.1:0"])
        .stdout(write)
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    assert_eq!(ended.status.code(), Some(141));
    assert_eq!(String::from_utf8_lossy(&ended.stderr), "");
}

#[test]
fn notes_that_nobody_reads_change_nothing_of_the_end() {
    let (read, write) = std::io::pipe().unwrap();
    drop(read);
    let ended = Command::new(env!("CARGO_BIN_EXE_pinfold"))
        .args(["--url", "http://127.0.0.1:1", "--token", "t", "jobs"])
        .stderr(write)
        .status()
        .unwrap();
    assert_eq!(ended.code(), Some(125));
}
