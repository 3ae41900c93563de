//! HLS playlists: their text, the rules they must keep, and the sliding window of a live channel (LiveChannel 4.4, 4.5, 5.3).

mod authoring;
mod live;
mod playlist;
mod rules;

pub use authoring::{AuthoringIssue, authoring_issues, authoring_issues_of_answer};
pub use live::{LiveSegment, LiveWindow, SessionState};
pub use playlist::{MediaPlaylist, PlaylistSegment, VodSegment, vod_list, vod_playlist};
pub use rules::{Violation, violations};
