//! From how a command ended, and what we did to it, to what its caller is told. Pure.

use contracts::{
    job::{Outcome, Reason, Status, Timings, Truncated, Usage},
    limits::Limits,
    link::{End, Exited, KilledBy},
};
use executor::Counters;
use time::OffsetDateTime;

/// Why we asked the command to end, if we did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Intent {
    Deadline,
    Cancel,
}

/// The verdict on one command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Verdict {
    pub(crate) status: Status,
    pub(crate) reason: Reason,
    pub(crate) exit_code: Option<i32>,
    pub(crate) signal: Option<i32>,
    pub(crate) detail: Option<String>,
}

impl Verdict {
    fn new(status: Status, reason: Reason) -> Self {
        Self { status, reason, exit_code: None, signal: None, detail: None }
    }

    fn failed(reason: Reason, exit_code: i32, detail: impl Into<String>) -> Self {
        let detail = Some(detail.into());
        Self { exit_code: Some(exit_code), detail, ..Self::new(Status::Failed, reason) }
    }
}

/// What we intended counts first: a program that ends in time after our TERM was still ended by us.
pub(crate) fn judge(exited: &Exited, intent: Option<Intent>, oom: bool) -> Verdict {
    match (intent, exited.killed_by) {
        (Some(Intent::Deadline), _) | (None, Some(KilledBy::Backstop)) => {
            return Verdict::new(Status::Timeout, Reason::Deadline);
        }
        (Some(Intent::Cancel), _) => return Verdict::new(Status::Canceled, Reason::Cancelled),
        (None, Some(KilledBy::Flood)) => {
            let detail = "it wrote far more than is captured, and was ended";
            return Verdict::failed(Reason::OutputLimit, 137, detail);
        }
        (None, None) => {}
    }
    match &exited.end {
        End::Code(0) => {
            Verdict { exit_code: Some(0), ..Verdict::new(Status::Completed, Reason::Exit) }
        }
        End::Code(code) if oom => {
            Verdict::failed(Reason::Oom, *code, "a process of it was killed for memory")
        }
        End::Code(code) if exited.disk_full => {
            Verdict::failed(Reason::DiskLimit, *code, "it failed while its disk space was full")
        }
        End::Code(code) => {
            Verdict { exit_code: Some(*code), ..Verdict::new(Status::Failed, Reason::Exit) }
        }
        End::Signal(signal) => Verdict {
            exit_code: Some(128 + signal),
            signal: Some(*signal),
            ..Verdict::new(Status::Failed, if oom { Reason::Oom } else { Reason::Signal })
        },
        End::NotExecuted { errno, step } => not_executed(*errno, step),
        // Ends of cells. An agent that says so of a command is a liar, and the command no success.
        End::Kernel { .. } | End::NoKernel => {
            Verdict::failed(Reason::KernelDied, 1, "it ended as only a cell can")
        }
    }
}

/// The shell's convention for a command that could not be run: 127 for none, 126 for one that may
/// not be. The detail tells it from a program that returned these.
fn not_executed(errno: i32, step: &str) -> Verdict {
    const NOT_FOUND: i32 = 2;
    const TOO_LONG: i32 = 7;
    let (code, detail) = match (step, errno) {
        ("exec", NOT_FOUND) => (127, "the command was not found in the image".to_owned()),
        ("exec", TOO_LONG) => (126, "the command and its environment are too long".to_owned()),
        ("cwd", _) => (126, "its working directory can't be entered".to_owned()),
        _ => (126, format!("the command could not be executed (errno {errno})")),
    };
    Verdict::failed(Reason::NotExecutable, code, detail)
}

/// A sandbox whose agent fell silent: a result only if we know why, else a fault of ours.
pub(crate) fn judge_lost(intent: Option<Intent>, oom: bool) -> Option<Verdict> {
    match intent {
        Some(Intent::Deadline) => Some(Verdict::new(Status::Timeout, Reason::Deadline)),
        Some(Intent::Cancel) => Some(Verdict::new(Status::Canceled, Reason::Cancelled)),
        None if oom => Some(Verdict::failed(Reason::Oom, 137, "the sandbox was killed for memory")),
        None => None,
    }
}

/// What was captured of one command.
#[derive(Debug, Default, Clone)]
pub(crate) struct Captured {
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
}

pub(crate) struct Times {
    pub(crate) started_at: OffsetDateTime,
    pub(crate) ended_at: OffsetDateTime,
    pub(crate) timings: Timings,
}

pub(crate) fn outcome(
    verdict: Verdict,
    captured: &Captured,
    exited: Option<&Exited>,
    counters: Counters,
    times: Times,
    limits: Limits,
) -> Outcome {
    let wrote = |bytes: fn(&Exited) -> u64| exited.map_or(0, bytes);
    let told = |bytes: &[u8], wrote: u64| {
        let cut = wrote > bytes.len() as u64;
        let (text, fits) = text(bytes, cut, limits.output_bytes as usize);
        (text, cut || !fits)
    };
    let (stdout, stdout_cut) = told(&captured.stdout, wrote(|exited| exited.stdout_bytes));
    let (stderr, stderr_cut) = told(&captured.stderr, wrote(|exited| exited.stderr_bytes));
    let wall = times.ended_at - times.started_at;
    Outcome {
        status: verdict.status,
        exit_code: verdict.exit_code,
        stdout,
        stderr,
        started_at: times.started_at,
        ended_at: times.ended_at,
        truncated: Truncated { stdout: stdout_cut, stderr: stderr_cut },
        reason: verdict.reason,
        signal: verdict.signal,
        detail: verdict.detail,
        usage: Usage {
            cpu_ms: counters.cpu_us.max(wrote(|exited| exited.cpu_us)) / 1000,
            memory_peak_bytes: counters.memory_peak_bytes.max(wrote(|e| e.max_rss_bytes)),
            wall_ms: exited
                .map_or(wall.whole_milliseconds().max(0) as u64, |exited| exited.wall_us / 1000),
        },
        timings: times.timings,
        limits,
    }
}

