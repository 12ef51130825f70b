//! Lines on standard output and beside it, for whoever still reads them.

use std::{
    fmt::{self, Display},
    io::{ErrorKind, Write},
};

/// What programs end with that a closed pipe kills: 128 and the signal's number.
pub(crate) const UNREAD: u8 = 141;

/// Whoever read us has seen enough, as in `pinfold jobs | head -1`.
#[derive(Debug)]
pub(crate) struct Unread;

impl Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nobody reads the output any more")
    }
}

impl std::error::Error for Unread {}

pub(crate) fn line(text: impl Display) -> anyhow::Result<()> {
    match writeln!(std::io::stdout().lock(), "{text}") {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Err(Unread.into()),
        written => Ok(written?),
    }
}

/// Something for the person in front of it. That nobody reads it changes nothing of what is done.
pub(crate) fn note(text: impl Display) {
    let _unread = writeln!(std::io::stderr().lock(), "{text}");
}
