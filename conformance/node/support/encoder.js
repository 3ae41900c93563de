// ffmpeg as the encoder: a generated moving picture with sound, pushed at real time.
import { spawn, spawnSync } from "node:child_process";
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";

/** H.264 with B-frames, 30 fps, a key frame each second, and AAC. */
export function makeSource(seconds, size = "640x360", scene = "testsrc2") {
  const file = path.join(mkdtempSync(path.join(tmpdir(), "millpond-source-")), "source.flv");
  const made = spawnSync("ffmpeg", [
    "-v", "error", "-y", "-f", "lavfi", "-t", String(seconds), "-i", `${scene}${scene.includes("=") ? ":" : "="}size=${size}:rate=30`,
    "-f", "lavfi", "-i", `sine=frequency=440:sample_rate=44100:duration=${seconds}`,
    "-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p", "-bf", "2", "-g", "30", "-sc_threshold", "0",
    "-c:a", "aac", "-b:a", "96k", "-f", "flv", file,
  ]);
  if (made.status !== 0) throw new Error(`ffmpeg: ${made.error ?? made.stderr}`);
  return file;
}

/** Starts the push, to several URLs at once if there is a list of them; `options` go before the output. */
export function push(source, url, { paced = true, loop = false, options = [] } = {}) {
  const all = Array.isArray(url) && url.map((one) => `[f=flv]${one}`).join("|");
  const output = all ? ["-map", "0", "-f", "tee", all] : ["-f", "flv", url];
  const child = spawn("ffmpeg", [
    "-hide_banner", "-nostats", "-v", "info", ...(loop ? ["-stream_loop", "-1"] : []), ...(paced ? ["-re"] : []),
    "-i", source, "-c", "copy", ...options, ...output,
  ]);
  const running = { child, stderr: "" };
  child.stderr.on("data", (data) => (running.stderr += data));
  child.stdout.resume();
  running.ended = new Promise((resolve) => child.once("exit", (status) => resolve(status)));
  running.stop = async () => {
    child.kill("SIGKILL");
    await running.ended;
  };
  return running;
}
