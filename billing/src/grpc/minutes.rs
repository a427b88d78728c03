//! `Metering.ReportMinutes`: for the gateways of tenants, and for the operator's probes of their public doors.

use jiff::Timestamp;
use springtide_proto::error::{ApiError, Reason};
use springtide_proto::metering::record_result::Status;
use springtide_proto::metering::{RecordResult, ReportMinutesRequest};
use springtide_runtime::identity::{PeerIdentity, refused};

use crate::service_level::hour::Offered;
use crate::service_level::report::{ReportedMinute, examine};
use crate::store::Store;

/// A result for each minute, in the order of the request.
pub(super) async fn take(
    store: &Store,
    request: ReportMinutesRequest,
    peer: &PeerIdentity,
    now: Timestamp,
) -> Result<Vec<RecordResult>, ApiError> {
    let report = examine(request, peer, now)?;
    // A UID of another name is answered like any other tenant's.
    let offered = store.take_minutes(&report).await?.ok_or_else(refused)?;
    let mut offered = offered.into_iter();
    let results = report.minutes.iter().map(|minute| match minute {
        Ok(minute) => result_of(minute, offered.next().unwrap_or(Offered::Other)),
        Err(error) => refusal(Status::Rejected, error),
    });
    Ok(results.collect())
}

fn result_of(minute: &ReportedMinute, offered: Offered) -> RecordResult {
    let plain = |status: Status| RecordResult {
        status: status.into(),
        ..RecordResult::default()
    };
    match offered {
        Offered::New => plain(Status::Accepted),
        Offered::Same => plain(Status::Duplicate),
        Offered::Other => {
            let message = format!(
                "the minute {} of pool {} and boot id {} was reported before with other counts; the first ones stand",
                minute.begins(),
                minute.pool,
                minute.boot_id
            );
            refusal(Status::Conflict, &ApiError::new(Reason::MinuteConflict, message))
        }
    }
}

fn refusal(status: Status, error: &ApiError) -> RecordResult {
    RecordResult {
        status: status.into(),
        reason: error.reason.as_str().to_owned(),
        message: error.message.clone(),
    }
}
