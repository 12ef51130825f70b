//! A page of a folder, in order, without keeping more than the page.

use super::{draft::is_hidden, open_folder, place};
use contracts::{
    file::check_path,
    link::files::{FileFault, FileLimit, MAX_ENTRIES, MAX_PAGE, Page},
};
use rustix::fs::Dir;
use std::{collections::BTreeSet, os::fd::OwnedFd};

pub(super) fn read(
    root: &OwnedFd,
    path: &str,
    after: Option<&str>,
    max: u32,
) -> Result<Page, FileFault> {
    let max = max.clamp(1, MAX_PAGE) as usize;
    let folder = open_folder(root, path)?;
    let mut unnamable = 0;
    let mut first: BTreeSet<String> = BTreeSet::new();
    let mut more = false;
    for (seen, entry) in Dir::read_from(&folder).map_err(place::fault)?.enumerate() {
        if seen > MAX_ENTRIES as usize {
            return Err(FileFault::TooLarge(FileLimit::Entries));
        }
        let entry = entry.map_err(place::fault)?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        let Some(name) = name.to_str().ok().filter(|name| check_path(name).is_ok()) else {
            unnamable += 1;
            continue;
        };
        if is_hidden(name) || after.is_some_and(|after| name <= after) {
            continue;
        }
        first.insert(name.to_owned());
        if first.len() > max {
            first.pop_last();
            more = true;
        }
    }
    let described = |name: String| {
        // What went since it was listed is not there.
        let stat = place::stat_at(&folder, &name).ok()?;
        Some((name, place::described(&stat)))
    };
    // The frame is bounded: a page of the longest names and no more.
    let entries = first.into_iter().filter_map(described).collect();
    Ok(Page { entries, more, unnamable })
}
