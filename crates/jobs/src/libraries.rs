//! Libraries for code: installed by the language's own client in the sandbox that needs them, with a
//! way to its registry for as long as that takes.
//!
//! What a set of libraries comes down to is remembered as the list of files that its client took, never
//! as files of a sandbox: the next one with the same set takes the same from the node's cache, which
//! checks them, and unpacks them itself. The list is believed only where nothing of a caller's or of a
//! package's could run beside the client: in a new sandbox, with wheels alone, or with packages of npm
//! that run nothing.

mod npm;

use crate::{
    JobError, Node, door,
    kernels::{CellEnd, Kernels},
    outcome::{self, Verdict},
    prepare,
    supervise::{End, SIGTERM, Watch},
};
use contracts::{
    Faults, TemplateName,
    code::{ExecuteResponse, Language},
    job::{Reason, Status},
    link::{Command, Stream},
    packages::{Registries, Registry, check_libraries},
};
use executor::{PinnedImage, Places, Sandbox};
use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// For one install. What takes longer wants an image of its own.
const INSTALL_TIME: Duration = Duration::from_secs(300);
/// As the shell's `timeout` says it.
const TIMED_OUT: i32 = 124;
const OUTPUT_BYTES: u64 = 64 << 10;
const FLOOD_BYTES: u64 = 64 << 20;

/// What a caller reads of a client's complaint: its end says most.
const MAX_SAID_BYTES: usize = 8 << 10;

/// How long a set comes down to the same files, as pages of an index do; and how many are known.
const REMEMBERED: Duration = Duration::from_secs(600);
const MAX_SETS: usize = 256;

/// Unpacks wheels beneath a folder, as pip does with pure ones and with those for this platform.
const UNPACK: &str = include_str!("../drivers/unpack.py");
/// The same for packages of npm.
const UNPACK_NPM: &str = include_str!("../drivers/unpack.js");

/// What one request wants to have installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Libraries {
    lang: Language,
    names: Vec<String>,
}

/// Where to install, and for whom.
pub(crate) struct Place<'a> {
    pub(crate) node: &'a Node,
    pub(crate) sandbox: &'a Arc<Sandbox>,
    pub(crate) image: &'a PinnedImage,
    /// Nothing of a caller's has run in it.
    pub(crate) is_new: bool,
    /// What it is prepared as, before it is anybody's, and what calls that off.
    pub(crate) template: Option<(&'a TemplateName, &'a CancellationToken)>,
}

/// The client's own words, and how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Complaint {
    pub exit_code: i32,
    pub said: String,
}

/// What sets came down to.
#[derive(Default)]
pub(crate) struct KnownSets(Mutex<HashMap<String, (Vec<String>, Instant)>>);

impl Libraries {
    /// None where nothing is asked for.
    pub(crate) fn of(lang: Language, names: &[String]) -> Result<Option<Self>, JobError> {
        let mut faults = Faults::default();
        check_libraries(lang, names, &mut faults);
        faults.into_result().map_err(JobError::Invalid)?;
        let mut names = names.to_vec();
        names.sort();
        names.dedup();
        Ok((!names.is_empty()).then_some(Self { lang, names }))
    }

    pub(crate) fn registries(&self) -> Registries {
        std::iter::once(self.registry()).collect()
    }

    fn registry(&self) -> Registry {
        if self.lang == Language::Python { Registry::Pypi } else { Registry::Npm }
    }

    /// What interpreters are told, so that they find them.
    pub(crate) fn env(&self, places: &Places) -> Vec<(String, String)> {
        match self.registry() {
            Registry::Pypi => vec![("PYTHONPATH".to_owned(), folder(places))],
            // Node looks beneath the workspace by itself.
            _ => Vec::new(),
        }
    }

    fn client(&self, places: &Places) -> Vec<String> {
        let target = folder(places);
        let options: &[&str] = match self.registry() {
            Registry::Pypi => &[
                "python3",
                "-m",
                "pip",
                "install",
                "--quiet",
                "--no-input",
                "--prefer-binary",
                "--upgrade",
                "--target",
                &target,
                "--",
            ],
            _ => &[
                "npm",
                "install",
                "--no-save",
                "--no-package-lock",
                "--prefer-offline",
                "--loglevel=error",
                "--prefix",
                &places.workspace,
                "--",
            ],
        };
        options.iter().map(|option| (*option).to_owned()).chain(self.names.clone()).collect()
    }

