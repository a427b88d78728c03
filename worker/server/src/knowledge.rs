//! The bundle, from the knowledge folder; swapped as a whole when the folder's content changes.
//!
//! The folder holds mounted ConfigMaps, each a folder of its own. Knowledge that does not parse never replaces knowledge that
//! does: the worker answers on with the old one and says why.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;
use ring::digest::{Context, SHA256};
use springtide_engine::{Bundle, KnowledgeError};
use springtide_runtime::admin::Health;
use tokio_util::sync::CancellationToken;

use crate::conversations::{Conversations, Intake};

/// How often the folder is looked at.
const LOOK: Duration = Duration::from_secs(2);
/// Knowledge larger than this, in bytes, is refused.
const MAX_BYTES: u64 = 64 * 1024 * 1024;
/// Name of this part in readiness.
const PART: &str = "knowledge";

/// Why the folder gives no bundle.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// It cannot be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// Which file or folder.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// It is too large.
    #[error("the knowledge has more than {MAX_BYTES} bytes")]
    TooLarge,
    /// It does not parse.
    #[error(transparent)]
    Knowledge(#[from] KnowledgeError),
}

/// The bundle in use.
#[derive(Clone, Debug, Default)]
pub struct Knowledge(Arc<RwLock<Shown>>);

#[derive(Debug, Default)]
struct Shown {
    bundle: Option<Arc<Bundle>>,
    trouble: Option<String>,
}

impl Knowledge {
    /// The bundle now; a turn keeps the one it began with.
    pub fn bundle(&self) -> Option<Arc<Bundle>> {
        self.0.read().bundle.clone()
    }

    /// Why the folder's content is not in use, if it is not.
    pub fn trouble(&self) -> Option<String> {
        self.0.read().trouble.clone()
    }

    /// Uses `bundle` from now on.
    pub fn replace(&self, bundle: Bundle) {
        *self.0.write() = Shown {
            bundle: Some(Arc::new(bundle)),
            trouble: None,
        };
    }

    fn refuse(&self, trouble: String) {
        self.0.write().trouble = Some(trouble);
    }
}

type Files = Vec<(PathBuf, String)>;

/// Keeps `knowledge` as the folder is, until `shutdown`; opens the worker's intake with the first bundle.
pub async fn follow(
    folder: PathBuf,
    knowledge: Knowledge,
    conversations: Arc<Conversations>,
    health: Health,
    shutdown: CancellationToken,
) {
    let mut seen: Option<Vec<u8>> = None;
    loop {
        let folder = folder.clone();
        let before = seen.clone();
        match tokio::task::spawn_blocking(move || load_if_changed(&folder, before.as_deref())).await {
            Ok((_, None)) => {}
            Ok((digest, Some(Ok(bundle)))) => {
                tracing::info!(entries = bundle.entries().len(), "knowledge in use");
                seen = digest;
                knowledge.replace(bundle);
                health.ready(PART);
                if conversations.intake() == Intake::NotReady {
                    conversations.set_intake(Intake::Open);
                }
            }
            Ok((digest, Some(Err(error)))) => {
                if seen != digest || knowledge.trouble().is_none() {
                    tracing::error!(%error, "knowledge cannot be used");
                }
                seen = digest;
                if knowledge.bundle().is_none() {
                    health.not_ready(PART, error.to_string());
                }
                knowledge.refuse(error.to_string());
            }
            Err(error) => tracing::error!(%error, "loading knowledge panicked"),
        }
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

/// The digest of what the folder holds, and a bundle of it if it is not what was `seen`.
fn load_if_changed(
    folder: &Path,
    seen: Option<&[u8]>,
) -> (Option<Vec<u8>>, Option<Result<Bundle, LoadError>>) {
    let files = match read_files(folder) {
        Ok(files) => files,
        Err(error) => return (None, Some(Err(error))),
    };
    let mut context = Context::new(&SHA256);
    for (path, text) in &files {
        context.update(path.as_os_str().as_encoded_bytes());
        context.update(&[0]);
        context.update(text.as_bytes());
        context.update(&[0]);
    }
    let digest = context.finish().as_ref().to_vec();
    if seen == Some(digest.as_slice()) {
        return (Some(digest), None);
    }
    let named = files
        .iter()
        .map(|(path, text)| (path.to_str().unwrap_or_default(), text.as_str()));
    (
        Some(digest),
        Some(Bundle::from_files(named).map_err(LoadError::from)),
    )
}

/// Knowledge files below `folder`, in the order of their paths. Names that begin with `..` are how Kubernetes keeps versions.
fn read_files(folder: &Path) -> Result<Files, LoadError> {
    let (mut files, mut bytes) = (Files::new(), 0);
    read_into(folder, folder, &mut files, &mut bytes)?;
    files.sort();
    Ok(files)
}

fn read_into(root: &Path, folder: &Path, files: &mut Files, bytes: &mut u64) -> Result<(), LoadError> {
    let error = |path: &Path| {
        let path = path.to_owned();
        move |source| LoadError::Read { path, source }
    };
    for file in std::fs::read_dir(folder).map_err(error(folder))? {
        let path = file.map_err(error(folder))?.path();
        let hidden = path
            .file_name()
            .and_then(|name| name.to_str())
            .is_none_or(|name| name.starts_with('.'));
        let extension = path
            .extension()
            .and_then(|extension| extension.to_str())
            .unwrap_or_default();
        if hidden {
            continue;
        }
        if path.is_dir() {
            read_into(root, &path, files, bytes)?;
        } else if matches!(extension, "jsonl" | "json" | "yaml" | "yml") {
            *bytes += std::fs::metadata(&path).map_err(error(&path))?.len();
            if *bytes > MAX_BYTES {
                return Err(LoadError::TooLarge);
            }
            let text = std::fs::read_to_string(&path).map_err(error(&path))?;
            files.push((path.strip_prefix(root).unwrap_or(&path).to_owned(), text));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(id: &str) -> String {
        format!(r#"{{"id":"{id}","question":"问题{id}","answer":"答"}}"#)
    }

    #[test]
    fn mounted_config_maps_are_read_together_and_once() {
        let folder = tempfile::tempdir().unwrap();
        for (map, id) in [("one", "a"), ("two", "b")] {
            let map = folder.path().join(map);
            std::fs::create_dir_all(map.join("..data")).unwrap();
            std::fs::write(map.join("..data/k.jsonl"), line(id)).unwrap();
            std::fs::write(map.join("k.jsonl"), line(id)).unwrap();
            std::fs::write(map.join("notes.txt"), "not knowledge").unwrap();
        }
        let (digest, loaded) = load_if_changed(folder.path(), None);
        assert_eq!(loaded.unwrap().unwrap().entries().len(), 2);
        assert!(
            load_if_changed(folder.path(), digest.as_deref()).1.is_none(),
            "unchanged"
        );
    }

    #[test]
    fn what_does_not_parse_is_named_by_file_and_line() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("k.jsonl"), format!("{}\n{{", line("a"))).unwrap();
        let error = load_if_changed(folder.path(), None).1.unwrap().unwrap_err();
        assert!(error.to_string().contains("k.jsonl, line 2"), "{error}");
    }
}
