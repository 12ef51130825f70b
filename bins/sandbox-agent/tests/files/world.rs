//! An agent with a workspace that the test can reach into, as code in a sandbox does.

use contracts::{ImageRef, SandboxId, link::files::FileFault};
use executor::{
    Engine, Labels, Sandbox, Shape,
    direct::{DirectConfig, DirectEngine},
    files::FilesError,
};
use std::path::{Path, PathBuf};

pub(crate) struct World {
    pub(crate) sandbox: Sandbox,
    pub(crate) workspace: PathBuf,
    _engine: DirectEngine,
    pub(crate) outside: tempfile::TempDir,
}

impl World {
    pub(crate) async fn new() -> Self {
        // In memory, as in a sandbox: some tests make many files.
        let memory = Path::new("/dev/shm");
        let outside =
            if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
        let outside = outside.unwrap();
        let engine = DirectEngine::open(DirectConfig {
            node_id: "test".to_owned(),
            agent: env!("CARGO_BIN_EXE_sandbox-agent").into(),
            workspace_root: outside.path().to_owned(),
            fencing: executor::Fencing::default(),
        })
        .unwrap();
        let image = engine.pin(&ImageRef::new("x").unwrap()).await.unwrap();
        let shape = Shape::plain(image);
        let id = SandboxId::new("s1").unwrap();
        let sandbox = engine.create(id, &shape, &Labels::new()).await.unwrap();
        let workspace = PathBuf::from(sandbox.places().workspace);
        Self { sandbox, workspace, _engine: engine, outside }
    }

    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.workspace.join(path)
    }

    /// A file outside of the workspace, which nothing may read or change.
    pub(crate) fn secret(&self) -> PathBuf {
        let path = self.outside.path().join("secret");
        std::fs::write(&path, "secret").unwrap();
        path
    }

    pub(crate) async fn write(&self, path: &str, data: &[u8]) -> Result<(), FileFault> {
        let write = async {
            let mut writer = self.sandbox.write_file(path, None, false).await?;
            writer.write(data).await?;
            writer.finish().await
        };
        fault(write.await).map(drop)
    }

    pub(crate) async fn read(&self, path: &str) -> Result<Vec<u8>, FileFault> {
        let read = async {
            let mut reader = self.sandbox.read_file(path).await?;
            let mut all = Vec::new();
            while let Some(piece) = reader.next().await? {
                all.extend(piece);
            }
            Ok(all)
        };
        fault(read.await)
    }

    pub(crate) async fn unpack(&self, path: &str, tar: &[u8]) -> Result<(), FileFault> {
        let unpack = async {
            let mut writer = self.sandbox.unpack(path, 1 << 20).await?;
            writer.write(tar).await?;
            writer.finish().await
        };
        fault(unpack.await).map(drop)
    }

    /// The tar of a path, and how many things were left out.
    pub(crate) async fn pack(&self, path: &str) -> Result<(Vec<u8>, u64), FileFault> {
        let pack = async {
            let mut packed = self.sandbox.pack(path, 1 << 20).await?;
            let mut all = Vec::new();
            while let Some(piece) = packed.next().await? {
                all.extend(piece);
            }
            Ok((all, packed.left_out))
        };
        fault(pack.await)
    }

    /// What is in the workspace, hidden things included.
    pub(crate) fn names(&self, path: &str) -> Vec<String> {
        let entries = std::fs::read_dir(self.path(path)).unwrap();
        let mut names: Vec<String> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

pub(crate) fn fault<T>(done: Result<T, FilesError>) -> Result<T, FileFault> {
    done.map_err(|error| match error {
        FilesError::Fault(fault) => fault,
        FilesError::Link(error) => panic!("the link broke: {error}"),
    })
}