    fn unpack(&self, places: &Places, files: &[String]) -> Vec<String> {
        let workspace = places.workspace.clone();
        let fixed = match self.registry() {
            Registry::Pypi => {
                ["python3", "-I", "-S", "-c", UNPACK, &folder(places)].map(str::to_owned).to_vec()
            }
            _ => ["node", "-e", UNPACK_NPM, "--", &workspace].map(str::to_owned).to_vec(),
        };
        fixed.into_iter().chain(files.iter().cloned()).collect()
    }

    /// What the next one with this set is to unpack, after the client was given these files.
    async fn learned(&self, sandbox: &Sandbox, given: Vec<String>) -> Option<Vec<String>> {
        match self.registry() {
            Registry::Pypi => given.iter().all(|file| file.ends_with(".whl")).then_some(given),
            _ => npm::tree(sandbox, &given).await,
        }
    }

    fn set(&self, image: &PinnedImage) -> String {
        format!("{} {} {}", image.id, self.lang.name(), self.names.join(" "))
    }
}

fn folder(places: &Places) -> String {
    format!("{}/.libraries", places.workspace)
}

impl Complaint {
    pub(crate) fn answer(self) -> ExecuteResponse {
        ExecuteResponse {
            stdout: String::new(),
            stderr: self.said,
            exit_code: self.exit_code,
            cell_id: None,
            status: Some(Status::Failed),
            reason: Some(Reason::Exit),
            detail: Some(
                "its libraries could not be installed; nothing of the code ran".to_owned(),
            ),
            kernel: None,
            truncated: None,
            results: None,
            error: None,
            wall_ms: None,
        }
    }
}

impl Place<'_> {
    /// Before code that needs them: what there is to say when they can't be had is the code's end.
    pub(crate) async fn furnish(
        &self,
        libraries: &Libraries,
        kernels: &Kernels,
    ) -> Result<(), CellEnd> {
        match self.install(libraries).await {
            Ok(Ok(())) => {
                kernels.furnish(libraries.env(&self.sandbox.places()));
                Ok(())
            }
            Ok(Err(complaint)) => Err(CellEnd::Answer(Arc::new(complaint.answer()))),
            Err(JobError::Draining) => Err(CellEnd::Left),
            Err(error) => Err(CellEnd::Problem(error.problem())),
        }
    }

    pub(crate) async fn install(
        &self,
        libraries: &Libraries,
    ) -> Result<Result<(), Complaint>, JobError> {
        let door = self.node.inner.sandboxes.door(self.sandbox.id());
        let registries = libraries.registries();
        let Some(way) = (match (&door, self.template) {
            (Some(door), Some((name, _))) => {
                door.let_prepare(door::preparing(self.node, name), registries).await
            }
            (Some(door), None) => door.let_install(registries).await,
            (None, _) => None,
        }) else {
            return Err(no_way());
        };
        let (places, sets) = (self.sandbox.places(), &self.node.inner.known_sets);
        let set = libraries.set(self.image);
        if let Some(files) = sets.get(&set) {
            let unpacked = self.run(libraries, libraries.unpack(&places, &files)).await?;
            if unpacked.is_ok() {
                return Ok(Ok(()));
            }
            sets.forget(&set);
        }
        let installed = self.run(libraries, libraries.client(&places)).await?;
        if let (Ok(()), true, Some(given)) = (&installed, self.is_new, way.taken())
            && let Some(files) = libraries.learned(self.sandbox, given).await
        {
            sets.remember(set, files);
        }
        Ok(installed)
    }

    async fn run(
        &self,
        libraries: &Libraries,
        argv: Vec<String>,
    ) -> Result<Result<(), Complaint>, JobError> {
        let places = self.sandbox.places();
        let reserved = prepare::reserved(&places, Vec::new());
        let ways = prepare::Ways::to_install(libraries.registries());
        let before = self.sandbox.counters().await;
        let began = Instant::now();
        let mut exec = self
            .sandbox
            .start(Command {
                argv,
                // Nothing of the caller's: what a client is told by variables, it obeys.
                env: prepare::environment(
                    &self.image.env,
                    ways,
                    &BTreeMap::new(),
                    &reserved,
                    &places,
                ),
                cwd: places.workspace.clone(),
                stdin: false,
                output_bytes: OUTPUT_BYTES,
                flood_bytes: FLOOD_BYTES,
                // Nothing of a template's packages may run on beside the session that comes.
                sole: self.template.is_some(),
                backstop_ms: (2 * INSTALL_TIME).as_millis() as u64,
            })
            .await?;
        let never = CancellationToken::new();
        let config = &self.node.inner.config;
        let watch = Watch {
            sandbox: self.sandbox,
            ask: SIGTERM,
            deadline: began + INSTALL_TIME.min(config.max_timeout),
            term_grace: config.term_grace,
            stop_grace: config.term_grace,
            cancel: self.template.map_or(&never, |(_, retired)| retired),
            leaving: &self.node.inner.leaving,
            feeding: None,
        };
        let mut said = Vec::new();
        let end = watch.until_end(&mut exec, |stream, data| {
            if stream == Stream::Stderr {
                said.extend_from_slice(data);
            }
        });
        let verdict = match end.await {
            End::Left => return Err(JobError::Draining),
            End::Lost(_) => return Err(executor::LinkError::Lost.into()),
            End::Exited(exited, intent) => {
                self.sandbox.forget(exec.id()).await?;
                let oom = self.sandbox.counters().await.oom_kills > before.oom_kills;
                outcome::judge(&exited, intent, oom)
            }
        };
        Ok(complaint(&verdict, &said).map_or(Ok(()), Err))
    }
}

