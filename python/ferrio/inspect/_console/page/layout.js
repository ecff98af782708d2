/**
 * Places the nodes of a directed graph in layers, so that arrows lead forwards. An arrow that closes a circle leads back.
 * Each part of the graph that hangs together gets a band of its own, those with a red node first.
 */

/** The parts of the graph that hang together. */
function components(nodes, edges) {
  const next = new Map(nodes.map(({ id }) => [id, []]));
  for (const { from, to } of edges) {
    next.get(from)?.push(to);
    next.get(to)?.push(from);
  }
  const seen = new Set();
  const found = [];
  for (const { id } of nodes) {
    if (seen.has(id)) continue;
    const members = [];
    const pending = [id];
    seen.add(id);
    while (pending.length) {
      const current = pending.pop();
      members.push(current);
      for (const each of next.get(current)) {
        if (!seen.has(each)) {
          seen.add(each);
          pending.push(each);
        }
      }
    }
    found.push(members);
  }
  return found;
}

/** The arrows that close a circle, found by walking along the arrows. */
function backward(members, out) {
  const state = new Map();
  const found = new Set();
  for (const root of members) {
    if (state.has(root)) continue;
    const path = [[root, 0]];
    state.set(root, "open");
    while (path.length) {
      const top = path.at(-1);
      const edge = out.get(top[0])[top[1]++];
      if (!edge) {
        state.set(top[0], "done");
        path.pop();
      } else if (state.get(edge.to) === "open") {
        found.add(edge);
      } else if (!state.has(edge.to)) {
        state.set(edge.to, "open");
        path.push([edge.to, 0]);
      }
    }
  }
  return found;
}

/** The layer of each node: one after the last of those whose arrows lead to it. */
function layers(members, out, back) {
  const layer = new Map(members.map((id) => [id, 0]));
  for (let round = 0; round < members.length; round++) {
    let moved = false;
    for (const id of members) {
      for (const edge of out.get(id)) {
        if (!back.has(edge) && layer.get(edge.to) < layer.get(id) + 1) {
          layer.set(edge.to, layer.get(id) + 1);
          moved = true;
        }
      }
    }
    if (!moved) break;
  }
  return layer;
}

/**
 * A band for each part that hangs together: which layer and row each node has in it, those with a red node first.
 * @returns {{places: Map<string, {layer: number, row: number}>, back: Set<object>, rows: number, layers: number}[]}
 */
export function arrange(nodes, edges) {
  const red = new Set(nodes.filter((node) => node.red).map((node) => node.id));
  const out = new Map(nodes.map(({ id }) => [id, []]));
  for (const edge of edges) if (out.has(edge.from) && out.has(edge.to)) out.get(edge.from).push(edge);
  const parts = components(nodes, edges);
  const isRed = (members) => members.some((id) => red.has(id));
  parts.sort((left, right) => isRed(right) - isRed(left) || right.length - left.length);
  return parts.map((members) => band(members, out, red));
}

function band(members, out, red) {
  // A walk that begins with what nobody waits for, or in a circle with a red task, makes the fewest arrows lead back.
  const targets = new Set(members.flatMap((id) => out.get(id).map((edge) => edge.to)));
  const order = [...members].sort((left, right) => targets.has(left) - targets.has(right) || red.has(right) - red.has(left));
  const back = backward(order, out);
  const layer = layers(members, out, back);
  const places = new Map();
  const used = new Map();
  for (const id of [...order].sort((left, right) => red.has(right) - red.has(left))) {
    const column = layer.get(id);
    const row = used.get(column) ?? 0;
    used.set(column, row + 1);
    places.set(id, { layer: column, row });
  }
  return { places, back, rows: Math.max(...used.values()), layers: Math.max(...used.keys()) + 1 };
}
