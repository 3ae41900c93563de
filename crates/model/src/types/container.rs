//! The formats of recorded segments.

use serde::{Deserialize, Serialize};

/// What a recorded segment is packed in. Whoever adds one adds a packager for it; everything that names, finds, lists or
/// recovers segments asks here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub enum Container {
    /// MPEG-2 transport stream (LiveChannel 4.3).
    #[default]
    MpegTs,
}

impl Container {
    /// All there are.
    pub const ALL: [Self; 1] = [Self::MpegTs];

    /// What names of segments end with, without the dot.
    pub fn extension(self) -> &'static str {
        match self {
            Self::MpegTs => "ts",
        }
    }

    /// The media type of segments.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::MpegTs => "video/MP2T",
        }
    }

    /// The one whose names end so; `None` when there is none.
    pub fn of_extension(extension: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|container| container.extension() == extension)
    }

    /// The one that a row of the segment index means with this number; `None` for one of a later version.
    pub fn of_code(code: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|container| container.code() == code)
    }

    /// The number by which rows of the segment index name it. Numbers are never given anew.
    pub fn code(self) -> u8 {
        match self {
            Self::MpegTs => 0,
        }
    }

    /// The name of a segment, below its channel (LiveChannel 4.3).
    pub fn file_name(self, number_ms: u64) -> String {
        format!("{number_ms}.{}", self.extension())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_found_by_its_extension_and_its_code() {
        for container in Container::ALL {
            assert_eq!(Container::of_extension(container.extension()), Some(container));
            assert_eq!(Container::of_code(container.code()), Some(container));
        }
        assert_eq!((Container::of_extension("exe"), Container::of_code(255)), (None, None));
        assert_eq!(Container::MpegTs.file_name(1_543_895_706_266), "1543895706266.ts");
    }
}
