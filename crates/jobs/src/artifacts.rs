//! What jobs leave behind: collected from the sandbox, kept as one tar per job, read by callers.

use crate::{JobError, NodeConfig, room};
use contracts::{JobId, file::Artifact, link::Root};
use executor::{CollectedFile, LinkError, Sandbox};
use std::{
    collections::BTreeMap,
    io::{self, Read},
    path::{Path, PathBuf},
};

/// Largest `/job/result.json` that is handed on.
const MAX_RESULT_BYTES: u64 = 1 << 20;

const FOLDER: &str = "artifacts";

/// The end of a name of what is not whole yet.
const HALF_DONE: &str = "part";

#[derive(Default)]
pub(crate) struct Left {
    pub(crate) artifacts: Vec<Artifact>,
    pub(crate) truncated: bool,
    pub(crate) sba_result: Option<serde_json::Value>,
}

/// What there may be to fetch.
pub(crate) struct Asked<'a> {
    /// Over the workspace.
    pub(crate) globs: &'a [String],
    /// The agent saw something in the folder for artifacts.
    pub(crate) in_folder: bool,
    /// `/job/result.json`.
    pub(crate) result: bool,
}

/// Fetches the artifacts of an ended command and keeps them. Asks the agent for nothing when there
/// is nothing: most jobs leave nothing, and each question costs their caller a round trip.
pub(crate) async fn collect(
    sandbox: &Sandbox,
    asked: Asked<'_>,
    config: &NodeConfig,
    job_id: &JobId,
) -> Result<Left, JobError> {
    let everything = ["**".to_owned()];
    let (mut files, mut bytes) = (config.artifact_max_files, config.artifact_max_bytes);
    let mut found = Vec::new();
    let mut truncated = false;
    let folder = if asked.in_folder { &everything[..] } else { &[] };
    let sources = [(Root::Job, "artifacts", folder), (Root::Workspace, "", asked.globs)];
    for (root, within, globs) in sources {
        if globs.is_empty() || files == 0 {
            continue;
        }
        let collected = match sandbox.collect(root, within, globs, files, bytes).await {
            // The program can make its folders into anything: that is no fault of ours.
            Err(LinkError::File(error)) => {
                tracing::debug!(%job_id, within, ?error, "nothing could be collected");
                truncated = true;
                continue;
            }
            collected => collected?,
        };
        files = files.saturating_sub(collected.files.len() as u32);
        let size: u64 = collected.files.iter().map(|file| file.data.len() as u64).sum();
        bytes = bytes.saturating_sub(size);
        truncated |= collected.truncated;
        found.extend(collected.files);
    }
    let sba_result = if asked.result { result(sandbox).await? } else { None };
    let (mut found, left_out) = without_clashes(found);
    truncated |= left_out;
    if !found.is_empty() && !room::is_there(config) {
        tracing::warn!(%job_id, "the disk is nearly full: artifacts are left out");
        found.clear();
        truncated = true;
    }
    let mut artifacts: Vec<Artifact> = found.iter().map(artifact).collect();
    if !found.is_empty() {
        match keep(config, job_id, found).await {
            // Of another's doing, since it was looked at. What the program did is told all the same.
            Err(error) if room::is_wanting(&error) => {
                tracing::warn!(%job_id, %error, "the disk is full: artifacts are left out");
                (artifacts, truncated) = (Vec::new(), true);
            }
            kept => kept.map_err(|e| JobError::fault("artifacts", e))?,
        }
    }
    Ok(Left { artifacts, truncated, sba_result })
}

/// One file of a name, and none where another has its folder, so that all can be unpacked. Who
/// comes first stays: what lies in the folder for artifacts is there to be handed over. Says
/// whether anything is lost by it.
fn without_clashes(found: Vec<CollectedFile>) -> (Vec<CollectedFile>, bool) {
    let mut kept: BTreeMap<String, CollectedFile> = BTreeMap::new();
    let mut lost = false;
    for file in found {
        let path = &file.path;
        let beneath = format!("{path}/");
        let is_folder = kept.range(beneath.clone()..).next();
        let is_folder = is_folder.is_some_and(|(other, _)| other.starts_with(&beneath));
        let mut folders = path.match_indices('/').map(|(end, _)| &path[..end]);
        match kept.get(path) {
            Some(same) => lost |= same.data != file.data,
            None if is_folder || folders.any(|folder| kept.contains_key(folder)) => lost = true,
            None => drop(kept.insert(path.clone(), file)),
        }
    }
    (kept.into_values().collect(), lost)
}

fn artifact(file: &CollectedFile) -> Artifact {
    Artifact {
        path: file.path.clone(),
        size_bytes: file.data.len() as u64,
        executable: file.executable,
    }
}

