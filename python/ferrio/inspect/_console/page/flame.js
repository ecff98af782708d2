/** A flame graph: what blocked the loop, merged; each bar is as wide as the time it took. Choose a bar to enlarge it. */

import { element, fill } from "./dom.js";
import { percent, seconds, splitPlace } from "./format.js";

// Bars narrower than this share of the whole are not drawn.
const LEAST = 0.002;

/** The stacks as a tree, with the time of each node and all below it. */
function treeOf(stacks) {
  const root = { name: "all blocks", seconds: 0, children: new Map(), parent: null };
  for (const { stack, seconds: time } of stacks) {
    let node = root;
    node.seconds += time;
    for (const name of stack) {
      if (!node.children.has(name)) node.children.set(name, { name, seconds: 0, children: new Map(), parent: node });
      node = node.children.get(name);
      node.seconds += time;
    }
  }
  return root;
}

/** The names from the root to a node. */
function pathOf(node) {
  return node.parent === null ? [] : [...pathOf(node.parent), node.name];
}

/** Where the names lead in another tree, as far as they do. */
function follow(root, names) {
  let node = root;
  for (const name of names) {
    if (!node.children.has(name)) break;
    node = node.children.get(name);
  }
  return node;
}

/** A stable colour for a name, one of a few warm ones. */
function colourOf(name) {
  let sum = 0;
  for (const letter of name) sum = (sum * 31 + letter.charCodeAt(0)) % 997;
  return sum % 5;
}

/** A drawing that keeps what was enlarged while its stacks change. */
export function flame() {
  const place = element("div", { class: "flame", role: "tree", "aria-label": "Flame graph" });
  let root = treeOf([]);
  let chosen = [];

  function bar(node, from, share, depth, faded) {
    const { function: name, place: file } = splitPlace(node.name);
    const text = `${node.name}: ${seconds(node.seconds)}, ${percent(node.seconds / root.seconds)}`;
    const made = element(
      "button",
      { type: "button", role: "treeitem", "aria-level": depth + 1, class: `bar-${colourOf(node.name)}${faded ? " faded" : ""}`, title: text, onclick: () => choose(node) },
      name, file ? element("span", { class: "dim" }, ` ${file}`) : null,
    );
    made.style.left = `${from * 100}%`;
    made.style.width = `${share * 100}%`;
    made.style.top = `${depth * 26}px`;
    return made;
  }

  function draw() {
    const focus = follow(root, chosen);
    const bars = [];
    let deepest = 0;
    const above = [];
    for (let node = focus.parent; node !== null; node = node.parent) above.unshift(node);
    above.forEach((node, depth) => bars.push(bar(node, 0, 1, depth, true)));
    const pending = [[focus, 0, 1, above.length]];
    while (pending.length && bars.length < 3000) {
      const [node, from, share, depth] = pending.pop();
      bars.push(bar(node, from, share, depth, false));
      deepest = Math.max(deepest, depth);
      let start = from;
      for (const child of [...node.children.values()].sort((left, right) => right.seconds - left.seconds)) {
        const width = (child.seconds / node.seconds) * share;
        if (width >= LEAST) pending.push([child, start, width, depth + 1]);
        start += width;
      }
    }
    place.style.height = `${(deepest + 1) * 26}px`;
    fill(place, bars);
  }

  function choose(node) {
    chosen = pathOf(node);
    draw();
  }

  return {
    place,
    update(stacks) {
      root = treeOf(stacks);
      draw();
    },
  };
}
