//! The back office: what the provider's own people see and do of all tenants' bills. It listens on an address of its own, which
//! by default only the machine itself reaches, and has its own tokens; a client firm's open nothing here.
//!
//! - [`month`]: what was billed, and runs over all tenants;
//! - [`reviews`]: drafts that wait for approval;
//! - [`bills`]: a bill, and what becomes of it; disputes;
//! - [`plans`]: what is billed by, and what a change of it would come to.

pub mod bills;
pub mod month;
mod pages;
pub mod plans;
pub mod reviews;
pub(super) mod texts;
pub mod visit;

use axum::routing::{get, post};

use super::Routes;
pub(super) use visit::session_secret;

/// All there are: the tests that walk them without a token take them from here.
pub(super) fn routes() -> Routes {
    vec![
        ("/", get(visit::sign_in_form)),
        ("/office/sign-in", get(visit::sign_in_form).post(visit::sign_in)),
        ("/office/sign-out", post(visit::sign_out)),
        ("/office", get(month::month)),
        ("/office/runs", post(month::begin_run)),
        (
            "/office/reviews",
            get(reviews::queue).post(reviews::approve_chosen),
        ),
        ("/office/reviews/{ledger}", get(reviews::draft)),
        ("/office/disputes", get(bills::disputes)),
        ("/office/bills", get(bills::find)),
        ("/office/bills/{number}", get(bills::bill)),
        ("/office/bills/{number}/{act}", post(bills::answer)),
        ("/office/plans", get(plans::plans)),
        ("/office/plans/{name}", get(plans::plan).post(plans::try_plan)),
        ("/office/audit", get(month::audit)),
    ]
}
