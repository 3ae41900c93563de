// Figures and times for people.

export const bits = (bytesPerSecond) => {
  const rate = bytesPerSecond * 8;
  if (rate >= 1e6) return `${(rate / 1e6).toFixed(rate >= 1e7 ? 0 : 1)} Mbit/s`;
  return `${Math.round(rate / 1000)} kbit/s`;
};

export const bytes = (count) => {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let step = 0;
  for (; count >= 1000 && step < units.length - 1; step++) count /= 1000;
  return `${step && count < 100 ? count.toFixed(1) : Math.round(count)} ${units[step]}`;
};

export const count = (number) => Number(number).toLocaleString("en");

export const duration = (seconds) => {
  const whole = Math.max(0, Math.round(seconds));
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const two = (number) => String(number).padStart(2, "0");
  return h ? `${h}:${two(m)}:${two(s)}` : m ? `${m}:${two(s)} min` : `${s} s`;
};

/** A moment in the reader's own time. */
export const moment = (text) => {
  const date = new Date(text);
  return Number.isNaN(date.getTime()) ? text : date.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "medium" });
};
