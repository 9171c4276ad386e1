/* The search tree of one problem: a tree in the sense of WAI-ARIA, drawn as a flat list of its visible nodes. */
const FATES = ["pruned", "candidate", "chosen"];
const tree = { data: null, children: [], open: new Set(), shown: [], focus: 0 };

function readTree(data) {
  const parents = data.steps.parent;
  const children = [[]];
  parents.forEach((parent, k) => { children.push([]); children[parent].push(k + 1); });
  const depth = [0];
  parents.forEach((parent, k) => { depth.push(depth[parent] + 1); });
  const indent = [0];
  parents.forEach((parent, k) => { indent.push(indent[parent] + (children[parent].length > 1 && parent > 0 ? 1 : 0)); });
  Object.assign(tree, { data, children, depth, indent, open: new Set(), shown: [], focus: 0 });
  for (let node = data.chosen || 0; node > 0; node = parents[node - 1]) tree.open.add(parents[node - 1]);
  tree.open.add(0);
}

/* Opens a node, and below it all that has no other branch: a sample is read as a whole. */
function unfold(node) {
  while (tree.children[node].length > 0) {
    tree.open.add(node);
    if (tree.children[node].length > 1) return;
    node = tree.children[node][0];
  }
}

function visibleNodes() {
  const shown = [];
  const stack = [...tree.children[0]].reverse();
  while (stack.length > 0) {
    const node = stack.pop();
    shown.push(node);
    if (tree.open.has(node)) stack.push(...[...tree.children[node]].reverse());
  }
  return shown;
}

function scoreBar(p) {
  const [low, middle, high] = typeof p === "number" ? [p, p, p] : p;
  const band = element("i", {});
  const tick = element("b", {});
  band.style.left = 100 * low + "%";
  band.style.width = 100 * (high - low) + "%";
  tick.style.left = 100 * middle + "%";
  return element("span", { class: "bar", "aria-hidden": "true" }, band, tick);
}

function medianOf(node) {
  const p = tree.data.steps.p[node - 1];
  return p === null ? null : typeof p === "number" ? p : p[1];
}

/* What a closed node hides: how its one sample ends, or how many steps and the best score among them. */
function hiddenBelow(node) {
  const nodes = [];
  const stack = [...tree.children[node]];
  while (stack.length > 0) { const next = stack.pop(); nodes.push(next); stack.push(...tree.children[next]); }
  const more = nodes.length === 1 ? "1 more step" : nodes.length + " more steps";
  const ends = nodes.filter((next) => tree.children[next].length === 0);
  const scores = ends.map(medianOf).filter((p) => p !== null);
  const best = scores.length === 0 ? "" : (ends.length > 1 ? ", best end p " : ", end p ") + probability(Math.max(...scores));
  return more + best + (ends.length === 1 ? answerOf(ends[0], ", ") : "");
}

function answerOf(node, before) {
  const { answers } = tree.data;
  return node in answers ? before + "answer " + (answers[node] === null ? "none" : answers[node]) : "";
}

// What of a step is thought is folded away; its length is in characters as Python counts them, so by code points.
function stepText(k) {
  const { steps } = tree.data;
  const points = Array.from(steps.text[k].replace(/\s+$/, ""));
  const thought = points.slice(0, steps.thought[k]).join("");
  const answer = points.slice(steps.thought[k]).join("");
  if (thought === "") return [answer || "(empty)"];
  const folded = element("details", { class: "thought" }, element("summary", {}, "thought"), thought);
  return answer === "" ? [folded] : [folded, answer];
}

function drawNode(node) {
  const { steps, known } = tree.data;
  const k = node - 1;
  const branches = tree.children[node].length > 0;
  const open = tree.open.has(node);
  const siblings = tree.children[steps.parent[k]];
  const fate = known ? FATES[steps.fate[k]] : "unknown";
  const p = steps.p[k];
  const finish = meta.finish_reasons[steps.finish[k]];
  const hidden = branches && !open ? element("span", { class: "hidden-below" }, hiddenBelow(node)) : null;
  const label = { chosen: "✓ chosen", candidate: "candidate", pruned: "pruned", unknown: "" }[fate];
  const numbers = element("span", { class: "numbers" },
    p === null ? "not scored" : "p " + quantiles(p), p === null ? null : scoreBar(p),
    element("br"), steps.tokens[k] + " tokens, " + finish + answerOf(node, ", "), hidden);
  const row = element("div", {
    role: "treeitem", class: "node " + fate, "aria-level": tree.depth[node], "aria-setsize": siblings.length,
    "aria-posinset": siblings.indexOf(node) + 1, "aria-expanded": branches ? String(open) : null,
    "aria-selected": String(node === tree.focus), tabindex: node === tree.focus ? "0" : "-1", "data-node": node,
  },
    element("span", { class: "twig", "aria-hidden": "true" }, branches ? (open ? "▾" : "▸") : "·"),
    element("span", { class: "fate" }, label, element("span", { class: "depth" }, " step " + tree.depth[node])),
    element("span", { class: "step-text" }, ...stepText(k)), numbers);
  row.style.setProperty("--indent", tree.indent[node]);
  return row;
}

function drawTree(keepFocus) {
  tree.shown = visibleNodes();
  if (!tree.shown.includes(tree.focus)) tree.focus = tree.shown[0] || 0;
  byId("tree").replaceChildren(...tree.shown.map(drawNode));
  if (keepFocus) focusNode(tree.focus);
}

function rowOf(node) {
  return byId("tree").querySelector('[data-node="' + node + '"]');
}

function focusNode(node) {
  const before = rowOf(tree.focus);
  if (before) { before.tabIndex = -1; before.setAttribute("aria-selected", "false"); }
  tree.focus = node;
  const row = rowOf(node);
  if (row) { row.tabIndex = 0; row.setAttribute("aria-selected", "true"); row.focus(); }
}

function toggle(node) {
  if (tree.open.has(node)) tree.open.delete(node); else unfold(node);
  drawTree(true);
}

function onTreeKey(event) {
  if (event.target.closest("summary")) return;
  const node = tree.focus;
  const at = tree.shown.indexOf(node);
  const branches = tree.children[node].length > 0;
  const parent = node > 0 ? tree.data.steps.parent[node - 1] : 0;
  const moves = {
    ArrowDown: () => focusNode(tree.shown[Math.min(at + 1, tree.shown.length - 1)]),
    ArrowUp: () => focusNode(tree.shown[Math.max(at - 1, 0)]),
    Home: () => focusNode(tree.shown[0]),
    End: () => focusNode(tree.shown[tree.shown.length - 1]),
    ArrowRight: () => {
      if (branches && !tree.open.has(node)) toggle(node);
      else if (branches) focusNode(tree.children[node][0]);
    },
    ArrowLeft: () => {
      if (branches && tree.open.has(node)) toggle(node);
      else if (parent > 0) focusNode(parent);
    },
    Enter: () => { if (branches) toggle(node); },
    " ": () => { if (branches) toggle(node); },
    "*": () => { tree.children[parent].forEach(unfold); drawTree(true); },
  };
  if (event.ctrlKey || event.metaKey || event.altKey || !(event.key in moves) || at < 0) return;
  event.preventDefault();
  moves[event.key]();
}

function onTreeClick(event) {
  if (event.target.closest("details.thought")) return; // it unfolds by itself
  const row = event.target.closest("[data-node]");
  if (!row || String(window.getSelection()) !== "") return;
  const node = Number(row.dataset.node);
  focusNode(node);
  if (tree.children[node].length > 0) toggle(node);
}
