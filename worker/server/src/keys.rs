//! The tenant's token keys: one 256-bit key a generation. The two highest generations are valid, the highest one seals, so
//! that a key can be changed without refusing a token that a client holds.

use std::path::{Path, PathBuf};

use ring::aead::{AES_256_GCM, LessSafeKey, UnboundKey};

/// Bytes of a key.
const KEY_BYTES: usize = 32;

/// Why keys cannot be used. Never carries a byte of one.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// The folder or a file cannot be read.
    #[error("{} cannot be read", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// A file is not 32 bytes.
    #[error("token key {generation} has {length} bytes; it needs 32")]
    Length {
        /// Which generation.
        generation: u32,
        /// Its length in bytes.
        length: usize,
    },
    /// There is no file named 1, 2, …
    #[error("{} holds no token key: a file of 32 bytes named 1 is needed", .0.display())]
    None(PathBuf),
}

/// See the module.
pub struct TokenKeys {
    current: (u32, LessSafeKey),
    previous: Option<(u32, LessSafeKey)>,
}

impl TokenKeys {
    /// Reads the folder; files whose name is not a number are not keys.
    pub fn from_folder(folder: &Path) -> Result<Self, KeysError> {
        let read_error = |path: &Path| {
            let path = path.to_owned();
            move |source| KeysError::Read { path, source }
        };
        let mut keys = Vec::new();
        for file in std::fs::read_dir(folder).map_err(read_error(folder))? {
            let path = file.map_err(read_error(folder))?.path();
            let name = path
                .file_name()
                .and_then(|name| name.to_str())
                .unwrap_or_default();
            if let Ok(generation) = name.parse::<u32>() {
                keys.push((generation, std::fs::read(&path).map_err(read_error(&path))?));
            }
        }
        Self::from_generations(keys)?.ok_or_else(|| KeysError::None(folder.to_owned()))
    }

    /// From `(generation, key)`; `None` if there is none.
    pub fn from_generations(mut keys: Vec<(u32, Vec<u8>)>) -> Result<Option<Self>, KeysError> {
        keys.sort_by_key(|(generation, _)| std::cmp::Reverse(*generation));
        let mut valid = keys.into_iter().take(2).map(|(generation, key)| {
            let wrong = || KeysError::Length {
                generation,
                length: key.len(),
            };
            let key = Some(&key)
                .filter(|key| key.len() == KEY_BYTES)
                .ok_or_else(wrong)?;
            let key = UnboundKey::new(&AES_256_GCM, key).map_err(|_| wrong())?;
            Ok((generation, LessSafeKey::new(key)))
        });
        let Some(current) = valid.next().transpose()? else {
            return Ok(None);
        };
        Ok(Some(Self {
            current,
            previous: valid.next().transpose()?,
        }))
    }

    /// The generation and key that seal.
    pub fn sealing(&self) -> (u32, &LessSafeKey) {
        (self.current.0, &self.current.1)
    }

    /// The key of that generation, if it is still valid.
    pub fn opening(&self, generation: u32) -> Option<&LessSafeKey> {
        std::iter::once(&self.current)
            .chain(&self.previous)
            .find(|(known, _)| *known == generation)
            .map(|(_, key)| key)
    }
}
