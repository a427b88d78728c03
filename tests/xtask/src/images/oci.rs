//! An OCI image layout in a tar file, made with the system's tar and sha256sum. The same contents give the same bytes.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use crate::command::{command, output};

/// What goes into an image.
pub(crate) struct Contents<'a> {
    /// Full name with tag.
    pub(crate) name: &'a str,
    /// Program to run.
    pub(crate) entrypoint: &'a str,
    /// Files from here, and their paths inside.
    pub(crate) files: Vec<(PathBuf, String)>,
    /// User and group, as numbers.
    pub(crate) user: &'a str,
}

/// A packed image.
pub(crate) struct Image {
    /// Full name with tag.
    pub(crate) name: String,
    /// Digest of its manifest.
    pub(crate) digest: String,
    /// The tar file.
    pub(crate) archive: PathBuf,
}

/// Packs an image; `work` is a folder to use and remove.
pub(crate) fn pack(contents: &Contents<'_>, work: &Path, archive: &Path) -> Result<Image> {
    let (root, layout) = (work.join("root"), work.join("layout"));
    let _ = fs::remove_dir_all(work);
    fs::create_dir_all(layout.join("blobs/sha256"))?;
    fill(&root, contents)?;
    let layer_file = work.join("layer.tar");
    tar(&root, &layer_file)?;
    let layer = blob(&layout, &layer_file, "application/vnd.oci.image.layer.v1.tar")?;
    let config = json!({
        "architecture": architecture()?, "os": "linux",
        "config": {
            "User": contents.user, "Entrypoint": [contents.entrypoint], "WorkingDir": "/",
            "Env": ["PATH=/usr/local/bin:/usr/bin:/bin"],
        },
        "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]},
    });
    let config = json_blob(work, &layout, &config, "application/vnd.oci.image.config.v1+json")?;
    let kind = "application/vnd.oci.image.manifest.v1+json";
    let manifest = json!({"schemaVersion": 2, "mediaType": kind, "config": config, "layers": [layer]});
    let mut entry = json_blob(work, &layout, &manifest, kind)?;
    let digest = entry["digest"].as_str().unwrap_or_default().to_owned();
    entry["annotations"] = json!({"io.containerd.image.name": contents.name});
    fs::write(
        layout.join("index.json"),
        json!({"schemaVersion": 2, "manifests": [entry]}).to_string(),
    )?;
    fs::write(
        layout.join("oci-layout"),
        json!({"imageLayoutVersion": "1.0.0"}).to_string(),
    )?;
    tar(&layout, archive)?;
    fs::remove_dir_all(work)?;
    Ok(Image {
        name: contents.name.to_owned(),
        digest,
        archive: archive.to_path_buf(),
    })
}

fn fill(root: &Path, contents: &Contents<'_>) -> Result<()> {
    for folder in ["etc", "tmp"] {
        fs::create_dir_all(root.join(folder))?;
    }
    fs::set_permissions(root.join("tmp"), fs::Permissions::from_mode(0o1777))?;
    fs::write(
        root.join("etc/passwd"),
        "root:x:0:0:root:/:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/tmp:/sbin/nologin\n",
    )?;
    fs::write(root.join("etc/group"), "root:x:0:\nnonroot:x:65532:\n")?;
    for (from, to) in &contents.files {
        let path = root.join(to.trim_start_matches('/'));
        fs::create_dir_all(path.parent().unwrap_or(root))?;
        fs::copy(from, &path).with_context(|| format!("cannot copy {}", from.display()))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
    }
    Ok(())
}

fn tar(folder: &Path, archive: &Path) -> Result<()> {
    let same = [
        "--sort=name",
        "--mtime=@0",
        "--owner=0",
        "--group=0",
        "--numeric-owner",
        "--format=ustar",
    ];
    let mut tar = command(&["tar", "--create"]);
    output(
        tar.args(same)
            .arg("--file")
            .arg(archive)
            .arg("--directory")
            .arg(folder)
            .arg("."),
    )
    .map(drop)
}

/// Moves a file among the blobs; returns its descriptor.
fn blob(layout: &Path, file: &Path, kind: &str) -> Result<Value> {
    let sum = output(command(&["sha256sum", "--"]).arg(file))?;
    let sum = sum.split_whitespace().next().context("sha256sum said nothing")?;
    let size = fs::metadata(file)?.len();
    fs::rename(file, layout.join("blobs/sha256").join(sum))?;
    Ok(json!({"mediaType": kind, "digest": format!("sha256:{sum}"), "size": size}))
}

fn json_blob(work: &Path, layout: &Path, value: &Value, kind: &str) -> Result<Value> {
    let file = work.join("blob.json");
    fs::write(&file, value.to_string())?;
    blob(layout, &file, kind)
}

fn architecture() -> Result<&'static str> {
    match std::env::consts::ARCH {
        "x86_64" => Ok("amd64"),
        "aarch64" => Ok("arm64"),
        other => bail!("images are not packed for {other}"),
    }
}

/// Remembers which binary an archive was packed from.
pub(crate) struct Stamp {
    file: PathBuf,
    mark: String,
}

impl Stamp {
    /// The mark of a binary is its size and time of change.
    pub(crate) fn of(binary: &Path, file: &Path) -> Result<Self> {
        let about = fs::metadata(binary)?;
        let changed = about.modified()?.duration_since(UNIX_EPOCH)?.as_nanos();
        Ok(Self {
            file: file.to_path_buf(),
            mark: format!("1 {} {changed}", about.len()),
        })
    }

    /// The digest of the image packed from this very binary, if its archive is there.
    pub(crate) fn current(&self, archive: &Path) -> Option<String> {
        let saved = fs::read_to_string(&self.file)
            .ok()
            .filter(|_| archive.is_file())?;
        saved
            .strip_prefix(&self.mark)?
            .strip_prefix('\n')
            .map(|digest| digest.trim().to_owned())
    }

    /// Remembers the image.
    pub(crate) fn save(&self, digest: &str) -> Result<()> {
        fs::write(&self.file, format!("{}\n{digest}\n", self.mark)).context("cannot write the image's stamp")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_contents_give_the_same_image_and_a_stamp_knows_its_binary() {
        let folder = std::env::temp_dir().join(format!("xtask-oci-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        let binary = folder.join("program");
        fs::write(&binary, "one").expect("a file");
        let files = vec![(binary.clone(), "/program".to_owned())];
        let contents = Contents {
            name: "springtide.dev/test:1",
            entrypoint: "/program",
            files,
            user: "1:1",
        };
        let first = pack(&contents, &folder.join("work"), &folder.join("a.tar")).expect("packed");
        let second = pack(&contents, &folder.join("work"), &folder.join("b.tar")).expect("packed again");
        assert_eq!(first.digest, second.digest);

        let stamp_file = folder.join("stamp");
        Stamp::of(&binary, &stamp_file)
            .and_then(|stamp| stamp.save(&first.digest))
            .expect("stamped");
        let current = |archive: &Path| Stamp::of(&binary, &stamp_file).expect("a stamp").current(archive);
        assert_eq!(current(&first.archive), Some(first.digest));
        fs::write(&binary, "changed").expect("changed");
        assert_eq!(current(&first.archive), None);
        fs::remove_dir_all(folder).expect("removed");
    }
}
