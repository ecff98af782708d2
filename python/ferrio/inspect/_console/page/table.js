/**
 * A table that has only the rows on the screen: the server sorts and filters, and sends the slice that is looked at.
 *
 * Rows have one height, so the place of each is known without having it. Arrow keys move the chosen row, Enter opens it.
 */

import { element, empty, fill, panel } from "./dom.js";
import { bytes, count, number, seconds, splitPlace } from "./format.js";
import { ask } from "./data.js";

const ROW_HEIGHT = 34;
// Rows above and below the visible ones, so that scrolling shows no gaps.
const MARGIN = 20;

const TELLS = {
  tasks: ["Tasks", "Every task that is not done, and what it waits for. Choose one to see its stack and why it does not go on."],
  primitives: ["Primitives", "Locks, semaphores, events, conditions, barriers and queues that some task waits for or holds."],
  connections: ["Connections", "Open connections: to whom, how much has gone through, and whether writing is held back."],
  servers: ["Servers", "Sockets on which the program accepts connections."],
  children: ["Child processes", "Processes that the program has started and that have not ended."],
  jobs: ["Executor jobs", "What threads of executors do now, and what still waits for a thread."],
  timers: ["Timers", "What loops will call, and when: the soonest first, at most ten thousand."],
  lints: ["Lints", "What looks like a mistake in the program, though nothing has failed yet."],
};
const NONE = {
  tasks: "No task: the loop may not have started, or the program has nothing to do.",
  primitives: "No task waits for a lock, event or queue, or holds one, at this moment.",
  connections: "No connection is open at this moment.",
  servers: "The program accepts no connections.",
  children: "The program has started no process that still runs.",
  jobs: "No job runs or waits in an executor.",
  timers: "No timer is set.",
  lints: "Nothing looks wrong.",
};
const STATES = ["", "running", "ready", "waiting", "deadlocked"];

/** A cell's content. */
function cell(column, row) {
  const value = row[column.name];
  if (column.kind === "seconds") return seconds(value);
  if (column.kind === "number") return number(value);
  if (column.kind === "bytes") return bytes(value);
  if (column.kind === "process") return String(value);
  if (column.kind === "state") return element("span", { class: `state ${value}` }, value);
  if (column.kind === "place") {
    const found = splitPlace(value ?? "");
    return element("span", { title: value }, found.function, " ", element("span", { class: "dim" }, found.place));
  }
  // An address tells a reader little; it is in the tooltip and in the task's details.
  const text = column.name === "waits_for" ? value.replace(/ 0x[0-9a-f]+/g, "") : value;
  return element("span", { title: value ?? "" }, text ?? "–");
}

