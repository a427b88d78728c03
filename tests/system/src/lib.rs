//! Springtide's system tests: what a real cluster must show, and the demo's course.
//!
//! - [`data`]: knowledge and customers' questions, ours or a user's.
//! - [`trace`]: arrival curves, compressed in time.
//! - [`load`]: the load generator: customers who ask until they are answered, and the ledger of what they got.
//! - [`cluster`]: kubectl and helm of the running cluster.
//! - [`late`]: a door before the API server that holds back what watches of Pods say.
//! - [`manifests`]: tenants, pools, plans and promotions to apply.
//! - [`course`]: the demo: its load, its faults, its promotion, its bills.
//! - [`promotion`]: a promotion of three times the load, and customers who come all at once.
//! - [`scale`]: thousands of pools on a real API server, with simulated workers.
//! - [`parts`]: workers and gateways in this process.
//! - [`turns`]: the ledger of a run with those: customers' side and witnesses' side of each turn.
//! - [`ends`]: what witnesses of such a run said of conversations that ended.
//! - [`chaos`]: scale-in under load with those.
//! - [`assignment`]: how long a new conversation takes to a warm worker, with those.
//! - [`ingest`]: how fast billing takes usage.
//! - [`reads`]: how fast a client firm reads its bills.
//! - [`resources`]: what this process used.
//! - [`report`]: every figure of a course, computed from the files that it left.

pub mod assignment;
pub mod chaos;
pub mod cluster;
pub mod course;
pub mod data;
pub mod ends;
pub mod ingest;
pub mod late;
pub mod load;
pub mod manifests;
pub mod parts;
pub mod promotion;
pub mod reads;
pub mod report;
pub mod resources;
pub mod scale;
pub mod trace;
pub mod turns;
