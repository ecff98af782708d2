/** One task beside the view: its stack, why it does not go on, who created it, and what it was seen to do. */

import { element, empty, fill, taskLink } from "./dom.js";
import { clock, number, place, seconds, wholePlace } from "./format.js";
import { ask } from "./data.js";

let aside = null;
let shown = null;
let opener = null;
let busy = false;

/** Where details go. */
export function begin(place) {
  aside = place;
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && shown !== null) close();
  });
}

/** Shows a task; `from` gets the focus back when it is closed. */
export async function open(task, from) {
  if (shown === null) opener = from;
  shown = task;
  aside.hidden = false;
  document.body.classList.add("with-detail");
  await load();
  aside.scrollTop = 0;
  aside.querySelector("button")?.focus({ preventScroll: true });
}

/** Something is new. */
export function update() {
  if (shown !== null) load();
}

function close() {
  shown = null;
  aside.hidden = true;
  document.body.classList.remove("with-detail");
  const target = opener?.isConnected ? opener.closest("[role=grid]") ?? opener : document.querySelector("[role=grid]");
  target?.focus();
}

async function load() {
  if (busy) return;
  busy = true;
  const wanted = shown;
  try {
    const task = await ask("task", { id: wanted });
    if (shown === wanted) draw(task);
  } catch {
    // The connection is gone, which the page says.
  } finally {
    busy = false;
    if (shown !== null && shown !== wanted) load();
  }
}

function part(title, tells, ...children) {
  return element("section", {}, element("h3", {}, title), element("p", { class: "tells" }, tells), ...children);
}

function frame(each) {
  return element(
    "li",
    { class: each.asyncio ? "asyncio" : null },
    element("span", { class: "function" }, each.function),
    element("span", { class: "dim", title: wholePlace(each) }, place(each) || "native"),
  );
}

/** A link of the chain, with the sentence that leads to the next one. */
function link(each, next) {
  const holds = each.next && each.primitive
    ? element("span", {}, `${each.kind} `, element("code", {}, each.primitive), ", held by ", next ? element("b", {}, next.task.name) : each.next,
        each.held === null ? "" : ` for ${seconds(each.held)}`, each.how === "inferred" ? " (inferred)" : "",
        each.held_at?.file ? `, now at ${place(each.held_at)}` : "")
    : element("span", {}, each.waits_for === "-" ? "nothing: it can run" : each.waits_for);
  return element(
    "li",
    {},
    taskLink(each.task),
    element("span", { class: "dim", title: wholePlace(each.where) }, ` ${each.where?.function ?? ""} ${place(each.where)}`),
    element("div", { class: "because" }, "waits for ", holds, each.others > 0 ? `, and ${number(each.others)} others` : ""),
  );
}

const ENDS = {
  deadlock: "a deadlock: none of these tasks can go on",
  circle: "a circle that a timeout ends, or that is not certain",
  running: "the last one runs",
  ready: "the last one is ready to run",
  outside: "the last one waits for something that is no task",
};

function chainOf(task) {
  const links = task.chain.map((each, at) => link(each, task.chain[at + 1] ?? task.chain[task.back_to ?? -1]));
  const back = task.back_to === null ? null : element("li", { class: "back" }, "back to ", taskLink(task.chain[task.back_to].task));
  return [element("ol", { class: task.end === "deadlock" ? "chain alarming" : "chain" }, links, back), element("p", { class: "dim" }, `The end: ${ENDS[task.end]}.`)];
}

function facts(task) {
  const times = task.times;
  const rows = [
    ["State", element("span", { class: `state ${task.deadlocked ? "deadlocked" : task.state}` }, task.deadlocked ? "deadlocked" : task.state)],
    ["Waits for", task.waits_for],
    task.timeout === null ? null : ["Timeout", `in ${seconds(task.timeout)}`],
    ["Age", task.age === null ? "unknown: from before inspection began" : seconds(task.age)],
    times ? ["Polls", `${number(times.polls)}, ${seconds(times.total)} together, the longest ${seconds(times.longest)}`] : null,
    times && times.scheduled !== null
      ? ["Ready, not run", `${seconds(times.scheduled)} in ${number(times.wakeups)} wake-ups`]
      : null,
    task.context ? ["Context", task.context] : null,
    ["Identifier", element("code", {}, task.id)],
    ["Class", task.type],
  ];
  return element("dl", {}, rows.filter(Boolean).flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, value)]));
}

function created(task) {
  if (task.created === null) return empty("Not known: it was created before inspection began.");
  return element("p", {}, element("span", { class: "function" }, task.created.function), " ",
    element("span", { class: "dim", title: wholePlace(task.created) }, place(task.created)), task.created.by ? [" by ", taskLink(task.created.by)] : "");
}

function history(task) {
  const rows = task.changes.toReversed().map((each) =>
    element("li", {}, element("time", {}, clock(each.at)), element("span", { class: `state ${each.state}` }, each.state),
      element("span", {}, each.waits_for === "-" ? "" : each.waits_for, " ", element("span", { class: "dim" }, each.where.replace(/\(.*\//, "(")))));
  return element("ol", { class: "history" }, rows);
}

function draw(task) {
  const top = aside.scrollTop;
  const focused = aside.contains(document.activeElement) ? [...aside.querySelectorAll("button")].indexOf(document.activeElement) : -1;
  const head = element(
    "div",
    { class: "detail-head" },
    element("div", {}, element("h2", {}, task.name ?? "This task is done"), element("p", { class: "dim" }, task.coroutine ?? task.id)),
    element("button", { type: "button", class: "quiet", "aria-label": "Close (Escape)", onclick: close }, "Close"),
  );
  const past = part("History", "What it was seen to do while this console looked, newest first. What happens between two looks is not seen.",
    task.changes.length ? history(task) : empty("Nothing was seen of it."));
  if (task.gone) {
    fill(aside, head, empty("It has ended since, or was never there. Its address may be used again by another task."), past);
  } else {
    const awaiters = task.awaited_by.flatMap((each) => [taskLink(each), " "]);
    const more = task.awaited_by_total - task.awaited_by.length;
    fill(
      aside,
      head,
      facts(task),
      part("Why it does not go on", "From this task to what it waits for, to the end.", chainOf(task)),
      part("Stack", "From its coroutine to the innermost function that waits.", task.stack.length ? element("ol", { class: "stack" }, task.stack.map(frame)) : empty("A native coroutine: it has no frames.")),
      part("Awaited by", "Tasks that wait for it to end.", task.awaited_by_total ? element("p", {}, awaiters, more > 0 ? `and ${number(more)} more` : "") : empty("No task waits for it.")),
      part("Created", "Who created it, and where.", created(task)),
      past,
    );
  }
  aside.scrollTop = top;
  if (focused >= 0) aside.querySelectorAll("button")[focused]?.focus({ preventScroll: true });
}