/// None: it went well.
fn complaint(verdict: &Verdict, said: &[u8]) -> Option<Complaint> {
    let (exit_code, how) = match (verdict.status, verdict.exit_code, &verdict.detail) {
        (Status::Completed, ..) => return None,
        (Status::Timeout, ..) => (TIMED_OUT, "it took too long".to_owned()),
        (_, code, Some(detail)) => (code.unwrap_or(1), detail.clone()),
        (_, code, None) => match verdict.signal {
            Some(signal) => (code.unwrap_or(1), format!("signal {signal} ended it")),
            None => (code.unwrap_or(1), String::new()),
        },
    };
    let tail = &said[said.len().saturating_sub(MAX_SAID_BYTES)..];
    Some(Complaint { exit_code, said: String::from_utf8_lossy(tail).into_owned() + &how })
}

/// For a sandbox that was made without a sidecar.
pub(crate) fn no_way() -> JobError {
    let mut faults = Faults::default();
    let message = "can't be installed: this session was opened without any";
    faults.add("libraries", message);
    JobError::Refused(faults)
}

impl KnownSets {
    fn sets(&self) -> MutexGuard<'_, HashMap<String, (Vec<String>, Instant)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn get(&self, set: &str) -> Option<Vec<String>> {
        let sets = self.sets();
        let (files, since) = sets.get(set)?;
        (since.elapsed() < REMEMBERED).then(|| files.clone())
    }

    fn remember(&self, set: String, files: Vec<String>) {
        let mut sets = self.sets();
        sets.retain(|_, (_, since)| since.elapsed() < REMEMBERED);
        if sets.len() < MAX_SETS {
            sets.insert(set, (files, Instant::now()));
        }
    }

    fn forget(&self, set: &str) {
        self.sets().remove(set);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_set_is_the_same_in_any_order() {
        let of = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
            Libraries::of(Language::Python, &names).unwrap()
        };
        assert_eq!(of(&["b", "a", "b"]), of(&["a", "b"]));
        assert_eq!(of(&[]), None);
    }

    #[test]
    fn names_come_after_all_options() {
        let libraries = Libraries::of(Language::JavaScript, &["a@1".to_owned()]).unwrap().unwrap();
        let client = libraries.client(&Places::default());
        assert_eq!(client[client.len() - 2..], ["--", "a@1"]);
        assert!(Libraries::of(Language::Python, &["--pre".to_owned()]).is_err());
    }
}
