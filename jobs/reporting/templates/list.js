/* The table of problems: search, filter, sort, pages. */
const PAGE_ROWS = 25;
const COLUMNS = [
  ["id", "Problem", (t, k) => t.id[k]],
  ["verdict", "Verdict", (t, k) => verdict(t.correct[k], t.status[k])],
  ["answer", "Answer", (t, k) => t.answer[k] === null ? "" : t.answer[k]],
  ["p", "Question p", (t, k) => probability(t.p[k])],
  ["answer_p", "Answer p", (t, k) => probability(t.answer_p[k])],
  ["samples", "Samples", (t, k) => count(t.samples[k])],
  ["tokens", "Tokens", (t, k) => count(t.tokens[k])],
  ["flops", "FLOPs", (t, k) => t.flops[k] === null ? "" : count(t.flops[k])],
  ["seconds", "Seconds", (t, k) => t.seconds[k] === null ? "" : t.seconds[k].toFixed(2)],
];
if (meta.has_usd) COLUMNS.push(["usd", "USD", (t, k) => t.usd[k] === null ? "" : t.usd[k].toPrecision(3)]);
const NUMERIC = new Set(["p", "answer_p", "samples", "tokens", "flops", "seconds", "usd"]);

const list = { table: null, rows: [], page: 0, sort: "id", falling: false, current: null };

function topTenth(values) {
  const known = values.filter((value) => value !== null).sort((a, b) => b - a);
  const bound = known[Math.max(0, Math.ceil(known.length / 10) - 1)];
  return (k) => known.length > 0 && values[k] !== null && values[k] >= bound;
}

function filters(t) {
  return {
    all: () => true,
    right: (k) => t.correct[k] === true,
    wrong: (k) => t.correct[k] === false && t.status[k] !== "failed",
    ungraded: (k) => t.correct[k] === null && t.status[k] !== "open" && t.status[k] !== "failed",
    failed: (k) => t.status[k] === "failed",
    exhausted: (k) => t.status[k] === "budget_exhausted",
    abstained: (k) => t.abstained[k] === true,
    open: (k) => t.status[k] === "open",
    dear: topTenth(meta.has_usd ? t.usd : t.flops),
    slow: topTenth(t.seconds),
    tree: (k) => t.chunk[k] >= 0,
  };
}

function choose() {
  const t = list.table;
  const words = byId("search").value.trim().toLowerCase();
  const passes = filters(t)[byId("filter").value];
  const rows = [];
  for (let k = 0; k < t.id.length; k++) {
    if (passes(k) && (words === "" || t.search[k].includes(words))) rows.push(k);
  }
  const key = list.sort;
  const value = key === "verdict" ? (k) => verdict(t.correct[k], t.status[k]) : (k) => t[key][k];
  const sign = list.falling ? -1 : 1;
  const text = new Intl.Collator("en", { numeric: true });
  rows.sort((a, b) => {
    const [left, right] = [value(a), value(b)];
    if (left === null || right === null) return (left === null) - (right === null) || a - b;
    const order = NUMERIC.has(key) ? left - right : text.compare(left, right);
    return sign * order || a - b;
  });
  list.rows = rows;
  list.page = 0;
  drawList();
}

function headings() {
  return element("tr", {}, ...COLUMNS.map(([key, title]) => {
    const sorted = list.sort === key;
    const button = element("button", { type: "button", class: "sort" },
      title + (sorted ? (list.falling ? " ▼" : " ▲") : ""));
    button.addEventListener("click", () => {
      list.falling = sorted ? !list.falling : NUMERIC.has(key);
      list.sort = key;
      choose();
      byId("list").querySelector('th[aria-sort="ascending"] button, th[aria-sort="descending"] button').focus();
    });
    const direction = sorted ? (list.falling ? "descending" : "ascending") : null;
    return element("th", { scope: "col", class: NUMERIC.has(key) ? "number" : null, "aria-sort": direction }, button);
  }));
}

function problemLink(id) {
  return element("a", { href: "#problem=" + encodeURIComponent(id) }, id);
}

function drawList() {
  const t = list.table;
  const pages = Math.max(1, Math.ceil(list.rows.length / PAGE_ROWS));
  list.page = Math.min(Math.max(list.page, 0), pages - 1);
  const shown = list.rows.slice(list.page * PAGE_ROWS, (list.page + 1) * PAGE_ROWS);
  const body = shown.map((k) => element("tr", { "aria-current": k === list.current ? "true" : null },
    ...COLUMNS.map(([key, , cell], at) => {
      const said = cell(t, k);
      if (at === 0) return element("th", { scope: "row", class: "long" }, problemLink(said));
      const tone = key === "verdict" && (said === "right" || said === "wrong") ? said : null;
      const kind = NUMERIC.has(key) ? "number" : key === "answer" ? "long" : null;
      const shownText = key === "answer" && said.length > 60 ? said.slice(0, 60) + "…" : said;
      return element("td", { class: [tone, kind].filter(Boolean).join(" ") || null }, shownText);
    })));
  byId("list").replaceChildren(element("table", {},
    element("caption", {}, "Problems"), element("thead", {}, headings()), element("tbody", {}, ...body)));
  byId("found").textContent = list.rows.length.toLocaleString("en") + " of " + t.id.length.toLocaleString("en")
    + " problems; page " + (list.page + 1) + " of " + pages;
  byId("previous").disabled = list.page === 0;
  byId("next").disabled = list.page === pages - 1;
}

async function startList() {
  const t = list.table = await inflate("table");
  t.search = t.id.map((id, k) => (id + "\n" + (t.text[k] || "")).toLowerCase());
  byId("search").addEventListener("input", choose);
  byId("filter").addEventListener("change", choose);
  byId("previous").addEventListener("click", () => { list.page -= 1; drawList(); });
  byId("next").addEventListener("click", () => { list.page += 1; drawList(); });
  choose();
}
