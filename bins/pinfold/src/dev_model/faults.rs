//! Faults on demand: the model's name says how the answer goes wrong.

use super::{
    answer::Frames,
    gzip,
    script::{Step, Steps},
};
use hyper::{StatusCode, body::Bytes};
use std::{iter, time::Duration};

/// How far a stream gets before its fault.
const GOOD_FRAMES: usize = 3;
const HUGE_BYTES: usize = 2 << 20;
const SLOW_FIRST: Duration = Duration::from_secs(2);
/// Most tokens of `long-N`, so that one call can't take all memory.
const MAX_LONG: usize = 1_000_000;

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Behaviour {
    Healthy,
    /// Takes the call and never answers.
    Silent,
    /// Sends a header line now and then, and never the last.
    SlowHeaders,
    Stall,
    Cut,
    Reset,
    Malformed,
    Huge,
    Status(StatusCode),
    ErrorIn200,
    Redirect,
    Gzip,
    /// A valid answer, a byte at a time.
    Bytes,
    Long(usize),
    SlowFirst,
    EchoHeaders,
    EchoModel,
    EchoBody,
}

impl Behaviour {
    /// None for a model that we don't have.
    pub(super) fn of(model: &str) -> Option<Self> {
        Some(match model {
            "fail-silent" => Self::Silent,
            "fail-slow-headers" => Self::SlowHeaders,
            "fail-stall" => Self::Stall,
            "fail-cut" => Self::Cut,
            "fail-reset" => Self::Reset,
            "fail-malformed" => Self::Malformed,
            "fail-huge" => Self::Huge,
            "fail-429" => Self::Status(StatusCode::TOO_MANY_REQUESTS),
            "fail-500" => Self::Status(StatusCode::INTERNAL_SERVER_ERROR),
            "fail-529" => Self::Status(StatusCode::from_u16(529).ok()?),
            "fail-error-in-200" => Self::ErrorIn200,
            "fail-redirect" => Self::Redirect,
            "fail-gzip" => Self::Gzip,
            "fail-bytes" => Self::Bytes,
            "slow-first" => Self::SlowFirst,
            "echo-headers" => Self::EchoHeaders,
            "echo-body" => Self::EchoBody,
            _ if model.starts_with("echo-model") => Self::EchoModel,
            _ if model == "dev" || model.starts_with("dev-") || model.starts_with("dev:") => {
                Self::Healthy
            }
            _ => {
                let count: usize = model.strip_prefix("long-")?.parse().ok()?;
                Self::Long(count.min(MAX_LONG))
            }
        })
    }

    /// Text in place of the usual one.
    pub(super) fn text(self, model: &str) -> Option<String> {
        match self {
            Self::Huge => Some("x".repeat(HUGE_BYTES)),
            Self::Long(count) => Some("token ".repeat(count)),
            Self::EchoModel => Some(model.to_owned()),
            _ => None,
        }
    }

    /// Time before an answer that does not stream.
    pub(super) fn delay(self) -> Duration {
        if self == Self::SlowFirst { SLOW_FIRST } else { Duration::ZERO }
    }

    /// A stream of frames as this behaviour sends it.
    pub(super) fn stream(self, mut frames: Frames, pace: Duration, error: Bytes) -> Steps {
        let good = |frames: Frames| paced(frames.take(GOOD_FRAMES), pace);
        match self {
            Self::Stall => Box::new(good(frames).chain([Step::Stall])),
            Self::Cut => Box::new(good(frames).chain([Step::Flush, Step::Cut])),
            Self::ErrorIn200 => Box::new(good(frames).chain([Step::Send(error)])),
            Self::Malformed => {
                let first: Vec<Bytes> = frames.by_ref().take(GOOD_FRAMES).collect();
                let broken = frames.next().map(|frame| broken(&frame));
                Box::new(paced(first.into_iter().chain(broken).chain(frames), pace))
            }
            Self::Gzip => Box::new(paced(gzip::frames(frames), pace)),
            Self::Bytes => Box::new(frames.flat_map(single_bytes)),
            Self::SlowFirst => {
                Box::new(iter::once(Step::Wait(SLOW_FIRST)).chain(paced(frames, pace)))
            }
            _ => Box::new(paced(frames, pace)),
        }
    }