/// The program's own word for its result: JSON of a bounded size in a plain file that can be read, or
/// nothing.
async fn result(sandbox: &Sandbox) -> Result<Option<serde_json::Value>, JobError> {
    match sandbox.collect(Root::Job, "result.json", &[], 1, MAX_RESULT_BYTES).await {
        Ok(collected) => {
            let file = collected.files.into_iter().next();
            Ok(file.and_then(|file| serde_json::from_slice(&file.data).ok()))
        }
        Err(LinkError::File(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn path(config: &NodeConfig, job_id: &JobId) -> PathBuf {
    // An id's alphabet has no slash, and it does not begin with a dot.
    config.state_dir.join(FOLDER).join(format!("{job_id}.tar"))
}

async fn keep(config: &NodeConfig, job_id: &JobId, files: Vec<CollectedFile>) -> io::Result<()> {
    let path = path(config, job_id);
    let write = move || -> io::Result<()> {
        let half_done = path.with_extension(HALF_DONE);
        std::fs::create_dir_all(path.parent().ok_or(io::ErrorKind::InvalidInput)?)?;
        let written =
            write_tar(&half_done, &files).and_then(|()| std::fs::rename(&half_done, path));
        if written.is_err() {
            // On a full disk it is a part of what fills it.
            let _gone = std::fs::remove_file(half_done);
        }
        written
    };
    tokio::task::spawn_blocking(write).await?
}

fn write_tar(path: &Path, files: &[CollectedFile]) -> io::Result<()> {
    let mut tar = tar::Builder::new(io::BufWriter::new(std::fs::File::create(path)?));
    for file in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(file.data.len() as u64);
        header.set_mode(if file.executable { 0o755 } else { 0o644 });
        tar.append_data(&mut header, &file.path, file.data.as_slice())?;
    }
    tar.into_inner()?.into_inner().map_err(io::IntoInnerError::into_error)?;
    Ok(())
}

/// Removes what a life of the node that was cut short left half done. Nobody writes yet.
pub(crate) fn forget_halves(config: &NodeConfig) {
    let entries = std::fs::read_dir(config.state_dir.join(FOLDER)).into_iter().flatten().flatten();
    for path in entries.map(|entry| entry.path()) {
        if path.extension().is_some_and(|extension| extension == HALF_DONE) {
            // It stays a file that nobody reads.
            let _gone = std::fs::remove_file(path);
        }
    }
}

/// The tar of a job; an empty one when it left nothing.
pub(crate) async fn read(config: &NodeConfig, job_id: &JobId) -> Result<Vec<u8>, JobError> {
    let path = path(config, job_id);
    in_background(move || match std::fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            tar::Builder::new(Vec::new()).into_inner()
        }
        read => read,
    })
    .await
}

pub(crate) fn find(tar: &[u8], wanted: &str) -> Result<Vec<u8>, JobError> {
    let failed = |e: io::Error| JobError::fault("artifacts", e);
    let mut archive = tar::Archive::new(tar);
    for entry in archive.entries().map_err(failed)? {
        let mut entry = entry.map_err(failed)?;
        if entry.path_bytes().as_ref() == wanted.as_bytes() {
            let mut data = Vec::new();
            entry.read_to_end(&mut data).map_err(failed)?;
            return Ok(data);
        }
    }
    Err(JobError::NotFound("artifact"))
}

pub(crate) async fn forget(config: &NodeConfig, job_id: &JobId) {
    // A job without artifacts has no file.
    let _absent = tokio::fs::remove_file(path(config, job_id)).await;
}

async fn in_background<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, JobError> {
    let done = tokio::task::spawn_blocking(work).await;
    let done = done.map_err(|e| JobError::fault("artifacts", e))?;
    done.map_err(|e| JobError::fault("artifacts", e))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clashes(names: &[(&str, &str)]) -> (Vec<String>, bool) {
        let file = |(path, data): &(&str, &str)| CollectedFile {
            path: (*path).to_owned(),
            executable: false,
            data: data.as_bytes().to_vec(),
        };
        let (kept, lost) = without_clashes(names.iter().map(file).collect());
        let named =
            |file: CollectedFile| format!("{}={}", file.path, String::from_utf8_lossy(&file.data));
        (kept.into_iter().map(named).collect(), lost)
    }

    #[test]
    fn a_name_is_there_once_and_can_be_unpacked() {
        for (names, kept, lost) in [
            (&[("a", "1"), ("b", "2")][..], &["a=1", "b=2"][..], false),
            (&[("a", "1"), ("a", "1")], &["a=1"], false),
            (&[("a", "1"), ("a", "2")], &["a=1"], true),
            (&[("a", "1"), ("a/b", "2")], &["a=1"], true),
            (&[("a/b/c", "1"), ("a/b", "2"), ("a", "3")], &["a/b/c=1"], true),
            (&[("a/b", "1"), ("a.b", "2"), ("a/bc", "3")], &["a.b=2", "a/b=1", "a/bc=3"], false),
        ] {
            let expected = (kept.iter().map(|&name| name.to_owned()).collect(), lost);
            assert_eq!(clashes(names), expected, "{names:?}");
        }
    }
}
