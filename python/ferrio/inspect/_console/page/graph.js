/** The wait-for graph: tasks and what is between them, drawn from left to right, or downwards where that is too wide. */

import { element, empty, fill, panel } from "./dom.js";
import { count } from "./format.js";
import { ask } from "./data.js";
import { arrange } from "./layout.js";

const NODE = { width: 210, height: 50 };
// Between layers, where the words are, when these lie beside or below one another.
const GAP = { beside: 78, below: 48 };
const BETWEEN = { beside: 22, below: 24 };
const EDGE = 4;
// For an arrow that leads back, and between bands.
const ROOM = 62;
const APART = 44;

/** Cuts a text to what fits into a node. */
function cut(text, most) {
  return text.length > most ? `${text.slice(0, most - 1)}…` : text;
}

/** The corner of a node in its band. */
function corner({ layer, row }, downwards) {
  return downwards
    ? { x: row * (NODE.width + BETWEEN.below), y: layer * (NODE.height + GAP.below) }
    : { x: layer * (NODE.width + GAP.beside), y: row * (NODE.height + BETWEEN.beside) };
}

/** An arrow's path, and the place of its words. */
function arrow(from, to, back, downwards) {
  const { width, height } = NODE;
  if (downwards) {
    if (back) {
      const side = Math.min(from.x, to.x) - 26;
      const [start, end] = [from.y + height / 2, to.y + height / 2];
      return { path: `M${from.x} ${start}Q${side} ${start} ${side} ${start - 26}L${side} ${end + 26}Q${side} ${end} ${to.x - 2} ${end}`, x: side, y: (start + end) / 2 };
    }
    const start = { x: from.x + width / 2, y: from.y + height };
    const end = { x: to.x + width / 2, y: to.y - 2 };
    const middle = (start.y + end.y) / 2;
    return { path: `M${start.x} ${start.y}C${start.x} ${middle} ${end.x} ${middle} ${end.x} ${end.y}`, x: (start.x + end.x) / 2, y: middle + 4 };
  }
  if (back) {
    const above = Math.min(from.y, to.y) - 24;
    const [start, end] = [from.x + width / 2, to.x + width / 2];
    return { path: `M${start} ${from.y}Q${start} ${above} ${start - 26} ${above}L${end + 26} ${above}Q${end} ${above} ${end} ${to.y - 2}`, x: (start + end) / 2, y: above + 4 };
  }
  const start = { x: from.x + width, y: from.y + height / 2 };
  const end = { x: to.x - 2, y: to.y + height / 2 };
  const middle = (start.x + end.x) / 2;
  return { path: `M${start.x} ${start.y}C${middle} ${start.y} ${middle} ${end.y} ${end.x} ${end.y}`, x: middle, y: (start.y + end.y) / 2 - 6 };
}

function markers() {
  return element("svg:defs", {}, ["", "-red"].map((kind) =>
    element("svg:marker", { id: `head${kind}`, class: `head${kind}`, viewBox: "0 0 8 8", refX: 7, refY: 4, markerWidth: 7, markerHeight: 7, orient: "auto" },
      element("svg:path", { d: "M0 0L8 4L0 8z" }))));
}

function drawNode(node, at) {
  const opens = node.kind === "task" ? { "data-task": node.id, tabindex: 0, role: "button", onkeydown: (event) => { if (event.key === "Enter") event.currentTarget.dispatchEvent(new MouseEvent("click", { bubbles: true })); } } : {};
  return element(
    "svg:g",
    { class: `node ${node.kind}${node.red ? " red" : ""}`, transform: `translate(${at.x} ${at.y})`, ...opens },
    element("svg:title", {}, `${node.title}: ${node.tells}`),
    element("svg:rect", { width: NODE.width, height: NODE.height, rx: node.kind === "task" ? 8 : 25 }),
    element("svg:text", { x: 16, y: 21, class: "title" }, cut(node.title, 22)),
    element("svg:text", { x: 16, y: 38, class: "place" }, cut(node.tells, 27)),
  );
}

/** The size of a band, with room beside it for an arrow that leads back. */
function size({ rows, layers, back }, downwards) {
  const room = back.size ? ROOM : 0;
  return downwards
    ? { across: room + rows * (NODE.width + BETWEEN.below) - BETWEEN.below, down: layers * (NODE.height + GAP.below) - GAP.below, left: room, top: 0 }
    : { across: layers * (NODE.width + GAP.beside) - GAP.beside, down: room + rows * (NODE.height + BETWEEN.beside) - BETWEEN.beside, left: 0, top: room };
}

