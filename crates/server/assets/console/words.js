// Counters of session reports, by what became of the media: `lost` is not in the recording, `fixed` was put right, `seen` had
// no effect. Their words are in the table of texts.
import { count as figure } from "./format.js";
import { t, tOr } from "./i18n.js";

const KINDS = {
  lost: [
    "q26_damaged_aggregate", "oversize_skipped", "media_outside_publish", "publish_while_live", "malformed", "oversized",
    "foreign_video", "foreign_audio", "skipped_tracks", "broken_headers", "before_first_key", "without_audio_config",
    "audio_before_picture", "bad_nals", "segments_lost", "segments_cut_short",
  ],
  fixed: [
    "q07_damaged_amf", "q10_window_zero", "q15_fresh_type_1", "q16_type_3_after_type_0_advances",
    "q16_type_3_after_type_0_repeats", "q17_extended_timestamp_absent", "q17_extended_timestamp_differs",
    "q18_extended_delta_absolute", "q19_wrapped_24_bit", "q22_message_restarted", "q23_chunk_size_clamped", "q26_aggregate",
    "media_on_other_stream", "other_framing", "fillers", "merged_tags", "wrong_key_flags", "adts_in_flv", "repaired_dts",
    "repaired_pts", "wild_composition", "dts_shifts", "audio_resyncs", "jumps", "narrow_wraps", "forced_cuts", "strict_cuts",
    "segments_rewritten",
  ],
  seen: [
    "q01_handshake_version", "q03_amf3_message", "q04_unknown_command", "q07_no_op_data", "q11_user_control_ignored",
    "q11_unknown_message", "q11_short_control", "q23_chunk_size_mid_message", "q25_empty_message", "q26_abort",
    "q47_unpublish_without_publish", "publish_repeated", "command_before_connect", "info_messages", "repeated_headers",
    "without_parameter_sets", "recovery_points", "discontinuities",
  ],
};
const KIND = Object.fromEntries(Object.entries(KINDS).flatMap(([kind, names]) => names.map((name) => [name, kind])));

/** A counter of a report: what it counts, what was done, and how bad it is. Codecs that were left out are named. */
export function quirk(name, count, report) {
  if (name === "widest_skew_ms") return { what: t("quirk.widest_skew_ms", { count }), done: t("quirk.widest_skew_ms.done"), kind: "seen", count: "" };
  const codec = { foreign_video: report.video_codec, foreign_audio: report.audio_codec }[name];
  const what = codec ? t(name === "foreign_video" ? "quirk.videoIn" : "quirk.audioIn", { codec }) : tOr(`quirk.${name}`, name);
  return { what, done: tOr(`quirk.${name}.done`, ""), kind: KIND[name] ?? "seen", count: `${figure(count)} ×` };
}

/** The names of all counters that are known here. */
export const knownQuirks = () => [...Object.keys(KIND), "widest_skew_ms"];

/** What to make of a publish that was refused; empty when the message says all. */
export const whyRefused = (code) => tOr(`refused.${code}`, "");
