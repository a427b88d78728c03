//! `images`: our binaries as OCI images, packed without a container engine.
//!
//! An image holds a stripped copy of its binary, the shared libraries that it loads, a user list and /tmp. It is packed
//! again only when the binary changed.

pub(crate) mod oci;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::Args;

use crate::cluster::layout::State;
use crate::cluster::{self, node_images, on_each_node};
use crate::command::{command, output};
use crate::progress::{Step, alone};
use crate::workspace;

/// Version in the images' names.
const VERSION: &str = env!("CARGO_PKG_VERSION");
/// Our binaries: `springtide-NAME` becomes `springtide.dev/NAME`.
const NAMES: [&str; 4] = ["operator", "worker", "gateway", "billing"];

/// Options of `images`.
#[derive(Args)]
pub(crate) struct Options {
    /// Import the images into both nodes of the running cluster.
    #[arg(long)]
    load: bool,
    /// Take the binaries as they are, without building first.
    #[arg(long)]
    no_build: bool,
    /// Folder of the running cluster, for --load.
    #[arg(long, env = cluster::STATE_VARIABLE, default_value = cluster::DEFAULT_STATE)]
    state: PathBuf,
}

/// Packs, and loads if asked.
pub(crate) fn run(options: &Options) -> Result<()> {
    if !options.no_build {
        let mut build = workspace::cargo()?;
        build.args(["build", "--workspace", "--all-targets", "--locked"]);
        alone("build", |step| step.run(&mut build))?;
    }
    let images = alone("images", pack_all)?;
    if options.load {
        let state = State::new(&options.state)?;
        alone("load images", |step| load(step, &state, &images))?;
    }
    Ok(())
}

/// Packs all our binaries; returns the images.
pub(crate) fn pack_all(step: &Step) -> Result<Vec<oci::Image>> {
    NAMES.into_iter().map(|name| pack(step, name)).collect()
}

/// Imports images into both nodes, save those that a node already has.
pub(crate) fn load(step: &Step, state: &State, images: &[oci::Image]) -> Result<()> {
    on_each_node(|node| {
        let present = node_images(state, node)?;
        for image in images {
            if !present.contains(&(image.name.clone(), image.digest.clone())) {
                step.note(&format!("{} to {}", image.name, node.name));
                cluster::load_image(state, node, &image.archive)?;
            }
        }
        Ok(())
    })
}

fn pack(step: &Step, name: &str) -> Result<oci::Image> {
    let target = workspace::target()?;
    let program = format!("springtide-{name}");
    let binary = target.join("debug").join(&program);
    let folder = target.join("images");
    let archive = folder.join(format!("{name}.tar"));
    let image_name = format!("springtide.dev/{name}:{VERSION}");
    let stamp = oci::Stamp::of(&binary, &folder.join(format!("{name}.stamp"))).with_context(|| {
        format!(
            "{} is missing; build it with `cargo build --workspace`",
            binary.display()
        )
    })?;
    if let Some(digest) = stamp.current(&archive) {
        return Ok(oci::Image {
            name: image_name,
            digest,
            archive,
        });
    }
    step.note(&format!("packing {image_name}"));
    std::fs::create_dir_all(&folder)?;
    let stripped = folder.join(&program);
    output(
        command(&["strip", "--strip-all", "-o"])
            .arg(&stripped)
            .arg(&binary),
    )?;
    let inside = format!("/usr/local/bin/{program}");
    let mut files = libraries(&stripped)?;
    files.push((stripped.clone(), inside.clone()));
    let contents = oci::Contents {
        name: &image_name,
        entrypoint: &inside,
        files,
        user: "65532:65532",
    };
    let image = oci::pack(&contents, &folder.join(format!("{name}.work")), &archive)?;
    std::fs::remove_file(stripped)?;
    stamp.save(&image.digest)?;
    Ok(image)
}

/// The shared libraries that a program loads, each to be at the same path inside.
fn libraries(binary: &Path) -> Result<Vec<(PathBuf, String)>> {
    let text = output(command(&["ldd"]).arg(binary))?;
    let paths = text
        .lines()
        .filter_map(|line| line.split_whitespace().find(|word| word.starts_with('/')));
    Ok(paths.map(|path| (PathBuf::from(path), path.to_owned())).collect())
}
