//! Currencies of ISO 4217 with their exponent: how many digits after the point their smallest unit has.

use std::fmt;

use super::number::Exact;

/// Currencies whose smallest unit is not a hundredth, by exponent.
const OTHER_EXPONENTS: [(u32, &[&str]); 3] = [
    (
        0,
        &[
            "BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "UYI", "VND", "VUV",
            "XAF", "XOF", "XPF",
        ],
    ),
    (3, &["BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"]),
    (4, &["CLF", "UYW"]),
];

/// Currencies of two digits.
const HUNDREDTHS: &[&str] = &[
    "AED", "AFN", "ALL", "AMD", "AOA", "ARS", "AUD", "AWG", "AZN", "BAM", "BBD", "BDT", "BGN", "BMD", "BND",
    "BOB", "BOV", "BRL", "BSD", "BTN", "BWP", "BYN", "BZD", "CAD", "CDF", "CHE", "CHF", "CHW", "CNY", "COP",
    "COU", "CRC", "CUP", "CVE", "CZK", "DKK", "DOP", "DZD", "EGP", "ERN", "ETB", "EUR", "FJD", "FKP", "GBP",
    "GEL", "GHS", "GIP", "GMD", "GTQ", "GYD", "HKD", "HNL", "HTG", "HUF", "IDR", "ILS", "INR", "IRR", "JMD",
    "KES", "KGS", "KHR", "KPW", "KYD", "KZT", "LAK", "LBP", "LKR", "LRD", "LSL", "MAD", "MDL", "MGA", "MKD",
    "MMK", "MNT", "MOP", "MRU", "MUR", "MVR", "MWK", "MXN", "MXV", "MYR", "MZN", "NAD", "NGN", "NIO", "NOK",
    "NPR", "NZD", "PAB", "PEN", "PGK", "PHP", "PKR", "PLN", "QAR", "RON", "RSD", "RUB", "SAR", "SBD", "SCR",
    "SDG", "SEK", "SGD", "SHP", "SLE", "SOS", "SRD", "SSP", "STN", "SVC", "SYP", "SZL", "THB", "TJS", "TMT",
    "TOP", "TRY", "TTD", "TWD", "TZS", "UAH", "USD", "USN", "UYU", "UZS", "VED", "VES", "WST", "XCD", "XCG",
    "YER", "ZAR", "ZMW", "ZWG",
];

/// A currency of the table.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Currency {
    code: &'static str,
    exponent: u32,
}

impl Currency {
    /// The currency of an ISO code, in capitals; `None` for what is no money with a smallest unit.
    pub fn from_code(code: &str) -> Option<Self> {
        let of_table = |exponent: u32, codes: &[&'static str]| {
            codes
                .iter()
                .find(|known| **known == code)
                .map(|&code| Self { code, exponent })
        };
        of_table(2, HUNDREDTHS).or_else(|| {
            OTHER_EXPONENTS
                .into_iter()
                .find_map(|(exponent, codes)| of_table(exponent, codes))
        })
    }

    /// ISO code.
    pub fn code(self) -> &'static str {
        self.code
    }

    /// Digits after the point.
    pub fn exponent(self) -> u32 {
        self.exponent
    }

    /// Digits after the point, to write with.
    pub fn decimals(self) -> usize {
        self.exponent as usize
    }

    /// An amount in smallest units as a decimal.
    pub fn amount(self, minor: i128) -> Exact {
        Exact::new(minor, self.exponent)
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exponents_are_those_of_iso_4217() {
        for (code, exponent) in [
            ("CNY", 2),
            ("JPY", 0),
            ("KWD", 3),
            ("CLF", 4),
            ("USD", 2),
            ("ISK", 0),
            ("TND", 3),
        ] {
            assert_eq!(
                Currency::from_code(code).map(Currency::exponent),
                Some(exponent),
                "{code}"
            );
        }
        for none in ["", "cny", "XAU", "XXX", "RMB", "CNYX"] {
            assert_eq!(Currency::from_code(none), None, "{none}");
        }
    }

    #[test]
    fn no_code_stands_in_two_tables() {
        let mut codes: Vec<_> = HUNDREDTHS
            .iter()
            .chain(OTHER_EXPONENTS.iter().flat_map(|(_, codes)| codes.iter()))
            .collect();
        let all = codes.len();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), all);
        assert!(codes.iter().all(|code| code.len() == 3));
    }
}
