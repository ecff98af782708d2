/** What kept a loop from going on: reports of the watchdog, and their stacks merged into a flame graph. */

import { element, empty, fill, panel } from "./dom.js";
import { clock, count, place, seconds, wholePlace } from "./format.js";
import { ask } from "./data.js";
import { flame } from "./flame.js";

function report(block, isOpen, toggle) {
  const head = element(
    "summary",
    { onclick: (event) => { event.preventDefault(); toggle(block.number); } },
    element("time", {}, clock(block.began)),
    element("b", { class: block.ended ? null : "alarming" }, block.ended ? seconds(block.duration) : `${seconds(block.duration)}, and still blocked`),
    element("span", {}, block.culprit),
    element("span", { class: "dim", title: wholePlace(block.where) }, `${block.where?.function ?? ""} ${place(block.where)}`),
  );
  const frames = block.stack.map((each) =>
    element("li", { class: each.asyncio ? "asyncio" : null }, element("span", { class: "function" }, each.function), element("span", { class: "dim", title: wholePlace(each) }, place(each) || "native")));
  return element(
    "details",
    { open: isOpen, class: "block" },
    head,
    block.partial ? element("p", { class: "dim" }, `Partial: ${block.reason}.`) : null,
    frames.length ? element("ol", { class: "stack" }, frames) : empty("The stack is not known."),
    element("p", { class: "dim" }, `In thread ${block.thread ?? "unknown"}; the stack was taken ${count(block.samples, "time")}.`,
      block.created ? ` The task was created at ${block.created.function} ${place(block.created)}.` : ""),
  );
}

export function blockedView() {
  const picture = flame();
  const open = new Set();
  let parts = null;
  let busy = false;
  let last = "";
  let found = null;

  function toggle(number) {
    if (!open.delete(number)) open.add(number);
    draw();
  }

  function draw() {
    const focused = [...parts.list.querySelectorAll("summary")].indexOf(document.activeElement);
    fill(parts.list, found.blocks.length
      ? [found.blocks.map((block) => report(block, open.has(block.number), toggle)), found.total > found.blocks.length ? element("p", { class: "dim" }, `and ${count(found.total - found.blocks.length, "older one")}`) : null].flat()
      : empty(found.watched ? "Nothing has blocked a loop for longer than the watchdog's limit." : "No loop is watched: the process runs without the watchdog, or on asyncio's own loop."));
    if (focused >= 0) parts.list.querySelectorAll("summary")[focused]?.focus();
    if (found.stacks.length) {
      picture.update(found.stacks);
      if (!picture.place.isConnected) fill(parts.flame, picture.place);
    } else {
      fill(parts.flame, empty("It grows with each block."));
    }
  }

  return {
    show(place) {
      parts = { flame: element("div", {}), list: element("div", {}) };
      fill(
        place,
        panel("Where the time went", "All blocks together. Each bar is a function, as wide as the time it blocked; below it is what it called. Choose a bar to enlarge it.", parts.flame),
        panel("Blocks", "Callbacks that ran for longer than the watchdog's limit, newest first, with the stack that was seen meanwhile.", parts.list),
      );
    },
    async update() {
      if (busy) return;
      busy = true;
      try {
        const answer = await ask("blocks");
        const text = JSON.stringify(answer);
        if (text !== last) {
          last = text;
          found = answer;
          draw();
        }
      } catch {
        // The connection is gone, which the page says.
      } finally {
        busy = false;
      }
    },
  };
}
