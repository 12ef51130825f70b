//! The host reads frames from a peer that shares its user with hostile code. Whatever the bytes, it
//! gets a message or an error, never a panic, and never allocates for what was not sent.

use contracts::{
    TerminalId,
    landlock::Landlock,
    link::{
        End, ExecStatus, Exited, FromAgent, MAX_FRAME_BYTES, Stream, Truncation, decode, encode,
        frame_length,
        terminal::{FromTerminals, Size, TerminalStatus},
    },
};

/// A small generator with a fixed seed: a failure can be repeated.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, most: usize) -> usize {
        (self.next() % most.max(1) as u64) as usize
    }
}

fn corpus() -> Vec<Vec<u8>> {
    let exited = Exited {
        end: End::NotExecuted { errno: 2, step: "exec".to_owned() },
        killed_by: None,
        stdout_bytes: 1 << 40,
        stderr_bytes: 0,
        display_bytes: 0,
        wall_us: 1,
        cpu_us: 1,
        max_rss_bytes: 1,
        disk_full: true,
        artifacts: false,
    };
    let messages = [
        FromAgent::Hello {
            version: 1,
            execs: vec![ExecStatus {
                exec: 1,
                exited: true,
                stdout: 9,
                stderr: 9,
                cell: Some("c".to_owned()),
                stdin: Some(3),
            }],
            kernels: vec!["python".to_owned()],
            terminals: vec![TerminalStatus {
                terminal: TerminalId::new("t").unwrap(),
                from: 1,
                given: 2,
                taken: 1,
                size: Size { rows: 24, cols: 80 },
            }],
            landlock: Landlock::Abi(5),
        },
        FromAgent::Terminals(FromTerminals::Output {
            terminal: TerminalId::new("t").unwrap(),
            at: 7,
            data: vec![b'x'; 300],
        }),
        FromAgent::Output { exec: 3, stream: Stream::Stdout, offset: 7, data: vec![b'x'; 300] },
        FromAgent::Exited { exec: 3, exited },
        FromAgent::File {
            request: 1,
            path: "a/b".to_owned(),
            executable: false,
            data: vec![0; 100],
            last: true,
        },
        FromAgent::Done { request: 1, outcome: Ok(Truncation::LeftOut) },
        FromAgent::Pong,
    ];
    messages.iter().map(|message| encode(message).expect("encodes")).collect()
}

#[test]
fn mutated_frames_are_messages_or_errors() {
    let corpus = corpus();
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut decoded = 0;
    for _ in 0..300_000 {
        let mut frame = corpus[random.below(corpus.len())].clone();
        for _ in 0..=random.below(4) {
            let at = random.below(frame.len());
            match random.below(4) {
                0 => frame[at] = random.next() as u8,
                1 => frame[at] ^= 1 << random.below(8),
                2 => frame.truncate(at.max(4)),
                _ => frame.insert(at, random.next() as u8),
            }
        }
        let head = [frame[0], frame[1], frame[2], frame[3]];
        assert!(frame_length(head).map_or(true, |length| length <= MAX_FRAME_BYTES));
        decoded += usize::from(decode::<FromAgent>(&frame[4..]).is_ok());
    }
    assert!(decoded > 1000, "mutations that still decode are the ones that try the checks behind");
}

#[test]
fn noise_is_no_message_that_holds_more_than_was_sent() {
    let mut random = Random(42);
    for _ in 0..200_000 {
        let noise: Vec<u8> = (0..random.below(64)).map(|_| random.next() as u8).collect();
        match decode::<FromAgent>(&noise) {
            Ok(FromAgent::Output { data, .. } | FromAgent::File { data, .. }) => {
                assert!(data.len() <= noise.len());
            }
            Ok(FromAgent::Hello { execs, .. }) => assert!(execs.len() <= noise.len()),
            _ => {}
        }
    }
}
