// Figures and times for people.
import { locale, t } from "./i18n.js";

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

export const count = (number) => Number(number).toLocaleString(locale());

const two = (number) => String(number).padStart(2, "0");

export const duration = (seconds) => {
  const whole = Math.max(0, Math.round(seconds));
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  if (h) return `${h}:${two(m)}:${two(s)}`;
  if (m) return `${m}:${two(s)} ${t("unit.minutes")}`;
  // What lasts less than a second lasts something all the same.
  if (seconds > 0 && seconds < 9.95) return `${seconds.toFixed(1)} s`;
  return `${s} s`;
};

/** `1:02:03`, as on the clock of a player. */
export const clock = (seconds) => {
  const whole = Math.max(0, Math.floor(seconds));
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  return h ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
};

/** A moment in the reader's own time. */
export const moment = (text, style = { dateStyle: "medium", timeStyle: "medium" }) => {
  const date = new Date(text);
  return Number.isNaN(date.getTime()) ? String(text) : date.toLocaleString(locale(), style);
};

export const time = (date) => moment(date, { timeStyle: "medium" });
export const day = (date) => moment(date, { dateStyle: "full" });

/** `2026-11-28T19:05:03` in the reader's own time: what a field for date and time holds. */
export const localStamp = (date) =>
  `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}T${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
