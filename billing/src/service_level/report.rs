//! The edge: a report of minutes from the wire, checked against the certificate that it came with.

use jiff::{SignedDuration, Timestamp};
use springtide_proto::error::{ApiError, Reason};
use springtide_proto::ids::{BootId, PodName, PoolId, TenantId, TenantUid};
use springtide_proto::metering::{ReportMinutesRequest, ServiceMinute};
use springtide_proto::time::timestamp_from_wire;
use springtide_runtime::identity::{PeerIdentity, SystemRole, TenantRole, refused};

use super::hour::Counts;
use crate::metering::report::Party;

/// Most minutes of a call.
pub const MAX_MINUTES: usize = 10_000;
/// How far ahead of the clock a minute may begin.
const FUTURE_TOLERANCE: SignedDuration = SignedDuration::from_hours(1);
/// Most turns of one minute of one gateway: beyond what any can take.
const MAX_COUNT: u64 = 1_000_000_000;
const MINUTE: i64 = 60;
const HOUR: i64 = 3_600;

/// A report whose sender may send it.
#[derive(Clone, Debug)]
pub struct MinutesReport {
    /// Whose service.
    pub party: Party,
    /// Pod that reports.
    pub reporter: PodName,
    /// By the operator, of the public door.
    pub is_probe: bool,
    /// Each minute, or why it is none.
    pub minutes: Vec<Result<ReportedMinute, ApiError>>,
}

/// One minute of one pool and one start of a gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportedMinute {
    /// Which pool.
    pub pool: PoolId,
    /// Which start.
    pub boot_id: BootId,
    /// The second at which its hour begins.
    pub hour: i64,
    /// Which minute of that hour.
    pub minute: usize,
    /// What was counted.
    pub counts: Counts,
}

impl ReportedMinute {
    /// The instant at which it begins.
    pub fn begins(&self) -> Timestamp {
        let second = self.hour + i64::try_from(self.minute).unwrap_or_default() * MINUTE;
        Timestamp::from_second(second).unwrap_or_default()
    }
}

/// Checks all that can be known without the store; an error refuses the whole.
pub fn examine(
    request: ReportMinutesRequest,
    peer: &PeerIdentity,
    now: Timestamp,
) -> Result<MinutesReport, ApiError> {
    let ReportMinutesRequest {
        tenant_uid,
        tenant,
        reporter,
        minutes,
    } = request;
    let tenant = TenantId::parse(tenant)?;
    let is_probe = may_report(peer, &tenant)?;
    if !(1..=MAX_MINUTES).contains(&minutes.len()) {
        let message = format!("minutes must be 1 to {MAX_MINUTES}, not {}", minutes.len());
        return Err(ApiError::invalid("minutes", message));
    }
    Ok(MinutesReport {
        party: Party {
            tenant_uid: TenantUid::parse(tenant_uid)?,
            tenant,
        },
        reporter: PodName::parse(reporter)?,
        is_probe,
        minutes: minutes
            .into_iter()
            .map(|minute| minute_of(minute, is_probe, now))
            .collect(),
    })
}

/// The tenant's own gateways; the operator for its probes, which is what the `true` says.
fn may_report(peer: &PeerIdentity, tenant: &TenantId) -> Result<bool, ApiError> {
    match peer {
        PeerIdentity::Tenant {
            tenant: own,
            role: TenantRole::Gateway,
        } if own == tenant => Ok(false),
        PeerIdentity::System(SystemRole::Operator) => Ok(true),
        _ => Err(refused()),
    }
}

