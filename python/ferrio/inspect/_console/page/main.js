/**
 * The page: lets itself in, listens to the stream, and shows the view that the address names.
 *
 * The stream says only that there is something new; the view that is open asks for what it shows, so that a process with
 * many tasks costs no more than one with few. Each view is an object with `show(place)` and `update(status)`.
 */

import { empty, element, fill } from "./dom.js";
import { clock, count, number } from "./format.js";
import * as data from "./data.js";
import * as theme from "./theme.js";
import * as detail from "./detail.js";
import { blockedView } from "./blocked.js";
import { graphView } from "./graph.js";
import { overviewView } from "./overview.js";
import { tableView } from "./table.js";

const VIEWS = [
  { name: "overview", title: "Overview", make: overviewView },
  { name: "tasks", title: "Tasks", make: () => tableView("tasks"), counted: "tasks" },
  { name: "waits", title: "Waits", make: graphView },
  { name: "blocked", title: "Blocked", make: blockedView, counted: "blocks" },
  { name: "primitives", title: "Primitives", make: () => tableView("primitives"), counted: "primitives" },
  { name: "connections", title: "Connections", make: () => tableView("connections"), counted: "connections" },
  { name: "servers", title: "Servers", make: () => tableView("servers"), counted: "servers" },
  { name: "children", title: "Children", make: () => tableView("children"), counted: "children" },
  { name: "jobs", title: "Executor", make: () => tableView("jobs"), counted: "jobs" },
  { name: "timers", title: "Timers", make: () => tableView("timers"), counted: "timers" },
  { name: "lints", title: "Lints", make: () => tableView("lints"), counted: "lints" },
];
// These are there in every process; the others appear when the process tells of them.
const ALWAYS = new Set(["overview", "tasks", "waits", "blocked", "primitives"]);

const page = Object.fromEntries(
  ["process", "liveness", "theme", "views", "notices", "view", "detail"].map((name) => [name, document.getElementById(name)]),
);
let status = null;
let current = null;

/** Marks the view's name in the navigation, and what it counts. */
function showNavigation() {
  const counts = status?.counts ?? {};
  const links = VIEWS.filter(({ name, counted }) => ALWAYS.has(name) || counted in counts).map(({ name, title, counted }) => {
    const alarming = (name === "waits" && counts.deadlocks > 0) || (name === "blocked" && status?.blocked_now) ||
      (name === "lints" && counts.lints > 0);
    const badge = name === "waits" ? counts.deadlocks || null : counted ? counts[counted] : null;
    return element(
      "a",
      { href: `#${name}`, "aria-current": current?.name === name ? "page" : null },
      element("span", {}, title),
      badge === null || badge === undefined
        ? null
        : element("span", { class: alarming ? "badge alarming" : "badge" }, number(badge)),
    );
  });
  const focused = page.views.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
  fill(page.views, links);
  if (focused) page.views.querySelector(`[href="${focused}"]`)?.focus();
}

/** The process, whether it can be seen now, and what is wrong. */
function showStatus() {
  const process = status.process;
  const name = process.program.split("/").pop() || "(no program)";
  fill(
    page.process,
    element("b", { title: process.program }, name),
    element("span", {}, `process ${process.pid}`),
    element("span", {}, `Python ${process.python}`),
    element("span", {}, `ferrio ${process.ferrio}`),
  );
  document.title = `${status.counts.deadlocks ? "(!) " : ""}${name} · ferrio console`;
  const state = status.ended ? "ended" : status.trouble ? "not answering" : "live";
  page.liveness.textContent = state;
  page.liveness.className = `pill ${state.replace(" ", "-")}`;
  fill(
    page.notices,
    status.ended
      ? element("p", { class: "notice alarming" }, element("b", {}, `The process ended at ${clock(status.at)}. `), "What it was seen to do last is kept here.")
      : status.trouble
        ? element("p", { class: "notice" }, element("b", {}, "This is what was seen last. "), `${status.trouble}.`)
        : null,
    status.counts.deadlocks && current?.name !== "waits" && current?.name !== "overview"
      ? element("p", { class: "notice alarming" }, element("b", {}, `${count(status.counts.deadlocks, "deadlock")}. `), element("a", { href: "#waits" }, "See who waits for whom"))
      : null,
    status.inspecting === null && status.version > 0 && !status.ended
      ? element("p", { class: "notice" }, "Inspection is off in the process: creators, ages and blocks are not recorded.")
      : null,
  );
}

/** Opens the view that the address names. */
function route() {
  const name = location.hash.slice(1).split("?")[0] || "overview";
  if (name === "content") return;
  const found = VIEWS.find((view) => view.name === name) ?? VIEWS[0];
  if (current?.name !== found.name) {
    current?.view.hide?.();
    const place = element("div", { class: `view-${found.name}` });
    current = { name: found.name, view: found.make() };
    fill(page.view, place);
    current.view.show(place);
    if (status) current.view.update(status);
  }
  showNavigation();
  page.views.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest", inline: "nearest" });
  if (status) showStatus();
}

/** Something is new. */
function look(found) {
  status = found;
  showNavigation();
  showStatus();
  current?.view.update(found);
  detail.update(found);
}

/** The connection to the console is gone. */
function lost(again) {
  page.liveness.textContent = again ? "connecting" : "gone";
  page.liveness.className = "pill not-answering";
  const why = again
    ? "The console does not answer; this page tries again."
    : "The console does not let this page in: open the address that it has printed.";
  fill(page.notices, element("p", { class: "notice" }, why));
}

async function begin() {
  theme.begin(page.theme);
  detail.begin(page.detail);
  try {
    await data.enter();
    await data.ask("overview");
  } catch (problem) {
    page.liveness.textContent = "locked";
    fill(page.view, empty(`This page is locked: ${problem.message}.`));
    addEventListener("hashchange", () => location.reload());
    return;
  }
  addEventListener("hashchange", route);
  document.addEventListener("click", (event) => {
    const link = event.target.closest?.("[data-task]");
    if (link) detail.open(link.dataset.task, link);
  });
  route();
  data.listen(look, lost);
}

begin();
