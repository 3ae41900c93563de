//! Colour matrices: how red, green and blue are mixed into luma and colour differences.

/// A colour matrix: the weights of red and blue in luma.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Matrix {
    /// BT.601, standard definition and JPEG.
    Bt601,
    /// BT.709, high definition.
    Bt709,
    /// SMPTE 240M.
    Smpte240,
    /// BT.2020, non-constant luminance.
    Bt2020,
}

impl Matrix {
    /// The matrix of `matrix_coefficients` (H.264 table E-5). Unspecified means BT.709 above standard definition, BT.601
    /// otherwise, as browsers and players guess. `None` for those that are no luma and colour difference.
    pub fn of_vui(coefficients: u32, width: u32, height: u32) -> Option<Self> {
        match coefficients {
            1 => Some(Self::Bt709),
            4..=6 => Some(Self::Bt601),
            7 => Some(Self::Smpte240),
            9 => Some(Self::Bt2020),
            0 | 8 | 10..=14 => None,
            _ if width >= 1280 || height > 576 => Some(Self::Bt709),
            _ => Some(Self::Bt601),
        }
    }

    /// Weights of red and blue.
    pub(crate) fn weights(self) -> (f64, f64) {
        match self {
            Self::Bt601 => (0.299, 0.114),
            Self::Bt709 => (0.2126, 0.0722),
            Self::Smpte240 => (0.212, 0.087),
            Self::Bt2020 => (0.2627, 0.0593),
        }
    }
}
