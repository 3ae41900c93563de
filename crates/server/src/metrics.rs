//! The numbers a long-running program shows: their names, what they mean, and the page they are read from.

pub(crate) mod channels;
pub(crate) mod page;
pub(crate) mod requests;
pub(crate) mod system;
mod timed;

pub(crate) use timed::TimedKv;

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
/// The same by `bucket`, `channel` and `cause`.
pub(crate) const CHANNEL_MEDIA_LOST_MS: &str = "millpond_channel_media_lost_milliseconds_total";
/// What the label `cause` can be.
pub(crate) const LOSS_CAUSES: [&str; 4] = ["open", "write", "sync", "commit"];
/// The same of a segment that was on the disk of a server which is gone.
pub(crate) const SERVER_LOST: &str = "server";
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
/// Whether metadata and blobs answer, by `dependency`: `metadata` or `blobs`.
pub(crate) const DEPENDENCY_UP: &str = "millpond_dependency_up";
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
/// Pictures that were asked of the decoders, by `queue`: `pushes` or `requests`.
pub(crate) const PICTURES_OFFERED: &str = "millpond_pictures_offered_total";
/// Pictures that were made, by `queue`.
pub(crate) const PICTURES_MADE: &str = "millpond_pictures_made_total";
/// Pictures that were not, by `queue` and `reason`.
pub(crate) const PICTURES_REFUSED: &str = "millpond_pictures_refused_total";
/// Milliseconds that decoders worked, by `queue`.
pub(crate) const PICTURES_BUSY_MS: &str = "millpond_pictures_busy_ms_total";
/// Decoder processes that were started, by `queue`.
pub(crate) const PICTURE_WORKERS_STARTED: &str = "millpond_picture_workers_started_total";
/// Pictures that wait for a decoder now, by `queue`.
pub(crate) const PICTURES_WAITING: &str = "millpond_pictures_waiting";
/// Snapshots that were due and not taken, by `reason`.
pub(crate) const SNAPSHOTS_REFUSED: &str = "millpond_snapshots_refused_total";
/// Messages about snapshots, by `outcome`.
pub(crate) const SNAPSHOT_NOTICES: &str = "millpond_snapshot_notices_total";
/// Jumps of the machine's clock that were noticed.
pub(crate) const CLOCK_JUMPS: &str = "millpond_clock_jumps_total";
/// Jumps that lasted and were followed.
pub(crate) const CLOCK_CORRECTIONS: &str = "millpond_clock_corrections_total";
/// By how much the machine's clock is ahead of the one that is used, in seconds.
pub(crate) const CLOCK_DOUBT: &str = "millpond_clock_doubt_seconds";
/// Bytes that are free on the file system of the data directory.
pub(crate) const DISK_FREE: &str = "millpond_disk_free_bytes";
/// The size of that file system.
pub(crate) const DISK_SIZE: &str = "millpond_disk_size_bytes";
/// Free bytes below which uploads are refused.
pub(crate) const DISK_RESERVE: &str = "millpond_disk_reserve_bytes";
/// Whether the disk takes uploads: 0 while it is too full, cannot be written to, or does not answer.
pub(crate) const DISK_WRITABLE: &str = "millpond_disk_writable";
/// Uploads refused because the disk is too full or cannot be written to.
pub(crate) const DISK_REFUSED: &str = "millpond_disk_refused_total";
/// Seconds until a commit of the metadata is durable, the wait for its turn included.
pub(crate) const METADATA_COMMIT_SECONDS: &str = "millpond_metadata_commit_seconds";
/// Commits that wait for that now.
pub(crate) const METADATA_COMMITS_WAITING: &str = "millpond_metadata_commits_waiting";
/// Seconds that a flush of an open segment takes.
pub(crate) const SEGMENT_SYNC_SECONDS: &str = "millpond_segment_sync_seconds";
/// 1 while a backup keeps bytes that nothing uses from being deleted.
pub(crate) const GARBAGE_HELD: &str = "millpond_garbage_held";
/// Bytes of access logs that wait to be written.
pub(crate) const ACCESS_LOG_WAITING: &str = "millpond_access_log_waiting_bytes";
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
    describe_gauge!(DEPENDENCY_UP, "Whether metadata and blobs answer");
    describe_gauge!(MEMORY_USED, Unit::Bytes, "What peers make the server hold, by budget");
    describe_gauge!(MEMORY_LIMIT, Unit::Bytes, "What they may make it hold, by budget");
    describe_counter!(MEMORY_REFUSED, "Requests answered with 503 because there was no room, by budget");
    describe_counter!(STALLED_ANSWERS_ENDED, "Answers ended because they stood still");
    describe_counter!(DAMAGED_OBJECTS, "Objects whose bytes were found to be damaged");
    describe_counter!(DAMAGED_READS, "Reads refused because what is stored is damaged");
    describe_counter!(CLOCK_JUMPS, "Jumps of the machine's clock that were noticed");
    describe_counter!(CLOCK_CORRECTIONS, "Jumps of the machine's clock that lasted and were followed");
    describe_gauge!(CLOCK_DOUBT, Unit::Seconds, "How far the machine's clock is ahead of the one that is used");
    describe_gauge!(DISK_FREE, Unit::Bytes, "Free bytes of the file system of the data directory");
    describe_gauge!(DISK_SIZE, Unit::Bytes, "Size of the file system of the data directory");
    describe_gauge!(DISK_RESERVE, Unit::Bytes, "Free bytes below which uploads are refused");
    describe_gauge!(DISK_WRITABLE, "Whether the disk takes uploads");
    describe_counter!(DISK_REFUSED, "Uploads refused because of the disk");
    for counter in [CLOCK_JUMPS, CLOCK_CORRECTIONS, DISK_REFUSED] {
        metrics::counter!(counter).absolute(0);
    }
    describe_counter!(SCRUBBED_BYTES, Unit::Bytes, "Stored bytes compared with their checksums in the background");
    describe_counter!(PICTURES_OFFERED, "Pictures asked of the decoders, by queue");
    describe_counter!(PICTURES_MADE, "Pictures made, by queue");
    describe_counter!(PICTURES_REFUSED, "Pictures not made, by queue and reason");
    describe_counter!(PICTURES_BUSY_MS, "Milliseconds that decoders worked, by queue");
    describe_counter!(PICTURE_WORKERS_STARTED, "Decoder processes started, by queue");
    describe_gauge!(PICTURES_WAITING, "Pictures that wait for a decoder, by queue");
    describe_counter!(SNAPSHOTS_REFUSED, "Snapshots that were due and not taken, by reason");
    describe_counter!(SNAPSHOT_NOTICES, "Messages about snapshots, by outcome");
    describe_counter!(PANICS, "Tasks that panicked");
    describe_counter!(CHANNEL_MEDIA_LOST_MS, "Live media that could not be stored, by channel and cause");
    describe_histogram!(METADATA_COMMIT_SECONDS, Unit::Seconds, "Commits of the metadata until they are durable");
    describe_gauge!(METADATA_COMMITS_WAITING, "Commits of the metadata that wait to become durable");
    describe_histogram!(SEGMENT_SYNC_SECONDS, Unit::Seconds, "Flushes of open segments");
    describe_gauge!(GARBAGE_HELD, "1 while a backup keeps bytes that nothing uses from being deleted");
    describe_gauge!(ACCESS_LOG_WAITING, Unit::Bytes, "Lines of access logs that wait to be written");
    begin_series();
    Ok(handle)
}

