//! Springtide's contracts: what passes between its parts, and the words for it.
//!
//! - [`conversation`], [`fleet`], [`metering`], [`tenancy`]: code generated from `proto/`.
//! - [`codec`]: small buffers for streams that last.
//! - [`ids`]: newtypes for identities. A handler's first line turns wire strings into them; behind it only newtypes travel.
//! - [`ended`]: the usage event of a conversation that ended.
//! - [`epoch`]: the order of a leader's commands.
//! - [`error`]: one table of reasons with their gRPC code and HTTP status.
//! - [`event`]: the usage event of an interaction, encoded so that both witnesses hold the same bytes.
//! - [`masked`]: short texts without personal data.
//! - [`rated`]: the usage event of a rating.
//! - [`time`]: protobuf timestamps and durations to and from [`jiff`].

pub mod codec;
pub mod ended;
pub mod epoch;
pub mod error;
pub mod event;
pub mod ids;
pub mod masked;
pub mod rated;
pub mod time;

#[expect(
    missing_docs,
    clippy::pedantic,
    clippy::allow_attributes,
    reason = "generated; the documentation is in the .proto files"
)]
mod generated {
    pub mod conversation {
        tonic::include_proto!("springtide.conversation.v1");
    }
    pub mod fleet {
        tonic::include_proto!("springtide.fleet.v1");
    }
    pub mod metering {
        tonic::include_proto!("springtide.metering.v1");
    }
    pub mod tenancy {
        tonic::include_proto!("springtide.tenancy.v1");
    }
}
pub use generated::{conversation, fleet, metering, tenancy};

/// The encoded `FileDescriptorSet` of all contracts, for gRPC reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
