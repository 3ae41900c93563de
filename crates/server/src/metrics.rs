//! The numbers a long-running program shows: their names, what they mean, and the page they are read from.

use metrics::{Unit, describe_counter, describe_gauge, describe_histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

/// RTMP connections accepted.
pub(crate) const RTMP_CONNECTIONS: &str = "millpond_rtmp_connections_total";
/// Publishes refused, by `code`.
pub(crate) const PUBLISH_REFUSED: &str = "millpond_publish_refused_total";
/// Wrong signatures beyond the budget of their address.
pub(crate) const AUTH_FAILURES_LIMITED: &str = "millpond_auth_failures_limited_total";
/// Publications running.
pub(crate) const PUBLICATIONS: &str = "millpond_publications";
/// RTMP media payload bytes received.
pub(crate) const INGEST_BYTES: &str = "millpond_ingest_bytes_total";
/// Segments stored.
pub(crate) const SEGMENTS: &str = "millpond_segments_total";
/// Segments of which nothing could be stored, by `cause`, as the next three.
pub(crate) const SEGMENTS_LOST: &str = "millpond_segments_lost_total";
/// Segments that end early, because the rest of them could not be stored.
pub(crate) const SEGMENTS_CUT_SHORT: &str = "millpond_segments_cut_short_total";
/// Media that could not be stored, in milliseconds.
pub(crate) const MEDIA_LOST_MS: &str = "millpond_media_lost_milliseconds_total";
/// Failures to write, flush or list an open segment, whatever came of them.
pub(crate) const SEGMENT_FAILURES: &str = "millpond_segment_failures_total";
/// Segments that were written again from memory after their file failed.
pub(crate) const SEGMENTS_REWRITTEN: &str = "millpond_segments_rewritten_total";
/// Torn segments recovered at start.
pub(crate) const SEGMENTS_RECOVERED: &str = "millpond_segments_recovered_total";
/// Seconds from the arrival of the frame that closes a segment to the playlist that lists it being readable.
pub(crate) const SEGMENT_PUBLISH_SECONDS: &str = "millpond_segment_publish_seconds";
/// Things encoders did that were seen and handled, by `quirk`.
pub(crate) const QUIRKS: &str = "millpond_quirks_total";
/// Playlists that would have broken a rule and were repaired, by `rule` (D13).
pub(crate) const PLAYLIST_REPAIRS: &str = "millpond_playlist_repairs_total";
/// HTTP requests answered, by `operation` and `status`.
pub(crate) const HTTP_REQUESTS: &str = "millpond_http_requests_total";
/// Seconds spent on HTTP requests until the head of the answer.
pub(crate) const HTTP_SECONDS: &str = "millpond_http_request_seconds";
/// Body bytes sent over HTTP.
pub(crate) const HTTP_BYTES_OUT: &str = "millpond_http_sent_bytes_total";
/// PutLiveChannel requests, by `bucket` and `month`, as all that follow up to the snapshots (LiveChannel 7.3).
pub(crate) const LIVE_CREATIONS: &str = "millpond_live_channel_creations_total";
/// Requests that list channels, ask for their configuration, stat and history, or for VOD playlists.
pub(crate) const LIVE_REQUESTS: &str = "millpond_live_standard_requests_total";
/// PutLiveChannelStatus requests.
pub(crate) const LIVE_STATUS_CHANGES: &str = "millpond_live_status_changes_total";
/// PostVodPlaylist and GetVodPlaylist requests.
pub(crate) const LIVE_VOD_PLAYLISTS: &str = "millpond_live_vod_playlists_total";
/// Payload of RTMP media messages.
pub(crate) const LIVE_INGEST_BYTES: &str = "millpond_live_ingest_bytes_total";
/// Minutes of pushes, each push rounded up.
pub(crate) const LIVE_INGEST_MINUTES: &str = "millpond_live_ingest_minutes_total";
/// GET requests for `.m3u8` and `.ts` objects.
pub(crate) const HLS_REQUESTS: &str = "millpond_hls_requests_total";
/// Body bytes of their answers.
pub(crate) const HLS_BYTES_OUT: &str = "millpond_hls_sent_bytes_total";
/// Pictures taken of pushes.
pub(crate) const LIVE_SNAPSHOTS: &str = "millpond_live_snapshots_total";
/// Lines of access logs written.
pub(crate) const ACCESS_LOG_LINES: &str = "millpond_access_log_lines_total";
/// Lines of access logs dropped, because too many waited or there was no bucket to write them to.
pub(crate) const ACCESS_LOG_DROPPED: &str = "millpond_access_log_dropped_total";
/// Lines of the server's own log that could not be written (D28).
pub(crate) const LOG_LINES_LOST: &str = "millpond_log_lines_lost_total";
/// Connections open now, by `listener` and `kind`: without a complete request so far, idle between two requests, in a
/// request, publishing.
pub(crate) const CONNECTIONS: &str = "millpond_connections";
/// Connections that there may be, by `listener`.
pub(crate) const CONNECTIONS_MAX: &str = "millpond_connections_max";
/// Connections closed to make room for others, by `kind`.
pub(crate) const CONNECTIONS_CLOSED: &str = "millpond_connections_closed_total";
/// Requests and pushes refused because every connection or file is in use, by `what`.
pub(crate) const CONNECTIONS_REFUSED: &str = "millpond_connections_refused_total";
/// Files that requests have open.
pub(crate) const REQUEST_FILES_OPEN: &str = "millpond_request_files_open";
/// Files that requests may have open.
pub(crate) const REQUEST_FILES_MAX: &str = "millpond_request_files_max";
/// Requests that got no file because all were open.
pub(crate) const FILES_REFUSED: &str = "millpond_request_files_refused_total";
/// Descriptors open in the process.
pub(crate) const DESCRIPTORS_OPEN: &str = "millpond_descriptors_open";
/// Descriptors that the process may have open.
pub(crate) const DESCRIPTORS_LIMIT: &str = "millpond_descriptors_limit";
/// Bytes that peers make the server hold, by `budget`: `receive` or `send`.
pub(crate) const MEMORY_USED: &str = "millpond_memory_used_bytes";
/// How many that may be.
pub(crate) const MEMORY_LIMIT: &str = "millpond_memory_limit_bytes";
/// Requests answered with 503 because there was no room, by `budget`.
pub(crate) const MEMORY_REFUSED: &str = "millpond_memory_refused_total";
/// Answers ended because they stood still while others needed the room, or for too long.
pub(crate) const STALLED_ANSWERS_ENDED: &str = "millpond_stalled_answers_ended_total";
/// Objects whose bytes were found to be damaged.
pub(crate) const DAMAGED_OBJECTS: &str = "millpond_damaged_objects_total";
/// Reads that were refused because what is stored is damaged.
pub(crate) const DAMAGED_READS: &str = "millpond_damaged_reads_total";
/// Bytes that scrubs compared with their checksums.
pub(crate) const SCRUBBED_BYTES: &str = "millpond_scrubbed_bytes_total";
/// Tasks that ended in a panic: always a bug.
pub(crate) const PANICS: &str = "millpond_panics_total";

/// Installs the recorder and says what each number means.
///
/// # Errors
/// When a recorder is installed already.
pub(crate) fn install() -> anyhow::Result<PrometheusHandle> {
    let latency = [0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0];
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &latency)?
        .install_recorder()?;
    describe_counter!(RTMP_CONNECTIONS, "RTMP connections accepted");
    describe_counter!(PUBLISH_REFUSED, "Publishes refused, by OSS error code");
    describe_counter!(AUTH_FAILURES_LIMITED, "Wrong signatures beyond the budget of their address");
    describe_gauge!(PUBLICATIONS, "Publications running now");
    describe_counter!(INGEST_BYTES, Unit::Bytes, "RTMP media payload received");
    describe_counter!(SEGMENTS, "Live segments stored");
    describe_counter!(SEGMENTS_LOST, "Live segments of which nothing could be stored, by cause");
    describe_counter!(
        SEGMENTS_CUT_SHORT,
        "Live segments that end early because the rest could not be stored, by cause"
    );
    describe_counter!(MEDIA_LOST_MS, "Milliseconds of live media that could not be stored, by cause");
    describe_counter!(SEGMENT_FAILURES, "Failures to write, flush or list an open segment, by cause");
    describe_counter!(SEGMENTS_REWRITTEN, "Live segments written again from memory after their file failed");
    describe_counter!(SEGMENTS_RECOVERED, "Torn live segments closed and listed at start");
    describe_histogram!(SEGMENT_PUBLISH_SECONDS, Unit::Seconds, "From the frame that closes a segment to its playlist");
    describe_counter!(QUIRKS, "Encoder quirks seen and handled");
    describe_counter!(PLAYLIST_REPAIRS, "Live playlists repaired before they were published");
    describe_counter!(HTTP_REQUESTS, "HTTP requests answered");
    describe_histogram!(HTTP_SECONDS, Unit::Seconds, "HTTP requests until the head of the answer");
    describe_counter!(HTTP_BYTES_OUT, Unit::Bytes, "Body bytes sent over HTTP");
    describe_counter!(LIVE_CREATIONS, "PutLiveChannel requests answered below 500, by bucket and month");
    describe_counter!(LIVE_REQUESTS, "List, info, stat, history and VOD requests of LiveChannels answered below 500");
    describe_counter!(LIVE_STATUS_CHANGES, "PutLiveChannelStatus requests answered below 500");
    describe_counter!(LIVE_VOD_PLAYLISTS, "VOD playlist requests answered below 500");
    describe_counter!(LIVE_INGEST_BYTES, Unit::Bytes, "RTMP media payload received, by bucket and month");
    describe_counter!(LIVE_INGEST_MINUTES, "Minutes of pushes, each push rounded up");
    describe_counter!(HLS_REQUESTS, "GET requests for .m3u8 and .ts objects answered below 500");
    describe_counter!(HLS_BYTES_OUT, Unit::Bytes, "Body bytes sent of .m3u8 and .ts objects");
    describe_counter!(LIVE_SNAPSHOTS, "Snapshots taken of pushes");
    describe_counter!(ACCESS_LOG_LINES, "Lines of access logs written");
    describe_counter!(ACCESS_LOG_DROPPED, "Lines of access logs dropped");
    describe_counter!(LOG_LINES_LOST, "Lines of the log and of standard output that nobody took");
    describe_gauge!(CONNECTIONS, "Connections open now, by listener and what they do");
    describe_gauge!(CONNECTIONS_MAX, "Connections that there may be, by listener");
    describe_counter!(CONNECTIONS_CLOSED, "Connections closed to make room for others, by kind");
    describe_counter!(CONNECTIONS_REFUSED, "Requests and pushes refused because every connection or file is in use");
    describe_gauge!(REQUEST_FILES_OPEN, "Files that requests and pushes beyond their own share have open");
    describe_gauge!(REQUEST_FILES_MAX, "Files that requests may have open");
    describe_counter!(FILES_REFUSED, "Requests that got no file because all were open");
    describe_gauge!(DESCRIPTORS_OPEN, "Descriptors open in the process");
    describe_gauge!(DESCRIPTORS_LIMIT, "Descriptors that the process may have open");
    describe_gauge!(MEMORY_USED, Unit::Bytes, "What peers make the server hold, by budget");
    describe_gauge!(MEMORY_LIMIT, Unit::Bytes, "What they may make it hold, by budget");
    describe_counter!(MEMORY_REFUSED, "Requests answered with 503 because there was no room, by budget");
    describe_counter!(STALLED_ANSWERS_ENDED, "Answers ended because they stood still");
    describe_counter!(DAMAGED_OBJECTS, "Objects whose bytes were found to be damaged");
    describe_counter!(DAMAGED_READS, "Reads refused because what is stored is damaged");
    describe_counter!(SCRUBBED_BYTES, Unit::Bytes, "Stored bytes compared with their checksums in the background");
    describe_counter!(PANICS, "Tasks that panicked");
    Ok(handle)
}