    /// An answer in one piece as this behaviour sends it, with the length that its head tells.
    pub(super) fn whole(self, body: Bytes) -> (usize, Steps) {
        let length = body.len();
        let half = body.slice(..length / 2);
        match self {
            Self::Stall => (length, Box::new([Step::Send(half), Step::Stall].into_iter())),
            Self::Cut => (length, Box::new([Step::Send(half), Step::Flush, Step::Cut].into_iter())),
            Self::Malformed => (half.len(), Box::new(iter::once(Step::Send(half)))),
            Self::Bytes => (length, Box::new(single_bytes(body))),
            Self::Gzip => {
                let packed: Vec<Bytes> = gzip::frames(iter::once(body)).collect();
                let length = packed.iter().map(Bytes::len).sum();
                (length, Box::new(packed.into_iter().map(Step::Send)))
            }
            _ => (length, Box::new(iter::once(Step::Send(body)))),
        }
    }
}

fn paced(
    frames: impl Iterator<Item = Bytes> + Send,
    pace: Duration,
) -> impl Iterator<Item = Step> + Send {
    frames.enumerate().flat_map(move |(place, frame)| {
        let wait = (place > 0 && !pace.is_zero()).then_some(Step::Wait(pace));
        wait.into_iter().chain([Step::Send(frame)])
    })
}

fn single_bytes(frame: Bytes) -> impl Iterator<Item = Step> + Send {
    (0..frame.len()).flat_map(move |at| [Step::Send(frame.slice(at..=at)), Step::Flush])
}

/// The frame without its last quarter, ended as if it were complete.
fn broken(frame: &Bytes) -> Bytes {
    let end: &[u8] = if frame.ends_with(b"\n\n") { b"\n\n" } else { b"\n" };
    Bytes::from([&frame[..frame.len() * 3 / 4], end].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(behaviour: Behaviour) -> String {
        let frames = ["a1\n\n", "b2\n\n", "c3\n\n", "d4\n\n", "e5\n\n"].map(Bytes::from);
        let steps = behaviour.stream(Box::new(frames.into_iter()), Duration::ZERO, "error".into());
        steps
            .map(|step| match step {
                Step::Send(bytes) => String::from_utf8_lossy(&bytes).replace('\n', ""),
                other => format!("<{other:?}>"),
            })
            .collect()
    }

    #[test]
    fn a_fault_is_a_change_to_the_script() {
        assert_eq!(run(Behaviour::Healthy), "a1b2c3d4e5");
        assert_eq!(run(Behaviour::Stall), "a1b2c3<Stall>");
        assert_eq!(run(Behaviour::Cut), "a1b2c3<Flush><Cut>");
        assert_eq!(run(Behaviour::ErrorIn200), "a1b2c3error");
        assert_eq!(run(Behaviour::Malformed), "a1b2c3d4e5");
        assert_eq!(run(Behaviour::SlowFirst), "<Wait(2s)>a1b2c3d4e5");
        assert!(run(Behaviour::Bytes).starts_with("a<Flush>1<Flush>"));
    }

    #[test]
    fn a_broken_frame_ends_like_a_whole_one() {
        assert_eq!(broken(&Bytes::from("data: {\"a\":1}\n\n")), "data: {\"a\":\n\n");
        assert_eq!(broken(&Bytes::from("{\"abcd\":1}\n")), "{\"abcd\":\n");
    }

    #[test]
    fn names_choose_behaviours() {
        let cases = [
            ("dev", Some(Behaviour::Healthy)),
            ("dev-two", Some(Behaviour::Healthy)),
            ("long-12", Some(Behaviour::Long(12))),
            ("long-99999999", Some(Behaviour::Long(MAX_LONG))),
            ("long-x", None),
            ("echo-model:cloud", Some(Behaviour::EchoModel)),
            ("devil", None),
            ("", None),
        ];
        for (name, behaviour) in cases {
            assert_eq!(Behaviour::of(name), behaviour, "{name}");
        }
    }
}
