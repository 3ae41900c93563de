// What codes and counters mean, in words for whoever runs an encoder.

const CODES = {
  SignatureDoesNotMatch: "The secret does not belong to this access key. Paste it again, without spaces around it.",
  InvalidAccessKeyId: "The server does not know this access key id, or it is disabled.",
  AccessDenied: "The policies of this key do not allow it.",
  InvalidSecurityToken: "The security token does not belong to this access key.",
  SecurityTokenExpired: "The temporary key has expired. Get a new one and sign in again.",
  AccessKeyIdAndSecurityTokenNotMatch: "The security token does not belong to this access key. Permanent keys have none.",
  RequestTimeTooSkewed: "The clocks of this machine and of the server are too far apart.",
  ChannelStillLive: "An encoder is pushing to this channel. Disable the channel first, which ends the push.",
  NoSuchBucket: "There is no bucket of this name.",
  NoSuchLiveChannel: "There is no channel of this name.",
  LiveChannelDisabled: "The channel is disabled. Enable it, and the encoder can push again.",
  LiveChannelAlreadyExists: "There is a channel of this name already.",
  BucketAlreadyExists: "There is a bucket of this name already.",
  MetaOperationQpsLimitExceeded: "Too many lists at once. Try again in a second.",
  ServiceUnavailable: "The server is busy or stopping. Try again in a moment.",
  Unreachable: "Is it running, and is the network there?",
};

/** What to make of an error code; empty when its message says all. */
export const explain = (code) => CODES[code] ?? "";

const REFUSED = {
  SignatureDoesNotMatch: "The signature of the publish address is wrong. Copy the whole address again; in a shell it needs quotes.",
  InvalidAccessKeyId: "The key in the publish address is unknown, or disabled.",
  ChannelStillLive: "Another encoder was pushing to the channel.",
  LiveChannelDisabled: "The channel was disabled.",
};

/** What to make of a publish that was refused; empty when the message says all. */
export const whyRefused = (code) => REFUSED[code] ?? "";