/** Puts the bands side by side as long as they fit, then below: each from left to right if that fits, else downwards. */
function plan(bands, room) {
  const corners = new Map();
  const downwards = new Set();
  const shelf = { x: EDGE, y: EDGE, down: 0 };
  let widest = 0;
  for (const each of bands) {
    const turned = size(each, false).across > room - 2 * EDGE;
    const { across, down, left, top } = size(each, turned);
    if (shelf.x > EDGE && shelf.x + across > room - EDGE) Object.assign(shelf, { x: EDGE, y: shelf.y + shelf.down + APART, down: 0 });
    for (const [id, place] of each.places) {
      const { x, y } = corner(place, turned);
      corners.set(id, { x: shelf.x + left + x, y: shelf.y + top + y });
      if (turned) downwards.add(id);
    }
    shelf.x += across + APART;
    shelf.down = Math.max(shelf.down, down);
    widest = Math.max(widest, shelf.x - APART + EDGE);
  }
  return { corners, downwards, across: widest, down: shelf.y + shelf.down + EDGE };
}

/** The drawing of the answer. */
function draw(found, room) {
  const { nodes, edges } = found;
  const bands = arrange(nodes, edges);
  const back = new Set(bands.flatMap((each) => [...each.back]));
  const { corners, downwards, across, down } = plan(bands, room);
  const said = new Set();
  const arrows = [...edges].sort((left, right) => left.red - right.red).map((edge) => {
    const { path, x, y } = arrow(corners.get(edge.from), corners.get(edge.to), back.has(edge), downwards.has(edge.from));
    // The same words once, where several arrows of a kind meet.
    const meeting = `${edge.label === "held by" ? edge.from : edge.to} ${edge.label}`;
    const repeats = said.has(meeting);
    said.add(meeting);
    const words = repeats && !edge.red ? "" : edge.how === "inferred" ? `${edge.label} (inferred)` : edge.label;
    return element("svg:g", { class: `edge${edge.red ? " red" : ""}${edge.how === "inferred" ? " inferred" : ""}` },
      element("svg:path", { d: path, "marker-end": `url(#head${edge.red ? "-red" : ""})` }),
      element("svg:text", { x, y, "text-anchor": "middle" }, words));
  });
  const red = nodes.filter((node) => node.red && node.kind === "task").map((node) => node.title);
  return element(
    "svg:svg",
    { class: "graph", width: across, height: down, viewBox: `0 0 ${across} ${down}`, role: "group", "aria-label": red.length ? `Wait-for graph; deadlocked: ${red.join(", ")}` : "Wait-for graph" },
    markers(), arrows, nodes.map((node) => drawNode(node, corners.get(node.id))),
  );
}

export function graphView() {
  let parts = null;
  let busy = false;
  let last = "";
  let found = null;
  const resized = new ResizeObserver(() => { if (found) show(found); });

  function show(answer) {
    found = answer;
    const room = parts.drawing.clientWidth;
    const text = JSON.stringify(answer) + room;
    if (text === last) return;
    last = text;
    const focused = document.activeElement?.dataset?.task;
    const note = answer.hidden > 0 ? element("p", { class: "dim" }, `${count(answer.hidden, "more thing")} that tasks wait for not drawn: see Primitives.`) : null;
    fill(parts.drawing, answer.nodes.length ? draw(answer, room) : empty("No task waits for another task, or for a lock, event or queue."), note);
    if (focused) parts.drawing.querySelector(`[data-task="${focused}"]`)?.focus();
  }

  return {
    show(place) {
      parts = { drawing: element("div", { class: "wide graph-box" }) };
      const key = element("p", { class: "legend" },
        element("span", {}, element("i", { class: "key-box" }), "task"),
        element("span", {}, element("i", { class: "key-box round" }), "lock, queue, …"),
        element("span", {}, element("i", { class: "key-box red" }), "in a deadlock"),
        element("span", { class: "dim" }, "Choose a task to see its stack."));
      fill(place, panel("Who waits for whom", "An arrow leads from what waits to what it waits for, and from a lock to the task that holds it. Circles of red arrows never end.", key, parts.drawing));
      resized.observe(parts.drawing);
    },
    hide: () => resized.disconnect(),
    async update() {
      if (busy) return;
      busy = true;
      try {
        show(await ask("graph"));
      } catch {
        // The connection is gone, which the page says.
      } finally {
        busy = false;
      }
    },
  };
}
