/** The first view: is the program well? States of tasks, deadlocks, loops, and how these went lately. */

import { element, empty, fill, panel, taskLink } from "./dom.js";
import { count, number, percent, seconds } from "./format.js";
import { ask } from "./data.js";
import { chart } from "./chart.js";

// Points that are kept, as many as the server keeps.
const MOST = 600;

/** A number with what it means. */
function figure(title, value, tells, alarming = false) {
  return element(
    "div",
    { class: alarming ? "figure alarming" : "figure" },
    element("span", { class: "title" }, title),
    element("b", {}, value),
    element("span", { class: "tells" }, tells),
  );
}

export function overviewView() {
  const points = [];
  let parts = null;
  let busy = false;
  let since = 0;

  function show(place) {
    parts = {
      figures: element("div", { class: "figures" }),
      deadlocks: element("div", {}),
      utilization: element("div", {}),
      delay: element("div", {}),
      loops: element("div", {}),
    };
    fill(
      place,
      parts.figures,
      parts.deadlocks,
      element(
        "div",
        { class: "pair" },
        panel("Utilisation", "The share of its time in which each loop ran callbacks. Near 100 %, it has no time left.", parts.utilization),
        panel("Delay", "How long events had to wait until the loop looked for them: 99 of 100 waited no longer than this.", parts.delay),
      ),
      panel("Loops", "Each event loop, and what it has to do.", parts.loops),
    );
  }

  function drawFigures(status, found) {
    const states = status.states;
    const latest = points.filter((point) => point.version === points.at(-1)?.version);
    const busiest = Math.max(...latest.map((point) => point.utilization ?? -1), -1);
    const change = found.came === null ? "since the console opened" : `${number(found.came)} came, ${number(found.gone)} went`;
    fill(
      parts.figures,
      figure("Tasks", number(status.counts.tasks), change),
      figure("Waiting", number((states.waiting ?? 0) + (states.deadlocked ?? 0)), `${number(states.ready ?? 0)} ready, ${number(states.running ?? 0)} running`),
      figure("Deadlocks", number(status.counts.deadlocks), status.counts.deadlocks ? "these never go on" : "no circle of waits", status.counts.deadlocks > 0),
      figure("Blocks", number(status.counts.blocks), status.blocked_now ? "the loop is blocked now" : "callbacks that ran too long", status.blocked_now),
      figure("Utilisation", busiest < 0 ? "–" : percent(busiest), busiest < 0 ? "not measured yet" : "of the busiest loop"),
    );
  }

  function drawDeadlocks(deadlocks) {
    if (!deadlocks.length) return fill(parts.deadlocks);
    const lines = deadlocks.map(({ tasks, total, has_timeout: timeout }) => {
      const names = tasks.flatMap((task) => [taskLink(task), element("span", { class: "arrow" }, " → ")]);
      const back = total > tasks.length ? `and ${total - tasks.length} more` : tasks.length ? taskLink(tasks[0]) : "";
      return element("li", {}, ...names, back, timeout ? element("span", { class: "dim" }, " (a timeout will end it)") : null);
    });
    fill(
      parts.deadlocks,
      element("section", { class: "panel alarming" },
        element("h2", {}, count(deadlocks.length, "circle of waits").replace("waitss", "waits")),
        element("p", { class: "tells" }, "Each of these tasks waits for the next one, so none can go on. ", element("a", { href: "#waits" }, "See the graph")),
        element("ul", { class: "plain" }, lines)),
    );
  }

  function drawLoops(loops) {
    if (!loops.length) return fill(parts.loops, empty("No loop runs or has tasks."));
    const names = { thread_name: "Thread", state: "State", type: "Class", tasks: "Tasks", ready: "Ready", timers: "Timers" };
    const numbers = new Set(["tasks", "ready", "timers"]);
    const head = Object.entries(names).map(([name, title]) => element("th", { class: numbers.has(name) ? "number" : null, scope: "col" }, title));
    const rows = loops.map((loop) =>
      element("tr", {}, Object.keys(names).map((name) =>
        element("td", { class: numbers.has(name) ? "number" : null },
          numbers.has(name) ? number(loop[name]) : name === "state" ? `${loop.state}${loop.debug ? ", debug mode" : ""}` : loop[name] ?? "none"))));
    fill(parts.loops, element("div", { class: "wide" }, element("table", {}, element("thead", {}, element("tr", {}, head)), element("tbody", {}, rows))));
  }

  function drawCharts() {
    const loops = [...new Set(points.map((point) => point.loop))];
    const series = (name, title = "") => loops.map((loop) => ({
      name: `${loop}${title}`,
      points: points.filter((point) => point.loop === loop).map((point) => ({ at: point.at, value: point[name] })),
    }));
    fill(parts.utilization, chart(series("utilization"), { most: 1, format: percent, none: "Measured between two looks of this page: one moment." }));
    fill(parts.delay, chart(series("delay_high"), { most: null, format: seconds, none: "Not measured: the watchdog is off, or nothing was sampled yet." }));
  }

  async function update(status) {
    if (busy) return;
    busy = true;
    try {
      const found = await ask("overview", { since });
      for (const point of found.points) since = Math.max(since, point.version);
      points.push(...found.points);
      points.splice(0, Math.max(points.length - MOST, 0));
      drawFigures(status, found);
      drawDeadlocks(found.deadlocks);
      drawLoops(found.loops);
      drawCharts();
    } catch {
      // The connection is gone, which the page says.
    } finally {
      busy = false;
    }
  }

  return { show, update };
}
