/** Numbers, times and places as people read them. */

const UNKNOWN = "–";

/** Seconds, with the unit that fits. */
export function seconds(value) {
  if (value === null || value === undefined) return UNKNOWN;
  if (value === 0) return "0 s";
  if (value < 0) return `−${seconds(-value)}`;
  if (value < 0.001) return `${(value * 1e6).toFixed(0)} µs`;
  if (value < 0.1) return `${(value * 1e3).toFixed(1)} ms`;
  if (value < 1) return `${(value * 1e3).toFixed(0)} ms`;
  if (value < 60) return `${value.toFixed(1)} s`;
  if (value < 3600) return `${Math.floor(value / 60)} min ${String(Math.floor(value % 60)).padStart(2, "0")} s`;
  if (value < 86400) return `${Math.floor(value / 3600)} h ${String(Math.floor((value % 3600) / 60)).padStart(2, "0")} min`;
  return `${Math.floor(value / 86400)} d ${Math.floor((value % 86400) / 3600)} h`;
}

/** A number with separators between thousands. */
export function number(value) {
  if (value === null || value === undefined) return UNKNOWN;
  return value.toLocaleString("en-US", { maximumFractionDigits: 2 });
}

/** Bytes, with the unit that fits. */
export function bytes(value) {
  if (value === null || value === undefined) return UNKNOWN;
  if (value < 1000) return `${value} B`;
  if (value < 1e6) return `${(value / 1e3).toFixed(1)} kB`;
  if (value < 1e9) return `${(value / 1e6).toFixed(1)} MB`;
  return `${(value / 1e9).toFixed(2)} GB`;
}

/** A share as a percentage. */
export function percent(value) {
  return value === null || value === undefined ? UNKNOWN : `${(value * 100).toFixed(value > 0 && value < 0.1 ? 1 : 0)} %`;
}

/** The time of day of seconds since the epoch. */
export function clock(at) {
  return at === null || at === undefined ? UNKNOWN : new Date(at * 1000).toLocaleTimeString("en-GB");
}

/** A count with its noun. */
export function count(value, noun) {
  return `${number(value)} ${noun}${value === 1 ? "" : "s"}`;
}

/** A frame's file without the folders, and its line; the whole is for a tooltip. */
export function place(frame) {
  if (!frame || !frame.file) return "";
  return `${frame.file.split("/").pop()}:${frame.line}`;
}

/** The same, with the folders. */
export function wholePlace(frame) {
  return !frame || !frame.file ? "" : `${frame.file}:${frame.line}`;
}

/** "function (/long/path/file.py:7)" as "function", "file.py:7" and the whole place. */
export function splitPlace(text) {
  const found = /^(.*?) \((.*)\)$/.exec(text);
  if (!found) return { function: text, place: "", whole: "" };
  return { function: found[1], place: found[2].split("/").pop(), whole: found[2] };
}
