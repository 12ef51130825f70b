//! System calls that a sandbox has no business with, attempted.
//!
//! Two looks at each. `syscalls` makes the call so that it succeeds where it is permitted, or fails
//! behind the permission check without an effect: EPERM says refused, by whichever layer. `filter`
//! makes it with arguments that the kernel itself turns down *before* it asks for permission: there,
//! EPERM can only be the filter's, and anything else but ENOSYS says that kernel code was reached.

mod argument;
mod attempts;
mod garbage;
mod other_abi;

use super::{Section, child, fact};
use argument::Argument;
use serde_json::{Map, Value};

/// Name, number and arguments of a call.
type Attempt = (&'static str, libc::c_long, &'static [Argument]);

pub(super) fn report() -> Section {
    let mut syscalls = outcomes(attempts::ATTEMPTS);
    syscalls.extend(other_abi::outcomes());
    vec![fact("syscalls", syscalls), fact("filter", outcomes(garbage::ATTEMPTS))]
}

fn outcomes(attempts: &[Attempt]) -> Map<String, Value> {
    attempts
        .iter()
        .map(|&(name, number, arguments)| fact(name, child::outcome(|| perform(number, arguments))))
        .collect()
}

/// Makes the call; 0 or its errno. Runs in a child: no allocation.
fn perform(number: libc::c_long, arguments: &[Argument]) -> i32 {
    let mut words = [0_usize; 6];
    for (word, argument) in words.iter_mut().zip(arguments) {
        *word = argument.word();
    }
    let [a, b, c, d, e, f] = words;
    // SAFETY: pointers among the words lead to static memory, of which the kernel writes only to
    // the scratch page, or to nowhere; the process is a child that exits after this call.
    match unsafe { libc::syscall(number, a, b, c, d, e, f) } {
        -1 => child::last_errno(),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_made_with_its_arguments() {
        const ROOT: &[Argument] = &[Argument::Text(c"/")];
        const NOWHERE: &[Argument] = &[Argument::Text(argument::NOWHERE)];
        let table: &[Attempt] = &[
            ("there", libc::SYS_chdir, ROOT),
            ("not there", libc::SYS_chdir, NOWHERE),
            ("bad", libc::SYS_chdir, &[Argument::BadPointer]),
        ];
        let outcomes = outcomes(table);
        assert_eq!(outcomes["there"], "ok");
        assert_eq!(outcomes["not there"], "ENOENT");
        assert_eq!(outcomes["bad"], "EFAULT");
    }
}
