//! Compiles the contracts with protox (no protoc needed) and keeps the descriptor set for reflection.
use prost::Message as _;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    const STREAMS: [&str; 1] = ["springtide/fleet/v1/fleet.proto"];
    const CALLS: [&str; 3] = [
        "springtide/conversation/v1/conversation.proto",
        "springtide/metering/v1/metering.proto",
        "springtide/tenancy/v1/tenancy.proto",
    ];
    println!("cargo:rerun-if-changed=proto");
    let descriptors = protox::compile(STREAMS.iter().chain(&CALLS), ["proto"])?;
    let out = std::path::PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("descriptors.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure()
        .bytes(".springtide.conversation.v1.Reply")
        .bytes(".springtide.conversation.v1.SpooledRecord")
        .bytes(".springtide.metering.v1.Record")
        .compile_fds(protox::compile(CALLS, ["proto"])?)?;
    // A worker's or gateway's stream lasts as long as it does, and the operator has thousands.
    tonic_prost_build::configure()
        .codec_path("crate::codec::SmallBuffers")
        .compile_fds(protox::compile(STREAMS, ["proto"])?)?;
    Ok(())
}
