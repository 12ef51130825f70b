//! From how a cell ended to what its caller is told. Pure.

use super::cell::LiveCell;
use crate::outcome::Intent;
use contracts::{
    code::{Bundle, BundleKind, Cut, ExecuteResponse, KernelNews, Rich},
    job::{Reason, Status},
    link::{End, Exited, KilledBy, Stream, kernel::KernelEnd},
};

/// The shell's `timeout` says so, too.
const TIMED_OUT: i32 = 124;
const INTERRUPTED: i32 = 130;

/// What the node knows beside the agent's word.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Circumstances {
    pub(super) intent: Option<Intent>,
    pub(super) interrupted: bool,
    pub(super) oom: bool,
    /// The kernel took the place of one that died.
    pub(super) fresh: bool,
    pub(super) rich: bool,
    /// The caller chose the cell's name, or wants more than the plain answer.
    pub(super) named: bool,
}

#[derive(Debug, PartialEq, Eq)]
struct Verdict {
    exit_code: i32,
    status: Option<Status>,
    reason: Option<Reason>,
    kernel: Option<KernelNews>,
    detail: Option<&'static str>,
}

impl Verdict {
    fn of(exit_code: i32, status: Status, reason: Reason, detail: &'static str) -> Self {
        let (status, reason, detail) = (Some(status), Some(reason), Some(detail));
        Self { exit_code, status, reason, kernel: None, detail }
    }

    fn died(self) -> Self {
        Self { kernel: Some(KernelNews::Died), ..self }
    }
}

fn judge(end: &End, killed_by: Option<KilledBy>, about: Circumstances) -> Verdict {
    let late = about.intent == Some(Intent::Deadline) || killed_by == Some(KilledBy::Backstop);
    let kernel_end = match end {
        End::Kernel { end, ran: true } => Some(*end),
        End::Kernel { ran: false, .. } => {
            let detail = "the interpreter died before this code, and its state is lost; nothing of \
                          this code ran, and the next code gets a new interpreter";
            let reason = if about.oom { Reason::Oom } else { Reason::KernelDied };
            return Verdict::of(died_code(end), Status::Failed, reason, detail).died();
        }
        _ => None,
    };
    match kernel_end {
        Some(_) if late => {
            let detail = "the time was up and the code could not be interrupted: it was killed with \
                          its interpreter, and the state is lost";
            Verdict::of(TIMED_OUT, Status::Timeout, Reason::Deadline, detail).died()
        }
        Some(_) if about.intent == Some(Intent::Cancel) => {
            let detail = "everything on this node was stopped: it was killed with its interpreter";
            Verdict::of(INTERRUPTED, Status::Canceled, Reason::Cancelled, detail).died()
        }
        Some(_) if killed_by == Some(KilledBy::Flood) => {
            let detail = "it wrote far more than is captured and could not be interrupted: it was \
                          killed with its interpreter, and the state is lost";
            Verdict::of(137, Status::Failed, Reason::OutputLimit, detail).died()
        }
        Some(_) if about.oom => {
            let detail = "the interpreter was killed for memory, and its state is lost";
            Verdict::of(137, Status::Failed, Reason::Oom, detail).died()
        }
        Some(KernelEnd::Protocol) => {
            let detail = "the code broke its interpreter's control pipe: it was killed, and its state \
                          is lost";
            Verdict::of(1, Status::Failed, Reason::KernelDied, detail).died()
        }
        Some(_) => {
            let detail = "the interpreter died while it ran this code, and its state is lost";
            Verdict::of(died_code(end), Status::Failed, Reason::KernelDied, detail).died()
        }
        None => judge_alive(end, late, killed_by, about),
    }
}

fn judge_alive(
    end: &End,
    late: bool,
    killed_by: Option<KilledBy>,
    about: Circumstances,
) -> Verdict {
    let code = if let End::Code(code) = end { *code } else { 1 };
    if late {
        let detail = "the time was up: the code was interrupted, and the state is still there";
        return Verdict::of(TIMED_OUT, Status::Timeout, Reason::Deadline, detail);
    }
    if killed_by == Some(KilledBy::Flood) {
        let detail = "it wrote far more than is captured: it was interrupted, and the state is still \
                      there";
        return Verdict::of(code.max(1), Status::Failed, Reason::OutputLimit, detail);
    }
    if about.intent == Some(Intent::Cancel) {
        let detail = "everything on this node was stopped: the code was interrupted";
        return Verdict::of(INTERRUPTED, Status::Canceled, Reason::Cancelled, detail);
    }
    if about.interrupted && code != 0 {
        let detail = "it was interrupted, and the state is still there";
        return Verdict::of(INTERRUPTED, Status::Canceled, Reason::Cancelled, detail);
    }
    Verdict { exit_code: code, status: None, reason: None, kernel: None, detail: None }
}

/// Never 0: a kernel that went away did not do what it was asked for.
fn died_code(end: &End) -> i32 {
    match end {
        End::Kernel { end: KernelEnd::Signal(signal), .. } => 128 + signal,
        End::Kernel { end: KernelEnd::Code(code), .. } if *code != 0 => *code,
        _ => 1,
    }
}

