//! Lines on standard output, for whoever still reads it.

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
