//! Compiles the contracts with protox (no protoc needed) and keeps the descriptor set for reflection.
use prost::Message as _;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    const FILES: [&str; 4] = [
        "springtide/conversation/v1/conversation.proto",
        "springtide/fleet/v1/fleet.proto",
        "springtide/metering/v1/metering.proto",
        "springtide/tenancy/v1/tenancy.proto",
    ];
    println!("cargo:rerun-if-changed=proto");
    let descriptors = protox::compile(FILES, ["proto"])?;
    let out = std::path::PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("descriptors.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure()
        .bytes(".springtide.conversation.v1.Reply")
        .bytes(".springtide.metering.v1.Record")
        .compile_fds(descriptors)?;
    Ok(())
}
