//! A tar of input files that a caller sends ahead of a job: as bytes, or described by them.
//!
//! What is taken are plain files beneath a folder, of no more bytes than are allowed, from a tar that
//! came to its end; packed again, they are the same. A refusal is short.

use crate::tars::described;
use contracts::file::check_path;
use jobs::uploads::{Uploaded, unpack};

const BLOCK: usize = 512;
const MOST: u64 = 2000;
const MOST_SAID: usize = 1000;

pub(crate) fn check(data: &[u8]) {
    let Some((&[how, cut], rest)) = data.split_first_chunk::<2>() else { return };
    let tar = if how % 4 == 0 { rest.to_vec() } else { described(rest) };
    match unpack(&tar, MOST) {
        Ok(files) => {
            check_files(&files);
            assert!(ends(&tar), "it came to no end");
        }
        Err(error) => {
            let said = error.to_string();
            assert!(said.len() <= MOST_SAID, "{} bytes: {said}", said.len());
        }
    }
    // Cut anywhere, it is refused, or the blocks that are left have an end.
    let whole = tar.len() - (usize::from(cut) * BLOCK).min(tar.len());
    if unpack(&tar[..whole], MOST).is_ok() {
        assert!(ends(&tar[..whole]), "it was cut off");
    }
}

fn ends(tar: &[u8]) -> bool {
    tar.chunks_exact(BLOCK).any(|block| block.iter().all(|byte| *byte == 0))
}

fn check_files(files: &[Uploaded]) {
    let bytes: usize = files.iter().map(|file| file.data.len()).sum();
    assert!(bytes as u64 <= MOST, "{bytes} bytes");
    let mut again = tar::Builder::new(Vec::new());
    for file in files {
        assert_eq!(check_path(&file.path), Ok(()));
        let mut header = tar::Header::new_gnu();
        header.set_size(file.data.len() as u64);
        header.set_mode(if file.executable { 0o755 } else { 0o644 });
        again.append_data(&mut header, &file.path, file.data.as_slice()).expect("packed");
    }
    let again = again.into_inner().expect("packed");
    assert_eq!(unpack(&again, MOST).expect("what was taken is taken"), files);
}
