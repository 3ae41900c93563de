//! Which request counts as what (the seeds' price table; LiveChannel 7.2 and 7.3).

use crate::counters::Meter;

/// What a request was, as far as counting goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// PutLiveChannel.
    PutLiveChannel,
    /// PutLiveChannelStatus.
    PutLiveChannelStatus,
    /// ListLiveChannel, GetLiveChannelInfo, GetLiveChannelStat, GetLiveChannelHistory, GetVodPlaylist, DeleteLiveChannel.
    ///
    /// The table's list names no deletion; it is an operation of the API and all operations are billed, so it counts with
    /// the cheapest class.
    LiveChannelQuery,
    /// PostVodPlaylist.
    PostVodPlaylist,
    /// GET or HEAD of an object, by its key: playlists and segments are HLS.
    ReadObject {
        /// Whether the key ends in `.m3u8` or `.ts`, in whatever case.
        is_hls: bool,
    },
    /// Anything else that reads, and preflights.
    OtherRead,
    /// Anything else that writes.
    OtherWrite,
}

impl Operation {
    /// Reading the object with this key.
    pub fn read_object(key: &str) -> Self {
        let extension = key.rsplit('/').next().and_then(|name| name.rsplit_once('.')).map_or("", |(_, end)| end);
        Self::ReadObject { is_hls: extension.eq_ignore_ascii_case("m3u8") || extension.eq_ignore_ascii_case("ts") }
    }
}

/// What a request counts as, by its status: `None` from 500 on, since what the server failed to do costs nothing.
/// A refused request counts, but creates no channel and changes no status: it is a standard request.
pub fn class_of(operation: Operation, status: u16) -> Option<Meter> {
    if status >= 500 {
        return None;
    }
    Some(match (operation, status < 400) {
        (Operation::PutLiveChannel, true) => Meter::ChannelCreations,
        (Operation::PutLiveChannelStatus, true) => Meter::StatusChanges,
        (Operation::PostVodPlaylist, true) => Meter::VodPlaylists,
        (Operation::PutLiveChannel | Operation::PutLiveChannelStatus | Operation::PostVodPlaylist, false)
        | (Operation::LiveChannelQuery, _) => Meter::StandardRequests,
        (Operation::ReadObject { is_hls: true }, _) => Meter::HlsRequests,
        (Operation::ReadObject { is_hls: false } | Operation::OtherRead, _) => Meter::ReadRequests,
        (Operation::OtherWrite, _) => Meter::WriteRequests,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_of_classes() {
        for (operation, status, meter) in [
            (Operation::PutLiveChannel, 200, Some(Meter::ChannelCreations)),
            (Operation::PutLiveChannel, 400, Some(Meter::StandardRequests)),
            (Operation::PutLiveChannel, 500, None),
            (Operation::PutLiveChannelStatus, 200, Some(Meter::StatusChanges)),
            (Operation::PutLiveChannelStatus, 404, Some(Meter::StandardRequests)),
            (Operation::LiveChannelQuery, 200, Some(Meter::StandardRequests)),
            (Operation::LiveChannelQuery, 503, None),
            (Operation::PostVodPlaylist, 200, Some(Meter::VodPlaylists)),
            (Operation::read_object("live/ch/playlist.m3u8"), 304, Some(Meter::HlsRequests)),
            (Operation::read_object("live/ch/1.TS"), 206, Some(Meter::HlsRequests)),
            (Operation::read_object("a.ts/b"), 200, Some(Meter::ReadRequests)),
            (Operation::read_object("ts"), 404, Some(Meter::ReadRequests)),
            (Operation::OtherWrite, 200, Some(Meter::WriteRequests)),
        ] {
            assert_eq!(class_of(operation, status), meter, "{operation:?} {status}");
        }
    }
}
