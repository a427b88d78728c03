//! One table of what can go wrong at a door, with its gRPC code and its HTTP status.
//!
//! Wire errors carry a `google.rpc.ErrorInfo` (domain `springtide.dev`, `reason` of this table) and, where a field is at
//! fault, a `google.rpc.BadRequest`. HTTP bodies are `{"error":{"reason","message","field"}}`.

use std::fmt;

use tonic_types::{ErrorDetails, StatusExt as _};

/// `ErrorInfo.domain` of every error of Springtide.
pub const DOMAIN: &str = "springtide.dev";

macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident = $text:literal, $code:ident, $http:literal;)+) => {
        /// What went wrong, from a bounded set: also a label of metrics.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Reason { $($(#[$doc])* $variant,)+ }

        impl Reason {
            /// All reasons, for documentation and tests.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];
            /// Text on the wire.
            pub fn as_str(self) -> &'static str { match self { $(Self::$variant => $text,)+ } }
            /// The gRPC code that goes with it.
            pub fn grpc_code(self) -> tonic::Code { match self { $(Self::$variant => tonic::Code::$code,)+ } }
            /// The HTTP status that goes with it.
            pub fn http_status(self) -> u16 { match self { $(Self::$variant => $http,)+ } }
            /// The reason of that text.
            pub fn from_wire(text: &str) -> Option<Self> {
                match text { $($text => Some(Self::$variant),)+ _ => None }
            }
        }
    };
}

reasons! {
    /// A field is missing, malformed or too large; `field` names it.
    InvalidArgument = "INVALID_ARGUMENT", InvalidArgument, 400;
    /// No token, or one that nobody issued.
    Unauthenticated = "UNAUTHENTICATED", Unauthenticated, 401;
    /// A known peer that may not do this. Says nothing of what exists.
    PermissionDenied = "PERMISSION_DENIED", PermissionDenied, 403;
    /// There is none, or none that the caller may see.
    NotFound = "NOT_FOUND", NotFound, 404;
    /// It was there, and is kept no longer, as its contract says.
    NoLongerKept = "NO_LONGER_KEPT", NotFound, 410;
    /// The turn id was used before with another text.
    TurnConflict = "TURN_CONFLICT", AlreadyExists, 409;
    /// The resume token is altered, expired, or of another conversation or tenant.
    ResumeTokenRefused = "RESUME_TOKEN_REFUSED", PermissionDenied, 403;
    /// The worker has no room for a new conversation: try another.
    WorkerFull = "WORKER_FULL", ResourceExhausted, 503;
    /// The worker is cordoned or ending: try another.
    WorkerDraining = "WORKER_DRAINING", Unavailable, 503;
    /// The worker has no knowledge it can answer from.
    WorkerNotReady = "WORKER_NOT_READY", Unavailable, 503;
    /// The waiting room is full.
    WaitingRoomFull = "WAITING_ROOM_FULL", ResourceExhausted, 503;
    /// The turn was not answered in time.
    TimedOut = "TIMED_OUT", DeadlineExceeded, 504;
    /// The spool cannot be written (disk full or failing): nothing is accepted that could be lost.
    SpoolUnavailable = "SPOOL_UNAVAILABLE", Unavailable, 503;
    /// A usage event of that identity exists with another payload.
    EventConflict = "EVENT_CONFLICT", AlreadyExists, 409;
    /// The meter, quantity, time or another part of a usage event is wrong.
    EventRejected = "EVENT_REJECTED", InvalidArgument, 400;
    /// The minute was reported before with other counts.
    MinuteConflict = "MINUTE_CONFLICT", AlreadyExists, 409;
    /// The rate plan's version was used by a bill and never changes.
    PlanChanged = "PLAN_CHANGED", FailedPrecondition, 409;
    /// The rate plan contradicts itself.
    PlanInvalid = "PLAN_INVALID", InvalidArgument, 400;
    /// The account, statement or bill is not in a state that allows this.
    FailedPrecondition = "FAILED_PRECONDITION", FailedPrecondition, 409;
    /// This replica does not lead.
    NotLeader = "NOT_LEADER", Unavailable, 503;
    /// More requests than allowed: come back later.
    TooManyRequests = "TOO_MANY_REQUESTS", ResourceExhausted, 429;
    /// Something needed is away for the moment: try again.
    Unavailable = "UNAVAILABLE", Unavailable, 503;
    /// Our fault; the log has the cause.
    Internal = "INTERNAL", Internal, 500;
}