/** The view of one table. */
export function tableView(name) {
  const wanted = { sort: name === "tasks" ? "state" : "", backwards: false, filter: "", state: "" };
  let columns = [];
  let slice = { offset: 0, rows: [], total: 0, all: 0 };
  let chosen = null;
  let pending = null;
  let seen = null;
  let parts = null;

  function build(place) {
    const [title, tells] = TELLS[name];
    const search = element("input", {
      type: "search", placeholder: "Filter by words", "aria-label": "Filter", spellcheck: "false",
      oninput: (event) => { wanted.filter = event.target.value; toTop(); },
    });
    const states = element(
      "select",
      { "aria-label": "State", onchange: (event) => { wanted.state = event.target.value; toTop(); } },
      STATES.map((state) => element("option", { value: state }, state || "every state")),
    );
    parts = {
      head: element("div", { class: "row head", role: "row" }),
      body: element("div", { class: "body", role: "rowgroup" }),
      counted: element("span", { class: "counted", role: "status" }),
      none: element("div", {}),
    };
    parts.scroll = element(
      "div",
      { class: `table table-${name}`, role: "grid", tabindex: "0", "aria-label": title, onscroll: () => schedule(), onkeydown: press, onfocus: () => draw(), onblur: () => draw() },
      parts.head,
      parts.body,
    );
    const bar = element("div", { class: "bar" }, search, name === "tasks" ? states : null, parts.counted);
    fill(place, panel(title, tells, bar, parts.none, parts.scroll));
  }

  function toTop() {
    parts.scroll.scrollTop = 0;
    chosen = null;
    load();
  }

  function schedule() {
    draw();
    const { first, last } = visible();
    if (first < slice.offset || last > slice.offset + slice.rows.length) load();
  }

  function visible() {
    const first = Math.floor(parts.scroll.scrollTop / ROW_HEIGHT);
    const rows = Math.ceil(parts.scroll.clientHeight / ROW_HEIGHT) + 1;
    return { first, last: Math.min(first + rows, slice.total) };
  }

  async function load() {
    pending?.abort();
    const mine = (pending = new AbortController());
    const rows = Math.ceil(parts.scroll.clientHeight / ROW_HEIGHT) + 2 * MARGIN;
    const offset = Math.max(Math.floor(parts.scroll.scrollTop / ROW_HEIGHT) - MARGIN, 0);
    const query = { of: name, sort: wanted.sort, backwards: wanted.backwards ? 1 : 0, filter: wanted.filter, state: wanted.state, offset, limit: Math.min(rows, 400) };
    try {
      const found = await ask("rows", query, mine.signal);
      if (mine !== pending) return;
      slice = { ...found, offset };
      if (JSON.stringify(found.columns) !== JSON.stringify(columns)) {
        columns = found.columns;
      }
      drawHead();
      draw();
      // Fewer rows than before may have moved what is visible.
      const { first } = visible();
      if (slice.total > 0 && first >= slice.total) load();
    } catch (problem) {
      if (problem.name !== "AbortError") parts.counted.textContent = problem.message;
    }
  }

  function drawHead() {
    const focused = document.activeElement?.dataset?.sort;
    const { tracks, least } = widths(columns);
    parts.scroll.style.setProperty("--columns", tracks);
    parts.scroll.style.setProperty("--least", least);
    fill(
      parts.head,
      columns.map((column) => {
        const sorted = wanted.sort === column.name;
        return element(
          "div",
          { role: "columnheader", class: `cell kind-${column.kind}`, "aria-sort": sorted ? (wanted.backwards ? "descending" : "ascending") : null },
          element("button", { type: "button", title: column.tells, "data-sort": column.name, onclick: () => sortBy(column) },
            column.title, element("span", { class: "arrow", "aria-hidden": "true" }, sorted ? (wanted.backwards ? "↓" : "↑") : "")),
        );
      }),
    );
    if (focused) parts.head.querySelector(`[data-sort="${focused}"]`)?.focus();
  }

  function sortBy(column) {
    const numeric = ["seconds", "number", "process", "bytes"].includes(column.kind);
    if (wanted.sort === column.name) wanted.backwards = !wanted.backwards;
    else Object.assign(wanted, { sort: column.name, backwards: numeric });
    toTop();
  }

  function draw() {
    const { first, last } = visible();
    parts.scroll.setAttribute("aria-rowcount", slice.total);
    parts.body.style.height = `${slice.total * ROW_HEIGHT}px`;
    const rows = [];
    for (let place = Math.max(first - 5, 0); place < Math.min(last + 5, slice.total); place++) {
      const row = slice.rows[place - slice.offset];
      rows.push(row ? drawRow(row, place) : null);
    }
    fill(parts.body, rows);
    const filtered = wanted.filter || wanted.state;
    parts.counted.textContent = filtered ? `${number(slice.total)} of ${number(slice.all)}` : count(slice.all, "row");
    const nothing = slice.absent ? "This process does not tell of these." : filtered && slice.all ? "Nothing matches the filter." : NONE[name];
    parts.scroll.hidden = slice.total === 0 && seen !== null;
    fill(parts.none, slice.total === 0 && seen !== null ? empty(nothing) : null);
  }

  function drawRow(row, place) {
    const opens = name === "tasks" ? row.id : row.task;
    const made = element(
      "div",
      {
        class: `row${place === chosen ? " chosen" : ""}${place % 2 ? " odd" : ""}`, role: "row", "aria-rowindex": place + 1,
        "aria-selected": place === chosen ? "true" : null,
        onclick: () => { chosen = place; draw(); },
        "data-task": name === "tasks" ? opens : null,
      },
      columns.map((column) => element("div", { role: "gridcell", class: `cell kind-${column.kind}` }, cell(column, row))),
    );
    made.style.top = `${place * ROW_HEIGHT}px`;
    return made;
  }

  function press(event) {
    if (event.target !== parts.scroll) return;
    const page = Math.max(Math.floor(parts.scroll.clientHeight / ROW_HEIGHT) - 2, 1);
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -slice.total, End: slice.total };
    if (event.key in steps && slice.total) {
      event.preventDefault();
      chosen = Math.min(Math.max((chosen ?? -1) + steps[event.key], 0), slice.total - 1);
      const top = chosen * ROW_HEIGHT;
      const height = parts.scroll.clientHeight - 2 * ROW_HEIGHT;
      if (top < parts.scroll.scrollTop) parts.scroll.scrollTop = top;
      else if (top > parts.scroll.scrollTop + height) parts.scroll.scrollTop = top - height;
      schedule();
    } else if (event.key === "Enter" && chosen !== null) {
      parts.body.querySelector(".chosen")?.click();
    }
  }

  return {
    show: build,
    hide: () => pending?.abort(),
    update(status) {
      if (seen !== null && seen === status.version) return;
      seen = status.version;
      load();
    },
  };
}

// The least width of a column in rem, and its share of what is left.
const WIDTHS = {
  task: [9, 1.2],
  state: [6.5, 0],
  word: [5.5, 0.4],
  text: [7, 1.6],
  phrase: [11, 2],
  sentence: [16, 5],
  address: [11, 1],
  place: [10, 1.8],
  seconds: [6.5, 0],
  number: [5.5, 0],
  process: [5.5, 0],
  bytes: [6, 0],
  identifier: [9.5, 0],
};
// Between two columns, and beside the first and the last.
const GAP = 1;
const PADDING = 1.5;

/** The columns' widths as CSS has them, and what all of them need at least. */
function widths(columns) {
  const found = columns.map(({ kind }) => WIDTHS[kind] ?? WIDTHS.text);
  const least = found.reduce((sum, [width]) => sum + width + GAP, PADDING - GAP);
  return { tracks: found.map(([width, share]) => (share ? `minmax(${width}rem, ${share}fr)` : `${width}rem`)).join(" "), least: `${least}rem` };
}