/// Captured bytes as text of at most so many bytes, and whether all of them are in it: bytes that are
/// no UTF-8 are replaced, and take more room. A character that the cap cut in two is left out.
fn text(bytes: &[u8], cut: bool, most: usize) -> (String, bool) {
    let whole = if cut { without_unfinished(bytes) } else { bytes };
    let mut text = String::from_utf8_lossy(whole).into_owned();
    let fits = text.len() <= most;
    text.truncate(text.floor_char_boundary(most));
    (text, fits)
}

/// Cuts an unfinished character off the end of bytes that may hold other faults too.
fn without_unfinished(bytes: &[u8]) -> &[u8] {
    for back in 1..=3.min(bytes.len()) {
        let at = bytes.len() - back;
        let lead = bytes[at];
        if lead >= 0xc0 {
            let unfinished =
                std::str::from_utf8(&bytes[at..]).is_err_and(|error| error.error_len().is_none());
            return if unfinished { &bytes[..at] } else { bytes };
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(end: End, intent: Option<Intent>, oom: bool) -> (Status, Reason, Option<i32>) {
        let verdict = judge(&Exited::bare(end), intent, oom);
        (verdict.status, verdict.reason, verdict.exit_code)
    }

    #[test]
    fn each_end_has_its_status_reason_and_code() {
        use Reason::{Cancelled, Deadline, Exit, Oom, Signal};
        use Status::{Canceled, Completed, Failed, Timeout};
        for (end, intent, oom, expected) in [
            (End::Code(0), None, false, (Completed, Exit, Some(0))),
            (End::Code(0), None, true, (Completed, Exit, Some(0))),
            (End::Code(3), None, false, (Failed, Exit, Some(3))),
            (End::Code(1), None, true, (Failed, Oom, Some(1))),
            (End::Signal(9), None, true, (Failed, Oom, Some(137))),
            (End::Signal(11), None, false, (Failed, Signal, Some(139))),
            (End::Signal(15), Some(Intent::Deadline), false, (Timeout, Deadline, None)),
            (End::Code(0), Some(Intent::Deadline), false, (Timeout, Deadline, None)),
            (End::Signal(9), Some(Intent::Cancel), false, (Canceled, Cancelled, None)),
        ] {
            assert_eq!(verdict(end.clone(), intent, oom), expected, "{end:?} {intent:?} {oom}");
        }
    }

    #[test]
    fn a_flood_a_full_disk_and_a_missing_program_have_reasons_of_their_own() {
        let flood = Exited { killed_by: Some(KilledBy::Flood), ..Exited::bare(End::Signal(9)) };
        assert_eq!(judge(&flood, None, false).reason, Reason::OutputLimit);
        let full = Exited { disk_full: true, ..Exited::bare(End::Code(1)) };
        assert_eq!(judge(&full, None, false).reason, Reason::DiskLimit);
        let fine = Exited { disk_full: true, ..Exited::bare(End::Code(0)) };
        assert_eq!(judge(&fine, None, false).status, Status::Completed);
        let missing = judge(
            &Exited::bare(End::NotExecuted { errno: 2, step: "exec".to_owned() }),
            None,
            false,
        );
        assert_eq!((missing.reason, missing.exit_code), (Reason::NotExecutable, Some(127)));
    }

    #[test]
    fn silence_is_never_an_exit_code() {
        assert_eq!(judge_lost(None, false), None);
        assert_eq!(judge_lost(None, true).map(|v| v.reason), Some(Reason::Oom));
    }

    #[test]
    fn what_does_not_fit_as_text_is_said_to_be_cut() {
        let now = OffsetDateTime::UNIX_EPOCH;
        let told = |stdout: &[u8]| {
            let bytes = stdout.len() as u64;
            let exited = Exited { stdout_bytes: bytes, ..Exited::bare(End::Code(0)) };
            let verdict = judge(&exited, None, false);
            let captured = Captured { stdout: stdout.to_vec(), ..Captured::default() };
            let times = Times { started_at: now, ended_at: now, timings: Timings::default() };
            let limits = Limits { output_bytes: 8, ..Limits::DEFAULT };
            outcome(verdict, &captured, Some(&exited), Counters::default(), times, limits)
        };
        // A byte that is no text takes three as text.
        assert!(told(&[0xff; 8]).truncated.stdout);
        assert!(!told(b"12345678").truncated.stdout);
        assert!(!told(&[0xff; 2]).truncated.stdout);
        assert_eq!(told(b"a\xc3").stdout, "a\u{fffd}", "the program's own half is not left out");
    }

    #[test]
    fn text_is_cut_where_a_character_ends() {
        let text = |bytes: &[u8], most| text(bytes, true, most).0;
        assert_eq!(text("aé".as_bytes(), 10), "aé");
        assert_eq!(text(&"aé".as_bytes()[..2], 10), "a");
        assert_eq!(text(&"a日".as_bytes()[..3], 10), "a");
        assert_eq!(text(b"a\xffb\xc3", 10), "a\u{fffd}b");
        assert_eq!(text(b"\xff\xff\xff", 4), "\u{fffd}");
        assert_eq!(text("日本".as_bytes(), 5), "日");
    }
}
