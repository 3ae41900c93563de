//! Exact amounts: whole numbers of a thousand-millionth of the currency's unit.

use std::fmt;
use std::str::FromStr;
use thiserror::Error;

/// Digits behind the point.
pub(crate) const DIGITS: u32 = 9;

const ONE: i128 = 1_000_000_000;

/// Largest amount that is read from text: a million. It keeps every product within 127 bits.
const MAX: i128 = 1_000_000 * ONE;

/// An amount of money, or a price: never negative, never rounded while it is computed with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Amount(i128);

/// Text that is no amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum AmountError {
    /// Not digits with at most one point between them.
    #[error("not a decimal number such as 0.001")]
    Form,
    /// More than nine digits behind the point.
    #[error("more than {DIGITS} digits behind the point")]
    TooFine,
    /// More than a million.
    #[error("more than a million")]
    TooLarge,
}

impl Amount {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// `self * quantity / unit`, rounded half up to `decimals` digits, which is what a line of a bill does once at its
    /// end. `None` when it is more than there is money, or a unit of nothing.
    pub(crate) fn times(self, quantity: u128, unit: u128, decimals: u32) -> Option<Self> {
        let product = self.0.checked_mul(i128::try_from(quantity).ok()?)?;
        let step = 10_i128.checked_pow(DIGITS.checked_sub(decimals.min(DIGITS))?)?;
        let divisor = i128::try_from(unit).ok()?.checked_mul(step)?;
        let rounded = product.checked_add(divisor / 2)?.checked_div(divisor)?;
        rounded.checked_mul(step).map(Self)
    }

    pub(crate) fn plus(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }

    /// With this many digits behind the point, which loses nothing where it was rounded to them.
    pub(crate) fn to_string_with(self, decimals: u32) -> String {
        let decimals = decimals.min(DIGITS);
        let step = 10_i128.pow(DIGITS - decimals);
        let (whole, part) = (self.0 / ONE, self.0 % ONE / step);
        if decimals == 0 { whole.to_string() } else { format!("{whole}.{part:0width$}", width = decimals as usize) }
    }
}

impl fmt::Display for Amount {
    /// The shortest exact form: `0.001`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.to_string_with(DIGITS);
        f.write_str(text.trim_end_matches('0').trim_end_matches('.'))
    }
}

impl FromStr for Amount {
    type Err = AmountError;

    fn from_str(text: &str) -> Result<Self, AmountError> {
        let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
        let is_number = |digits: &str| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        if !is_number(whole) || !is_number(part) {
            return Err(AmountError::Form);
        }
        if part.len() > DIGITS as usize {
            return Err(AmountError::TooFine);
        }
        let whole: i128 = whole.parse().map_err(|_| AmountError::TooLarge)?;
        let part: i128 = format!("{part:0<width$}", width = DIGITS as usize).parse().map_err(|_| AmountError::Form)?;
        whole
            .checked_mul(ONE)
            .and_then(|whole| whole.checked_add(part))
            .filter(|amount| *amount <= MAX)
            .map(Self)
            .ok_or(AmountError::TooLarge)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn amount(text: &str) -> Amount {
        text.parse().unwrap()
    }

    #[test]
    fn text_and_back() {
        for (text, shown) in [
            ("0", "0"),
            ("0.001", "0.001"),
            ("12.50", "12.5"),
            ("1000000", "1000000"),
            ("0.000000001", "0.000000001"),
            ("10", "10"),
        ] {
            assert_eq!(amount(text).to_string(), shown);
        }
        for (text, error) in [
            ("", AmountError::Form),
            (".1", AmountError::Form),
            ("1.", AmountError::Form),
            ("-1", AmountError::Form),
            ("1e3", AmountError::Form),
            ("1,5", AmountError::Form),
            ("0.0000000001", AmountError::TooFine),
            ("1000000.1", AmountError::TooLarge),
            ("99999999999999999999999999999999999999999", AmountError::TooLarge),
        ] {
            assert_eq!(text.parse::<Amount>(), Err(error), "{text}");
        }
    }

    #[test]
    fn rounding_is_half_up_and_once() {
        for (price, quantity, unit, decimals, expected) in [
            ("0.001", 1, 60, 6, "0.000017"),
            ("0.001", 60, 60, 6, "0.001000"),
            ("0.0001", 1, 2, 4, "0.0001"),
            ("0.0001", 1, 3, 4, "0.0000"),
            ("0.0001", 49_999, 100_000, 4, "0.0000"),
            ("0.0001", 1_500_000, 1_000_000, 4, "0.0002"),
            ("0.5", 1, 1, 0, "1"),
        ] {
            assert_eq!(amount(price).times(quantity, unit, decimals).unwrap().to_string_with(decimals), expected);
        }
        assert_eq!(amount("1").times(1, 0, 6), None);
        assert_eq!(amount("1000000").times(u128::MAX, 1, 6), None);
    }

    proptest! {
        #[test]
        fn amounts_read_back(units in 0_i128..=MAX) {
            prop_assert_eq!(Amount(units).to_string().parse(), Ok(Amount(units)));
        }

        #[test]
        fn a_rounded_amount_is_off_by_half_a_step_at_most(price in 0_i128..ONE, quantity in 0_u64.., unit in 1_u64..10_000_000, decimals in 0_u32..=9) {
            let got = Amount(price).times(u128::from(quantity), u128::from(unit), decimals).unwrap();
            let (product, unit) = (price * i128::from(quantity), i128::from(unit));
            let step = 10_i128.pow(DIGITS - decimals);
            let error = got.0 * unit - product;
            prop_assert!(got.0 % step == 0 && 2 * error <= unit * step && -2 * error < unit * step + 2);
        }
    }
}