/// Makes the series exist whose labels are known, with the value 0: what has never happened differs from what is not
/// measured, and a first increment is seen as one.
fn begin_series() {
    use metrics::{counter, gauge, histogram};
    for name in [
        RTMP_CONNECTIONS,
        AUTH_FAILURES_LIMITED,
        INGEST_BYTES,
        SEGMENTS,
        SEGMENTS_REWRITTEN,
        SEGMENTS_RECOVERED,
        HTTP_BYTES_OUT,
        ACCESS_LOG_LINES,
        ACCESS_LOG_DROPPED,
        LOG_LINES_LOST,
        FILES_REFUSED,
        STALLED_ANSWERS_ENDED,
        DAMAGED_OBJECTS,
        DAMAGED_READS,
        SCRUBBED_BYTES,
        PANICS,
    ] {
        counter!(name).absolute(0);
    }
    counter!(SEGMENTS_LOST, "cause" => SERVER_LOST).absolute(0);
    for cause in LOSS_CAUSES {
        for name in [SEGMENTS_LOST, SEGMENTS_CUT_SHORT, MEDIA_LOST_MS, SEGMENT_FAILURES] {
            counter!(name, "cause" => cause).absolute(0);
        }
    }
    for kind in ["new", "idle", "stalled", "reader", "address", "system"] {
        counter!(CONNECTIONS_CLOSED, "kind" => kind).absolute(0);
    }
    for what in ["request", "push"] {
        counter!(CONNECTIONS_REFUSED, "what" => what).absolute(0);
    }
    for budget in ["receive", "send"] {
        counter!(MEMORY_REFUSED, "budget" => budget).absolute(0);
    }
    // The codes that encoders meet; others begin when they are first met.
    for code in ["AccessDenied", "ChannelStillLive", "LiveChannelDisabled", "NoSuchLiveChannel", "ServiceUnavailable"] {
        counter!(PUBLISH_REFUSED, "code" => code).absolute(0);
    }
    for operation in ["GetObject", "PutObject"] {
        for status in ["200", "500", "503"] {
            counter!(HTTP_REQUESTS, "operation" => operation, "status" => status).absolute(0);
        }
    }
    for name in [PUBLICATIONS, METADATA_COMMITS_WAITING, GARBAGE_HELD, ACCESS_LOG_WAITING] {
        gauge!(name).set(0.0);
    }
    for name in [SEGMENT_PUBLISH_SECONDS, HTTP_SECONDS, METADATA_COMMIT_SECONDS, SEGMENT_SYNC_SECONDS] {
        let _ = histogram!(name);
    }
}
