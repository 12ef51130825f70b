//! The processor's other ways into the kernel: a filter that knows one set of numbers only could be
//! walked around by another. Each asks for the process id, which never fails.

#[cfg(target_arch = "x86_64")]
pub(super) fn outcomes() -> Vec<(String, serde_json::Value)> {
    use crate::probe::{child, fact};
    /// Marks a number as one of the x32 ABI.
    const X32: libc::c_long = 0x4000_0000;
    vec![
        fact("int80 getpid", child::outcome(interrupt_getpid)),
        fact("x32 getpid", child::outcome(|| super::perform(X32 | libc::SYS_getpid, &[]))),
    ]
}

#[cfg(not(target_arch = "x86_64"))]
pub(super) fn outcomes() -> Vec<(String, serde_json::Value)> {
    Vec::new()
}

/// `getpid` by its 32-bit number, over the gate of 32-bit programs.
#[cfg(target_arch = "x86_64")]
fn interrupt_getpid() -> i32 {
    const GETPID_32: i32 = 20;
    let mut answer = GETPID_32;
    // SAFETY: the call has no arguments and touches no memory; older kernels clear r8 to r11.
    unsafe {
        std::arch::asm!(
            "int 0x80",
            inlateout("eax") answer,
            out("r8") _, out("r9") _, out("r10") _, out("r11") _,
        );
    }
    if answer < 0 { -answer } else { 0 }
}