fn minute_of(wire: ServiceMinute, is_probe: bool, now: Timestamp) -> Result<ReportedMinute, ApiError> {
    let ServiceMinute {
        pool,
        boot_id,
        minute,
        good,
        bad,
        fast,
        slow,
    } = wire;
    let minute = timestamp_from_wire(minute, "minute")?;
    let second = minute.as_second();
    if minute.subsec_nanosecond() != 0 || second.rem_euclid(MINUTE) != 0 {
        return Err(ApiError::invalid(
            "minute",
            "minute must begin on a whole minute of UTC",
        ));
    }
    if second < 0 || minute > now.saturating_add(FUTURE_TOLERANCE).unwrap_or(Timestamp::MAX) {
        return Err(ApiError::invalid(
            "minute",
            "minute lies before 1970 or in the future",
        ));
    }
    if [good, bad, fast, slow].iter().any(|count| *count > MAX_COUNT) {
        return Err(ApiError::invalid(
            "good",
            format!("each count must be at most {MAX_COUNT}"),
        ));
    }
    if fast + slow != good {
        return Err(ApiError::invalid("fast", "fast and slow together must be good"));
    }
    if is_probe && (good, bad) != (0, 1) {
        return Err(ApiError::new(
            Reason::InvalidArgument,
            "a probe reports a minute only when it is bad, as one bad turn",
        ));
    }
    Ok(ReportedMinute {
        pool: PoolId::parse(pool)?,
        boot_id: BootId::parse(boot_id)?,
        hour: second.div_euclid(HOUR) * HOUR,
        minute: usize::try_from(second.rem_euclid(HOUR) / MINUTE).unwrap_or_default(),
        counts: Counts {
            good,
            bad,
            fast,
            slow,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use springtide_proto::time::timestamp_to_wire;

    fn at(time: &str) -> Timestamp {
        time.parse().unwrap()
    }

    fn minute(time: &str) -> ServiceMinute {
        ServiceMinute {
            pool: "web".into(),
            boot_id: "boot".into(),
            minute: Some(timestamp_to_wire(at(time))),
            good: 3,
            bad: 1,
            fast: 2,
            slow: 1,
        }
    }

    fn report(peer: &PeerIdentity, minutes: Vec<ServiceMinute>) -> Result<MinutesReport, ApiError> {
        let request = ReportMinutesRequest {
            tenant_uid: "uid".into(),
            tenant: "acme".into(),
            reporter: "gateway-0".into(),
            minutes,
        };
        examine(request, peer, at("2026-11-11T00:00:00Z"))
    }

    fn part(tenant: &str, role: TenantRole) -> PeerIdentity {
        PeerIdentity::tenant(&TenantId::parse(tenant).unwrap(), role)
    }

    #[test]
    fn only_the_tenants_gateways_and_the_operators_probe_report_minutes() {
        let minutes = || vec![minute("2026-11-11T00:00:00Z")];
        assert!(
            !report(&part("acme", TenantRole::Gateway), minutes())
                .unwrap()
                .is_probe
        );
        assert!(
            report(&PeerIdentity::System(SystemRole::Operator), minutes())
                .unwrap()
                .is_probe
        );
        for peer in [
            part("acme", TenantRole::Worker),
            part("other", TenantRole::Gateway),
            PeerIdentity::System(SystemRole::Billing),
        ] {
            assert_eq!(
                report(&peer, minutes()).unwrap_err().reason,
                Reason::PermissionDenied,
                "{peer}"
            );
        }
    }

    #[test]
    fn a_probe_says_nothing_but_that_a_minute_is_bad() {
        let bad = ServiceMinute {
            good: 0,
            fast: 0,
            slow: 0,
            ..minute("2026-11-11T00:00:00Z")
        };
        let operator = PeerIdentity::System(SystemRole::Operator);
        let taken = report(&operator, vec![bad, minute("2026-11-11T00:00:00Z")])
            .unwrap()
            .minutes;
        assert!(taken[0].is_ok() && taken[1].is_err());
    }

    #[test]
    fn a_minute_that_is_none_is_refused_by_its_field_and_the_others_stand() {
        let good = minute("2026-11-10T23:59:00Z");
        let wrong = [
            (
                "minute",
                ServiceMinute {
                    minute: None,
                    ..good.clone()
                },
            ),
            ("minute", minute("2026-11-10T23:59:01Z")),
            ("minute", minute("2026-11-10T23:59:00.5Z")),
            ("minute", minute("2026-11-11T01:01:00Z")),
            ("minute", minute("1969-12-31T23:59:00Z")),
            (
                "fast",
                ServiceMinute {
                    fast: 3,
                    ..good.clone()
                },
            ),
            (
                "good",
                ServiceMinute {
                    good: MAX_COUNT + 1,
                    fast: MAX_COUNT,
                    ..good.clone()
                },
            ),
            (
                "pool",
                ServiceMinute {
                    pool: "A b".into(),
                    ..good.clone()
                },
            ),
            (
                "boot_id",
                ServiceMinute {
                    boot_id: String::new(),
                    ..good.clone()
                },
            ),
        ];
        let minutes = [good]
            .into_iter()
            .chain(wrong.iter().map(|(_, minute)| minute.clone()));
        let report = report(&part("acme", TenantRole::Gateway), minutes.collect()).unwrap();
        let [first, rest @ ..] = &report.minutes[..] else {
            panic!("none")
        };
        let first = first.clone().unwrap();
        assert_eq!(
            (first.hour, first.minute),
            (at("2026-11-10T23:00:00Z").as_second(), 59)
        );
        let fields: Vec<_> = rest
            .iter()
            .map(|minute| minute.clone().unwrap_err().field)
            .collect();
        let expected: Vec<_> = wrong.iter().map(|(field, _)| Some((*field).to_owned())).collect();
        assert_eq!(fields, expected);
    }

    #[test]
    fn no_minutes_or_too_many_are_refused_as_a_whole() {
        for number in [0, MAX_MINUTES + 1] {
            let minutes = vec![minute("2026-11-11T00:00:00Z"); number];
            let refused = report(&part("acme", TenantRole::Gateway), minutes).unwrap_err();
            assert_eq!(refused.field.as_deref(), Some("minutes"), "{number}");
        }
    }
}