/// The whole answer.
pub(super) fn answer(cell: &LiveCell, exited: &Exited, about: Circumstances) -> ExecuteResponse {
    let verdict = judge(&exited.end, exited.killed_by, about);
    let (stdout, mut stderr, rich, results_cut) = cell.whole();
    if let Some(detail) = verdict.detail {
        // A caller of the plain API reads nothing else.
        if !stderr.is_empty() && !stderr.ends_with('\n') {
            stderr.push('\n');
        }
        stderr.push_str("pinfold: ");
        stderr.push_str(detail);
        stderr.push('\n');
    }
    let mut results = Vec::new();
    let mut error = None;
    for part in rich {
        let (kind, data, metadata) = match part {
            Rich::Result { data, metadata } => (BundleKind::Result, data, metadata),
            Rich::Display { data, metadata } => (BundleKind::Display, data, metadata),
            Rich::Error(of_code) => {
                error = Some(of_code);
                continue;
            }
            Rich::Stdin { .. } => continue,
        };
        results.push(Bundle { kind, data, metadata });
    }
    let kept = cell.kept_bytes();
    let cut = Cut {
        stdout: exited.stdout_bytes > kept[Stream::Stdout as usize],
        stderr: exited.stderr_bytes > kept[Stream::Stderr as usize],
        results: results_cut || exited.display_bytes > kept[Stream::Display as usize],
    };
    let news = verdict.kernel.or_else(|| about.fresh.then_some(KernelNews::Fresh));
    let more = about.rich || about.named;
    let status = if verdict.exit_code == 0 { Status::Completed } else { Status::Failed };
    ExecuteResponse {
        stdout,
        stderr,
        exit_code: verdict.exit_code,
        cell_id: more.then(|| cell.id.clone()),
        status: verdict.status.or(more.then_some(status)),
        reason: verdict.reason.or(more.then_some(Reason::Exit)),
        detail: verdict.detail.map(str::to_owned),
        kernel: news,
        truncated: (cut != Cut::default()).then_some(cut),
        results: about.rich.then_some(results),
        error,
        wall_ms: more.then_some(exited.wall_us / 1000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Circumstances = Circumstances {
        intent: None,
        interrupted: false,
        oom: false,
        fresh: false,
        rich: false,
        named: false,
    };

    fn died(end: KernelEnd) -> End {
        End::Kernel { end, ran: true }
    }

    #[test]
    fn code_that_returns_is_told_by_its_exit_code_alone() {
        for code in [0, 1, 7] {
            let verdict = judge(&End::Code(code), None, PLAIN);
            assert_eq!((verdict.exit_code, verdict.status, verdict.kernel), (code, None, None));
        }
    }

    #[test]
    fn no_end_of_a_kernel_is_a_success() {
        let ends =
            [KernelEnd::Code(0), KernelEnd::Code(3), KernelEnd::Signal(9), KernelEnd::Protocol];
        for end in ends {
            for ran in [true, false] {
                for oom in [true, false] {
                    let verdict =
                        judge(&End::Kernel { end, ran }, None, Circumstances { oom, ..PLAIN });
                    assert_ne!(verdict.exit_code, 0, "{end:?}");
                    assert_eq!(verdict.status, Some(Status::Failed), "{end:?}");
                    assert_eq!(verdict.kernel, Some(KernelNews::Died), "{end:?}");
                    assert_eq!(verdict.reason == Some(Reason::Oom), oom, "{end:?}");
                }
            }
        }
    }

    #[test]
    fn a_deadline_says_whether_the_state_is_still_there() {
        let late = Circumstances { intent: Some(Intent::Deadline), ..PLAIN };
        let saved = judge(&End::Code(1), None, late);
        assert_eq!((saved.exit_code, saved.kernel), (TIMED_OUT, None));
        // Even code that catches the interrupt and returns was ended by us.
        assert_eq!(judge(&End::Code(0), None, late).status, Some(Status::Timeout));
        let lost = judge(&died(KernelEnd::Signal(9)), None, late);
        assert_eq!((lost.exit_code, lost.kernel), (TIMED_OUT, Some(KernelNews::Died)));
        assert_eq!(judge(&End::Code(1), Some(KilledBy::Backstop), PLAIN).exit_code, TIMED_OUT);
    }

    #[test]
    fn a_flood_is_no_success_even_if_it_ends_well() {
        let verdict = judge(&End::Code(0), Some(KilledBy::Flood), PLAIN);
        assert_eq!((verdict.exit_code, verdict.reason), (1, Some(Reason::OutputLimit)));
    }

    #[test]
    fn an_interrupt_that_came_too_late_changes_nothing() {
        let asked = Circumstances { interrupted: true, ..PLAIN };
        assert_eq!(judge(&End::Code(1), None, asked).status, Some(Status::Canceled));
        assert_eq!(judge(&End::Code(0), None, asked).status, None);
    }
}
