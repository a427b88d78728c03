//! The one margin of what the load needs: how much it may gain while one more worker starts.
//!
//! While a worker starts, for `L` seconds, conversations come at rate `λ` and end at rate `μ`, both as Poisson processes.
//! One that finds no room waits until others have ended; it is taken within the service level's `w` seconds if the load has
//! not outgrown the slots by more than what ends in that time. So the slots must hold, at the quantile of the service
//! level's share, what comes in `L` less what ends in `L + w`: by the normal approximation of that difference,
//! `(λ - μ)·L - μ·w + z·sqrt((λ + μ)·L + μ·w)`, and never less than the expected gain `(λ - μ)·L`, nor less than nothing.

use std::time::Duration;

use super::{Rates, ServiceLevel};

/// The gain to make room for, in conversations, by what comes and goes now.
pub(super) fn expected_growth(rates: Rates, start_time: Duration, level: ServiceLevel) -> f64 {
    growth_with_gain(
        rates.current().net() * start_time.as_secs_f64(),
        rates,
        start_time,
        level,
    )
}

/// The same where `gain` conversations are expected to be gained, whatever comes and goes now.
pub(super) fn growth_with_gain(gain: f64, rates: Rates, start_time: Duration, level: ServiceLevel) -> f64 {
    let flow = rates.current();
    let (arrivals, endings) = (flow.arrivals.max(0.0), flow.endings.max(0.0));
    let (start, wait) = (start_time.as_secs_f64(), level.within.as_secs_f64());
    let freed = endings * wait;
    let deviation = ((arrivals + endings) * start + freed).sqrt();
    let at_quantile = gain - freed + normal_quantile(level.share) * deviation;
    at_quantile.max(gain).max(0.0)
}

/// Quantile of the standard normal distribution, by P. J. Acklam's rational approximation (relative error below 1.15e-9).
/// 0 for a share that is none.
fn normal_quantile(share: f64) -> f64 {
    const CENTRAL: f64 = 0.024_25;
    const A: [f64; 6] = [
        -39.696_830_286_653_76,
        220.946_098_424_520_5,
        -275.928_510_446_968_7,
        138.357_751_867_269,
        -30.664_798_066_147_16,
        2.506_628_277_459_239,
    ];
    const B: [f64; 5] = [
        -54.476_098_798_224_06,
        161.585_836_858_040_9,
        -155.698_979_859_886_6,
        66.801_311_887_719_72,
        -13.280_681_552_885_72,
    ];
    const C: [f64; 6] = [
        -0.007_784_894_002_430_293,
        -0.322_396_458_041_136_5,
        -2.400_758_277_161_838,
        -2.549_732_539_343_734,
        4.374_664_141_464_968,
        2.938_163_982_698_783,
    ];
    const D: [f64; 4] = [
        0.007_784_695_709_041_462,
        0.322_467_129_070_039_8,
        2.445_134_137_142_996,
        3.754_408_661_907_416,
    ];
    let polynomial = |factors: &[f64], at: f64| factors.iter().fold(0.0, |sum, factor| sum * at + factor);
    if share.is_nan() || share <= 0.0 || share >= 1.0 {
        return 0.0;
    }
    let tail = share.min(1.0 - share);
    let quantile = if tail < CENTRAL {
        let at = (-2.0 * tail.ln()).sqrt();
        -polynomial(&C, at) / (polynomial(&D, at) * at + 1.0)
    } else {
        let (off, squared) = (0.5 - tail, (0.5 - tail) * (0.5 - tail));
        polynomial(&A, squared) * off / (polynomial(&B, squared) * squared + 1.0)
    };
    if share < 0.5 { -quantile } else { quantile }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_the_tables() {
        for (share, quantile) in [
            (0.5, 0.0),
            (0.841_344_746, 1.0),
            (0.9, 1.281_551_566),
            (0.975, 1.959_963_985),
            (0.999, 3.090_232_306),
            (0.1, -1.281_551_566),
        ] {
            assert!((normal_quantile(share) - quantile).abs() < 1e-6, "{share}");
        }
    }

    #[test]
    fn few_conversations_need_a_margin_and_many_free_each_other_in_time() {
        let growth = |rate| {
            expected_growth(
                Rates::steady(rate, rate),
                Duration::from_secs(8),
                ServiceLevel::default(),
            )
        };
        assert!((growth(5.0) - 6.6).abs() < 0.1, "{}", growth(5.0));
        assert!(growth(28.0) < 1e-9);
        assert!(growth(0.0) < 1e-9);
    }

    #[test]
    fn a_load_that_grows_is_met_before_it_is_there() {
        let growing = expected_growth(
            Rates::steady(30.0, 20.0),
            Duration::from_secs(8),
            ServiceLevel::default(),
        );
        assert!(growing >= 80.0);
    }
}
