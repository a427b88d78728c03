//! From a report to what is counted.
//!
//! - An *event* is a thing that happened and may cost; its *identity* is (ledger, source, id), its *key* a fingerprint of that. A *report* is a witness
//!   saying that it happened; an event has one or more.
//! - A *ledger* is where usage of one (tenant UID, tenant name) gathers, whether or not an account is registered for it:
//!   usage that comes before its account is kept, and a name that does not belong to a UID reaches nobody's bill.
//! - A *standing* ([`standing`]) is what the reports of an event say together: who witnessed it, whether it reached the
//!   customer, whether it was undone. It alone decides whether the event is *billable*.
//! - A *meter* ([`meters`]) is what is counted: built in, or named by a plan of the tenant; any other is rejected.
//! - [`modules`] says which modules were taken when, as far as it was recorded until an instant.
//! - [`own`]: what events of our own workers and gateways must say of themselves; of the ends of one conversation the latest
//!   counts, whoever says it and in whatever order.
//! - [`erase`] takes out of what is kept whatever tells which customer it was.
//! - [`examine`] turns a wire record into a report or a rejection; [`decide`] says what a batch of reports changes; the
//!   store applies it in one transaction; [`writer`] merges concurrent batches into one; [`assume`] spares large ones a look.

/// Most records of a call.
pub const MAX_RECORDS: usize = 10_000;
/// Largest message or body: a full batch of the largest records, with room.
pub const MAX_MESSAGE: usize = 64 << 20;

pub mod assume;
pub mod decide;
pub mod erase;
pub mod examine;
pub mod meters;
pub mod modules;
pub mod own;
pub mod report;
pub mod retention;
pub mod standing;
pub mod writer;
