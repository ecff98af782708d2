/** Values over time as lines, with the value under the pointer. Missing values are gaps. */

import { element, empty } from "./dom.js";
import { clock } from "./format.js";

const WIDTH = 640;
const HEIGHT = 190;
const LEFT = 56;
const RIGHT = 8;
const TOP = 10;
const BOTTOM = 24;
const COLOURS = 6;

/** The next value above that makes a good end of an axis. */
function roundUp(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  const step = [1, 2, 5, 10].find((each) => each * power >= value * 0.999);
  return step * power;
}

/** A line's path; values that are null interrupt it. */
function path(points, x, y) {
  let text = "";
  let down = false;
  for (const { at, value } of points) {
    if (value === null) {
      down = false;
      continue;
    }
    text += `${down ? "L" : "M"}${x(at).toFixed(1)} ${y(value).toFixed(1)}`;
    // A value between two gaps would be no line at all.
    if (!down) text += "h0.01";
    down = true;
  }
  return text;
}

/**
 * A chart of several series.
 * @param {{name: string, points: {at: number, value: number | null}[]}[]} series
 * @param {{most: number | null, format: (value: number) => string, none: string}} options the end of the axis, if known
 */
export function chart(series, { most, format, none }) {
  const known = series.flatMap(({ points }) => points.filter(({ value }) => value !== null));
  if (known.length === 0) return empty(none);
  const times = series.flatMap(({ points }) => points.map(({ at }) => at));
  const last = Math.max(...times);
  const first = Math.min(Math.min(...times), last - 30);
  const end = most ?? roundUp(Math.max(...known.map(({ value }) => value), 0.001));
  const x = (at) => LEFT + ((at - first) / (last - first)) * (WIDTH - LEFT - RIGHT);
  const y = (value) => HEIGHT - BOTTOM - (Math.min(value, end) / end) * (HEIGHT - TOP - BOTTOM);

  const grid = [0, 0.25, 0.5, 0.75, 1].map((share) => {
    const at = y(share * end);
    return [
      element("svg:line", { class: "grid", x1: LEFT, x2: WIDTH - RIGHT, y1: at, y2: at }),
      share % 0.5 === 0 ? element("svg:text", { class: "axis", x: LEFT - 8, y: at + 4, "text-anchor": "end" }, format(share * end)) : null,
    ];
  });
  const ticks = [0, 0.5, 1].map((share) =>
    element("svg:text", { class: "axis", x: x(first + share * (last - first)), y: HEIGHT - 6, "text-anchor": ["start", "middle", "end"][share * 2] }, clock(first + share * (last - first))));
  const lines = series.map(({ points }, place) =>
    element("svg:path", { class: `line colour-${place % COLOURS}`, d: path(points, x, y) }));
  const mark = element("svg:line", { class: "mark", y1: TOP, y2: HEIGHT - BOTTOM, visibility: "hidden" });
  const said = element("p", { class: "legend" });
  const legend = (at = null) => {
    const entries = series.map(({ name, points }, place) => {
      const point = at === null ? points.at(-1) : points.reduce((best, each) => (Math.abs(each.at - at) < Math.abs(best.at - at) ? each : best), points[0]);
      return element("span", {}, element("i", { class: `key colour-${place % COLOURS}` }), `${name} `, element("b", {}, format(point?.value ?? null)));
    });
    said.replaceChildren(...entries, element("span", { class: "dim" }, at === null ? "now" : clock(at)));
  };
  legend();
  const drawing = element(
    "svg:svg",
    {
      viewBox: `0 0 ${WIDTH} ${HEIGHT}`, class: "chart", role: "img",
      "aria-label": `${series.map(({ name, points }) => `${name}: ${format(points.at(-1)?.value ?? null)}`).join(", ")}, now`,
      onpointermove: (event) => {
        const box = drawing.getBoundingClientRect();
        const at = first + (((event.clientX - box.left) / box.width) * WIDTH - LEFT) / (WIDTH - LEFT - RIGHT) * (last - first);
        const bounded = Math.min(Math.max(at, first), last);
        mark.setAttribute("x1", x(bounded));
        mark.setAttribute("x2", x(bounded));
        mark.setAttribute("visibility", "visible");
        legend(bounded);
      },
      onpointerleave: () => {
        mark.setAttribute("visibility", "hidden");
        legend();
      },
    },
    grid.flat(),
    ticks,
    lines,
    mark,
  );
  return element("div", {}, drawing, said);
}