/// An error as a caller may see it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ApiError {
    /// From the table.
    pub reason: Reason,
    /// A sentence for the person who called; says what to do where something can be done.
    pub message: String,
    /// The field at fault, as "turn.text".
    pub field: Option<String>,
}

impl ApiError {
    /// An error without a field.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self {
            reason,
            message: message.into(),
            field: None,
        }
    }

    /// A wrong field: `message` says the rule.
    pub fn invalid(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            reason: Reason::InvalidArgument,
            message: message.into(),
            field: Some(field.into()),
        }
    }

    /// Names the field at fault.
    #[must_use]
    pub fn with_field(mut self, field: impl Into<String>) -> Self {
        self.field = Some(field.into());
        self
    }

    /// The body of an HTTP answer.
    pub fn http_body(&self) -> serde_json::Value {
        serde_json::json!({"error": {"reason": self.reason.as_str(), "message": self.message, "field": self.field}})
    }

    /// What a peer's status says; anything outside the table is [`Reason::Unavailable`] or [`Reason::Internal`] by its code.
    pub fn from_status(status: &tonic::Status) -> Self {
        let details = status.get_error_details();
        let reason = details
            .error_info()
            .filter(|info| info.domain == DOMAIN)
            .and_then(|info| Reason::from_wire(&info.reason))
            .unwrap_or_else(|| match status.code() {
                tonic::Code::InvalidArgument => Reason::InvalidArgument,
                tonic::Code::PermissionDenied => Reason::PermissionDenied,
                tonic::Code::Unauthenticated => Reason::Unauthenticated,
                tonic::Code::NotFound => Reason::NotFound,
                tonic::Code::DeadlineExceeded => Reason::TimedOut,
                tonic::Code::Internal | tonic::Code::Unimplemented | tonic::Code::DataLoss => {
                    Reason::Internal
                }
                _ => Reason::Unavailable,
            });
        let field = details
            .bad_request()
            .and_then(|bad| bad.field_violations.first())
            .map(|violation| violation.field.clone());
        Self {
            reason,
            message: status.message().to_owned(),
            field,
        }
    }
}

impl From<ApiError> for tonic::Status {
    fn from(error: ApiError) -> Self {
        let mut details =
            ErrorDetails::with_error_info(error.reason.as_str(), DOMAIN, std::collections::HashMap::new());
        if let Some(field) = &error.field {
            details.add_bad_request_violation(field.clone(), error.message.clone());
        }
        Self::with_error_details(error.reason.grpc_code(), error.message, details)
    }
}

impl From<ApiError> for crate::conversation::Error {
    fn from(error: ApiError) -> Self {
        Self {
            reason: error.reason.as_str().to_owned(),
            message: error.message,
            field: error.field.unwrap_or_default(),
        }
    }
}

impl From<crate::conversation::Error> for ApiError {
    fn from(wire: crate::conversation::Error) -> Self {
        let crate::conversation::Error {
            reason,
            message,
            field,
        } = wire;
        Self {
            reason: Reason::from_wire(&reason).unwrap_or(Reason::Internal),
            message,
            field: (!field.is_empty()).then_some(field),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_survives_the_wire_with_its_field() {
        for &reason in Reason::ALL {
            let error = ApiError::new(reason, "a sentence").with_field("turn.text");
            assert_eq!(ApiError::from_status(&tonic::Status::from(error.clone())), error);
            assert_eq!(
                ApiError::from(crate::conversation::Error::from(error.clone())),
                error
            );
        }
    }

    #[test]
    fn refusals_of_identity_are_401_or_403() {
        assert_eq!(Reason::Unauthenticated.http_status(), 401);
        assert_eq!(Reason::PermissionDenied.http_status(), 403);
    }
}