// Counters of session reports: [what was seen, what was done about it, kind].
// Kind "lost" is media that is not in the recording; "fixed" was put right; "seen" had no effect.
const QUIRKS = {
  q01_handshake_version: ["The handshake names an odd version", "ignored", "seen"],
  q03_amf3_message: ["Commands came in AMF3", "read all the same", "seen"],
  q04_unknown_command: ["Commands nobody knows", "answered politely", "seen"],
  q07_damaged_amf: ["Commands or metadata that end in the middle", "read as far as they go", "fixed"],
  q07_no_op_data: ["Data messages that say nothing", "ignored", "seen"],
  q10_window_zero: ["An acknowledgement window of 0", "taken as the usual one", "fixed"],
  q11_user_control_ignored: ["Control events that need no reaction", "ignored", "seen"],
  q11_unknown_message: ["Messages of unknown types", "ignored", "seen"],
  q11_short_control: ["Control messages that are too short", "ignored", "seen"],
  q15_fresh_type_1: ["A chunk stream began with a short header", "read as a full one", "fixed"],
  q16_type_3_after_type_0_advances: ["Ambiguous chunk times", "read as advancing, which fits the clock", "fixed"],
  q16_type_3_after_type_0_repeats: ["Ambiguous chunk times", "read as repeated, which fits the clock", "fixed"],
  q17_extended_timestamp_absent: ["Extended time stamps missing from further chunks", "read without", "fixed"],
  q17_extended_timestamp_differs: ["Extended time stamps that differ between the chunks of a message", "the first counts", "fixed"],
  q18_extended_delta_absolute: ["Long time differences that are really times", "read as times", "fixed"],
  q19_wrapped_24_bit: ["A clock of 24 bits ran over", "continued", "fixed"],
  q22_message_restarted: ["Messages begun anew before they ended", "the new one counts", "fixed"],
  q23_chunk_size_mid_message: ["The chunk size changed inside a message", "followed", "seen"],
  q23_chunk_size_clamped: ["An enormous chunk size", "limited", "fixed"],
  q25_empty_message: ["Messages without content", "ignored", "seen"],
  q26_abort: ["Messages taken back by the encoder", "dropped, as it wished", "seen"],
  q26_aggregate: ["Several messages packed into one", "unpacked", "fixed"],
  q26_damaged_aggregate: ["Packed messages that end in the middle", "the whole ones are recorded", "lost"],
  q47_unpublish_without_publish: ["An end of a push that had not begun", "ignored", "seen"],
  oversize_skipped: ["Messages beyond the size limit", "left out", "lost"],
  media_outside_publish: ["Audio or video outside a push", "left out", "lost"],
  media_on_other_stream: ["Media on another stream than the published one", "recorded all the same", "fixed"],
  publish_repeated: ["The push was begun twice", "once is enough", "seen"],
  publish_while_live: ["A second push over the same connection", "refused", "lost"],
  command_before_connect: ["Commands before the connection was made", "ignored", "seen"],
  malformed: ["Audio or video messages too short to hold anything", "left out", "lost"],
  oversized: ["Pictures beyond the size limit", "left out", "lost"],
  foreign_video: ["Video that is not H.264", "left out: only H.264 is recorded", "lost"],
  foreign_audio: ["Audio that is not AAC", "left out: only AAC is recorded", "lost"],
  info_messages: ["Information beside the pictures", "not needed", "seen"],
  skipped_tracks: ["Further tracks of a multitrack push", "left out: the first track is recorded", "lost"],
  repeated_headers: ["Codec headers sent again", "the same as before", "seen"],
  broken_headers: ["Codec headers that make no sense", "ignored", "lost"],
  before_first_key: ["Pictures before the first key frame", "left out: nobody could decode them", "lost"],
  without_parameter_sets: ["Key frames without their parameter sets", "kept as they came", "seen"],
  without_audio_config: ["Audio without its configuration", "left out until it came", "lost"],
  audio_before_picture: ["Audio before the first picture", "left out", "lost"],
  other_framing: ["Pictures framed otherwise than announced (Annex B)", "reframed", "fixed"],
  bad_nals: ["Damaged pieces of pictures", "left out", "lost"],
  fillers: ["Filler without content", "left out", "fixed"],
  merged_tags: ["Pictures sent in several parts", "put together", "fixed"],
  wrong_key_flags: ["Key frames marked wrongly", "the picture itself decides", "fixed"],
  adts_in_flv: ["Audio with headers of another format (ADTS)", "unwrapped", "fixed"],
  repaired_dts: ["Decoding times that stood still", "moved by a tick", "fixed"],
  repaired_pts: ["Impossible times of B-frames", "taken from the order of the pictures", "fixed"],
  recovery_points: ["Recovery points between key frames", "a segment may start there if configured", "seen"],
  wild_composition: ["Impossible composition times", "taken as zero", "fixed"],
  dts_shifts: ["Pictures to be shown before they are decoded", "decoding times moved", "fixed"],
  audio_resyncs: ["The audio clock left the count of samples", "set anew", "fixed"],
  jumps: ["The encoder's clock jumped", "bridged, with a discontinuity", "fixed"],
  narrow_wraps: ["The encoder's clock ran over", "continued", "fixed"],
  forced_cuts: ["Key frames came too late", "segments were cut without one", "fixed"],
  strict_cuts: ["Key frames came later than the target duration", "cut before, as `strict` wants", "fixed"],
  segments_lost: ["Segments that could not be stored", "left out, with a discontinuity", "lost"],
  segments_cut_short: ["Segments whose end could not be stored", "kept up to there, with a discontinuity", "lost"],
  segments_rewritten: ["Segments that the disk did not confirm", "written again, whole", "fixed"],
  discontinuities: ["Segments marked as discontinuous", "players start afresh there", "seen"],
};

/** A counter of a report: what it counts, what was done, and how bad it is. Codecs that were left out are named. */
export function quirk(name, count, report) {
  if (name === "widest_skew_ms") {
    return { what: "Audio and video arrived up to " + count + " ms apart", done: "recorded by their own times", kind: "seen", count: "" };
  }
  let [what, done, kind] = QUIRKS[name] ?? [name, "counted", "seen"];
  const codec = { foreign_video: report.video_codec, foreign_audio: report.audio_codec }[name];
  if (codec) what = `${name === "foreign_video" ? "Video" : "Audio"} in ${codec}`;
  return { what, done, kind, count: `${count.toLocaleString("en")} ×` };
}

/** The names of all counters that are known here. */
export const knownQuirks = () => [...Object.keys(QUIRKS), "widest_skew_ms"];

export const HANDSHAKES = {
  plain: "plain", "digest-first": "digest, first scheme", "digest-second": "digest, second scheme", none: "none",
};
