/* One problem: question, answer, why it ended, and its tree. */
const ENDS = {
  succeeded: "The strategy concluded by itself.",
  failed: "It failed:",
  budget_exhausted: "The token cap or the deadline cut it; the answer is the best until then.",
  cancelled: "It was cancelled.",
  open: "It had not ended when the run was read.",
};

function fact(name, value) {
  return [element("dt", {}, name), element("dd", {}, value)];
}

function asked(request) {
  if (request.kind === "score") return "score " + request.paths + (request.paths === 1 ? " path" : " paths");
  if (request.kind === "next") return "the next to finish";
  if (request.kind === "cancel") return "cancelled: needed no more";
  const until = { step: "by one step", tokens: "by tokens", end: "to the end" }[request.until] || request.until;
  const heat = request.temperature === null ? "" : ", temperature " + request.temperature;
  return request.samples + (request.samples === 1 ? " sample" : " samples") + " of " + request.paths
    + (request.paths === 1 ? " path " : " paths ") + until + ", at most " + request.max_tokens + " tokens each" + heat;
}

function granted(request) {
  if (request.kind !== "expand") return "";
  const floor = request.granted_min !== null && request.granted_min < request.max_tokens
    ? ", some with " + request.granted_min + " tokens only" : "";
  return request.granted + " of " + request.samples + floor;
}

function requestTable(problem) {
  const head = element("tr", {}, ...["Request", "Asked", "Granted", "Delivered", "Reply"].map(
    (title) => element("th", { scope: "col" }, title)));
  const rows = problem.requests.map((request) => element("tr", {},
    element("th", { scope: "row" }, String(request.number)), element("td", {}, asked(request)),
    element("td", {}, granted(request)), element("td", {}, String(request.delivered)),
    element("td", {}, request.reply.replaceAll("_", " "))));
  const caption = problem.requests.length < problem.num_requests
    ? "The last " + problem.requests.length + " of " + problem.num_requests + " requests" : "Its requests";
  return element("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption },
    element("table", {}, element("caption", {}, caption), element("thead", {}, head), element("tbody", {}, ...rows)));
}

function textBlock(title, text) {
  return [element("h4", {}, title), element("div", { class: "text", tabindex: "0", role: "region", "aria-label": title }, text)];
}

function facts(problem) {
  const spent = problem.spent;
  const told = verdict(problem.correct, problem.status) + (problem.abstained ? ", abstained" : "");
  return element("dl", { class: "facts" },
    ...fact("Verdict", told),
    ...fact("Answer", problem.answer === null ? "none" : problem.answer),
    ...fact("Reference", problem.reference === null ? "unknown" : problem.reference),
    ...fact("p of the question", quantiles(problem.p) || "not asked for"),
    ...fact("p of the answer", quantiles(problem.answer_p) || "unknown"),
    ...fact("Spent", count(spent.samples) + (spent.samples === 1 ? " sample, " : " samples, ") + count(spent.tokens) + " tokens ("
      + count(spent.pruned) + " pruned), " + count(spent.flops) + " FLOPs, "
      + (spent.seconds === null ? "unknown" : spent.seconds.toFixed(2)) + " s"
      + (meta.has_usd ? ", " + (spent.usd === null ? "unknown" : spent.usd.toPrecision(3)) + " USD" : "")));
}

function whyItStopped(problem) {
  const said = problem.status === "failed" ? textBlock("Error", problem.error || "no message") : [];
  return [
    element("h4", {}, "Why it stopped"),
    element("p", {}, ENDS[problem.status] || problem.status), ...said,
    element("p", { class: "note" }, "Strategy: " + meta.strategy + ". Budget: " + meta.budget + "."),
    requestTable(problem),
  ];
}

function drawProblem(problem) {
  readTree(problem);
  const items = element("div", { role: "tree", id: "tree", class: "tree",
    "aria-label": "Search tree of " + problem.id });
  items.addEventListener("keydown", onTreeKey);
  items.addEventListener("click", onTreeClick);
  const all = element("button", { type: "button" }, "Open all");
  all.addEventListener("click", () => { tree.children.forEach((own, node) => { if (own.length) tree.open.add(node); }); drawTree(false); });
  const none = element("button", { type: "button" }, "Close all");
  none.addEventListener("click", () => { tree.open = new Set([0]); drawTree(false); });
  const legend = problem.known
    ? "Chosen: on the path of the answer. Candidate: on a path that competed for it. Pruned: on none"
    : { failed: "It failed, and no path was chosen", open: "It is open, and no path is chosen yet" }[problem.status]
      || "Which path was chosen is not known" + (meta.why_unknown ? ": " + meta.why_unknown : "");
  const empty = problem.steps.parent.length === 0;
  byId("problem").replaceChildren(
    element("h3", { id: "problem-title", tabindex: "-1" }, "Problem " + problem.id),
    ...textBlock("Question", problem.question === null ? "unknown until the problem has its row" : problem.question),
    facts(problem), ...whyItStopped(problem), element("h4", {}, "Search tree"),
    ...(empty ? [element("p", {}, "Nothing was sampled.")] : [
      element("p", { class: "note" }, legend + ". Arrow keys walk the tree; right and left open and close."),
      element("p", { class: "no-print" }, all, " ", none), items]));
  if (!empty) drawTree(false);
}

function drawMissing(id, k) {
  const t = list.table;
  const known = k >= 0;
  byId("problem").replaceChildren(
    element("h3", { id: "problem-title", tabindex: "-1" }, "Problem " + id),
    element("p", {}, known
      ? "This file has no room for its tree. Make another report with it: parsimony report RUN --problem " + id
      : "This page knows no such problem."),
    ...(known ? [...textBlock("Question (beginning)", t.text[k] || "unknown"),
      element("dl", { class: "facts" }, ...COLUMNS.slice(1).flatMap(([, title, cell]) => fact(title, cell(t, k) || "unknown")))] : []));
}

async function openProblem(id, moveFocus) {
  const t = list.table;
  const k = t.id.indexOf(id);
  list.current = k;
  if (k >= 0 && t.chunk[k] >= 0) drawProblem(await treeOf(t.chunk[k], t.place[k]));
  else drawMissing(id, k);
  byId("problem").hidden = false;
  byId("problem").dataset.shown = id;
  drawList();
  if (moveFocus) {
    byId("problem-title").focus({ preventScroll: true });
    byId("problem").scrollIntoView();
  }
}

function followHash(moveFocus) {
  const prefix = "#problem=";
  if (!location.hash.startsWith(prefix)) return Promise.resolve();
  return openProblem(decodeURIComponent(location.hash.slice(prefix.length)), moveFocus);
}

async function start() {
  if (byId("table") === null) return;
  await startList();
  window.addEventListener("hashchange", () => followHash(true));
  if (location.hash.startsWith("#problem=")) await followHash(true);
  else if (meta.first !== null) await openProblem(meta.first, false);
  document.documentElement.dataset.ready = "yes";
}

start();
