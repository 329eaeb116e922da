// Search, filters, order, columns and comparison. All that it works on is in the page; what is chosen is in the address.
"use strict";

function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

// ---- the board ----

const KEPT = ["q", "task", "kind", "plot"];

function startBoard() {
  const fields = { q: by("search"), task: by("task"), kind: by("kind"), plot: by("plot") };
  const tables = [...document.querySelectorAll("table.board")].map(prepareTable);
  by("tools").hidden = false;
  fields.q.addEventListener("input", () => change(read(fields, tables), false));
  for (const name of ["task", "kind", "plot"]) {
    fields[name].addEventListener("change", () => change(read(fields, tables), true));
  }
  for (const table of tables) table.onchange = () => change(read(fields, tables), true);
  addEventListener("popstate", () => show(fields, tables));
  show(fields, tables);

  function change(query, push) {
    const address = `${location.pathname}${query ? `?${query}` : ""}${location.hash}`;
    if (push) history.pushState(null, "", address);
    else history.replaceState(null, "", address);
    show(fields, tables);
  }
}

function by(id) {
  return document.getElementById(id);
}

// A table: `order` is the column that it is sorted by ("-" in front: downwards), `visible` are the columns shown.
function prepareTable(node) {
  const heads = [...node.tHead.rows[0].cells];
  const table = {
    node,
    heads,
    name: node.dataset.table,
    rows: [...node.tBodies[0].rows],
    order: "",
    usual: new Set(heads.filter((head) => !("extra" in head.dataset)).map((head) => head.dataset.key)),
    onchange: () => {},
  };
  table.visible = new Set(table.usual);
  for (const head of heads) {
    const title = head.querySelector("span");
    const button = element("button", { type: "button", textContent: title.textContent });
    button.addEventListener("click", () => {
      const { key } = head.dataset;
      const first = startsUp(head) ? key : `-${key}`;
      const reverse = first === key ? `-${key}` : key;
      table.order = table.order === first ? reverse : first;
      table.onchange();
    });
    title.replaceWith(button);
  }
  node.parentElement.before(columnChooser(table));
  for (const row of table.rows) if (row.dataset.kind !== "reported") addPick(row, node.dataset.table);
  return table;
}

// Ranks, costs and names are best read from the smallest on, scores from the largest.
function startsUp(head) {
  return ["system", "rank", "cost", "seconds", "tokens", "source"].includes(head.dataset.key);
}

function columnChooser(table) {
  const list = element("div");
  table.boxes = table.heads.slice(1).map((head) => {
    const box = element("input", { type: "checkbox", value: head.dataset.key });
    box.addEventListener("change", () => {
      if (box.checked) table.visible.add(box.value);
      else table.visible.delete(box.value);
      table.onchange();
    });
    const note = head.querySelector("small")?.textContent ?? "";
    const name = head.querySelector("button").textContent + (/^n /.test(note) || !note ? "" : `, ${note}`);
    list.append(element("label", {}, box, name));
    return box;
  });
  return element("details", { className: "columns" }, element("summary", { textContent: "Columns" }), list);
}

// The address of what is chosen now.
function read(fields, tables) {
  const query = new URLSearchParams();
  for (const name of KEPT) {
    const value = fields[name].value;
    if (value && !(name === "plot" && value === "cost_usd")) query.set(name, value);
  }
  for (const table of tables) {
    if (table.order) query.set(`sort.${table.name}`, table.order);
    for (const { dataset } of table.heads) {
      const { key } = dataset;
      if (table.visible.has(key) !== table.usual.has(key)) query.append(`${table.visible.has(key) ? "show" : "hide"}.${table.name}`, key);
    }
  }
  return String(query);
}

// Show what the address says.
function show(fields, tables) {
  const query = new URLSearchParams(location.search);
  for (const name of KEPT) {
    const value = query.get(name) ?? (name === "plot" ? "cost_usd" : "");
    if (fields[name].value !== value) fields[name].value = value;
  }
  if (fields.plot.selectedIndex < 0) fields.plot.value = "cost_usd";
  for (const name of ["task", "kind"]) if (fields[name].selectedIndex < 0) fields[name].value = "";
  const words = fields.q.value.toLowerCase().split(/\s+/).filter(Boolean);
  let matching = 0;
  let all = 0;
  for (const table of tables) {
    table.order = query.get(`sort.${table.name}`) ?? "";
    table.visible = new Set(table.usual);
    for (const key of query.getAll(`show.${table.name}`)) table.visible.add(key);
    for (const key of query.getAll(`hide.${table.name}`)) table.visible.delete(key);
    showColumns(table);
    showOrder(table);
    let visibleRows = 0;
    for (const row of table.rows) {
      const { words: text, kind } = row.dataset;
      row.hidden = !(words.every((word) => text.includes(word)) && (!fields.kind.value || kind === fields.kind.value));
      visibleRows += !row.hidden;
    }
    table.node.parentElement.hidden = !visibleRows;
    const section = table.node.closest(".table");
    const ofTask = !fields.task.value || section.dataset.task === fields.task.value;
    if (section.tagName === "DETAILS" && words.length && visibleRows) section.open = true;
    matching += ofTask ? visibleRows : 0;
    all += table.rows.length;
  }
  for (const section of document.querySelectorAll(".table")) {
    section.hidden = Boolean(fields.task.value) && section.dataset.task !== fields.task.value;
    showPlots(section, fields.plot.value);
  }
  const narrowed = words.length || fields.task.value || fields.kind.value;
  by("found").textContent = !narrowed ? "" : matching ? `${matching} of ${all} rows shown.` : "No row fits: search for less, or choose all tasks and origins.";
}

function showColumns(table) {
  table.boxes.forEach((box) => (box.checked = table.visible.has(box.value)));
  table.heads.forEach((head, index) => {
    const hidden = index > 0 && !table.visible.has(head.dataset.key);
    head.hidden = hidden;
    for (const row of table.rows) row.cells[index].hidden = hidden;
  });
}

function showOrder(table) {
  const key = table.order.replace(/^-/, "");
  const sorted = table.heads.findIndex((head) => head.dataset.key === key);
  table.heads.forEach((head, index) => {
    if (index === sorted) head.setAttribute("aria-sort", table.order === key ? "ascending" : "descending");
    else head.removeAttribute("aria-sort");
  });
  const turn = table.order === key ? 1 : -1;
  const rows = [...table.rows];
  if (sorted >= 0) rows.sort((a, b) => compareCells(a.cells[sorted].dataset.value, b.cells[sorted].dataset.value, turn));
  table.node.tBodies[0].append(...rows);
}

// Empty cells are last in either direction.
function compareCells(a, b, turn) {
  if (a === undefined || b === undefined) return (a === undefined) - (b === undefined);
  const difference = Number(a) - Number(b);
  return turn * (Number.isNaN(difference) ? a.localeCompare(b) : difference);
}

function showPlots(section, key) {
  const plots = [...section.querySelectorAll("[data-plot]")];
  const chosen = plots.find((plot) => plot.dataset.plot === key) ?? plots[0];
  const hidden = new Set([...section.querySelectorAll("tr[hidden]")].map((row) => row.dataset.row));
  for (const plot of plots) {
    plot.hidden = plot !== chosen;
    for (const point of plot.querySelectorAll("a[data-row]")) point.toggleAttribute("hidden", hidden.has(point.dataset.row));
  }
}

// ---- choosing two systems to compare ----

const picks = [];

function addPick(row, table) {
  const box = element("input", { type: "checkbox" });
  const name = row.querySelector("bdi").textContent;
  const pick = { id: row.dataset.row, table, name, box };
  box.setAttribute("aria-label", `compare ${name}`);
  box.addEventListener("change", () => {
    const index = picks.indexOf(pick);
    if (index >= 0) picks.splice(index, 1);
    if (box.checked) {
      picks.push(pick);
      while (picks.length > 2 || picks[0].table !== table) picks.shift().box.checked = false;
    }
    showTray();
  });
  row.cells[0].append(element("label", { className: "pick" }, box, "compare"));
}

function showTray() {
  const tray = by("tray");
  tray.hidden = !picks.length;
  tray.replaceChildren();
  if (!picks.length) return;
  const names = element("span");
  picks.forEach((pick, index) => names.append(index ? " and " : "", element("bdi", { textContent: pick.name })));
  tray.append(names);
  if (picks.length === 1) {
    tray.append(element("span", { className: "soft", textContent: "Choose a second system of the same table." }));
    return;
  }
  const query = new URLSearchParams({ first: picks[0].id, second: picks[1].id });
  tray.append(element("a", { className: "button", href: `compare.html?${query}`, textContent: "Compare the two" }));
}

// ---- two systems side by side ----

function startCompare() {
  const data = JSON.parse(by("data").textContent);
  const rows = new Map();
  for (const table of data.tables) for (const row of table.rows) rows.set(row.id, { ...row, table });
  const fields = { first: by("first"), second: by("second") };
  for (const [name, field] of Object.entries(fields)) {
    field.append(element("option", { value: "", textContent: "choose one" }));
    field.addEventListener("change", () => {
      const chosen = { first: fields.first.value, second: fields.second.value };
      const clash = name === "first" && rows.get(chosen.second)?.table !== rows.get(chosen.first)?.table;
      const query = new URLSearchParams({ first: chosen.first, second: clash ? "" : chosen.second });
      history.pushState(null, "", `${location.pathname}?${query}`);
      showComparison(data, rows, fields);
    });
  }
  fill(fields.first, data.tables);
  by("choose").hidden = false;
  addEventListener("popstate", () => showComparison(data, rows, fields));
  showComparison(data, rows, fields);
}

function fill(field, tables) {
  for (const table of tables.filter((each) => each.rows.length)) {
    const group = element("optgroup", { label: table.title });
    for (const row of table.rows) group.append(element("option", { value: row.id, textContent: row.name }));
    field.append(group);
  }
}

function showComparison(data, rows, fields) {
  const query = new URLSearchParams(location.search);
  const [first, second] = [rows.get(query.get("first")), rows.get(query.get("second"))];
  fields.first.value = first?.id ?? "";
  fields.second.replaceChildren(fields.second.firstChild);
  fill(fields.second, first ? [{ ...first.table, rows: first.table.rows.filter((row) => row.id !== first.id) }] : data.tables);
  fields.second.value = second?.id ?? "";
  if (fields.second.selectedIndex < 0) fields.second.value = "";
  const out = by("compared");
  out.replaceChildren();
  for (const name of ["first", "second"]) {
    if (query.get(name) && !rows.has(query.get(name))) out.append(paragraph(`There is no system ${query.get(name)} on this board: choose another one.`));
  }
  if (!first || !second) return;
  if (first === second) return out.append(paragraph("Both are the same system: choose another one."));
  if (first.table !== second.table) {
    return out.append(paragraph("The two were not scored on the same items by the same version, so their scores are not compared."));
  }
  document.title = `${first.name} and ${second.name} – ConceptBench leaderboard`;
  out.append(...sideBySide(first, second, data.kinds), ...examplesOf(first, second));
}

function paragraph(text) {
  return element("p", { textContent: text });
}

function sideBySide(first, second, kinds) {
  const { main, metrics, pairs } = first.table;
  const plain = (name, write) => [name, "", element("td", { textContent: write(first) }), element("td", { textContent: write(second) })];
  const scores = (name) => {
    const [a, b] = [first.metrics[name], second.metrics[name]];
    return [name, (Object.hasOwn(metrics, name) && metrics[name]) || "", scoreCell(a), scoreCell(b), differenceCell(a, b, pairOf(pairs, first.id, second.id, name))];
  };
  const shared = [...new Set([main, ...Object.keys(metrics), ...Object.keys(first.metrics)])].filter(
    (name) => Object.hasOwn(first.metrics, name) && Object.hasOwn(second.metrics, name),
  );
  const parts = shared.filter((name) => name.startsWith(`${main}/`));
  const tables = [
    tableOf(first, second, "Side by side", [
      plain("origin", (row) => kinds[row.kind]),
      plain("rank", rankOf),
      ...shared.filter((name) => !name.includes("/")).map(scores),
      plain("cost", (row) => (row.cost_usd === null ? "—" : `$${Number(row.cost_usd.toPrecision(2))}`)),
      plain("time", (row) => (row.seconds === null ? "—" : `${row.seconds.toFixed(1)} s`)),
      plain("date", (row) => row.date),
    ]),
  ];
  if (parts.length) tables.push(element("h2", { textContent: `Parts of ${main}` }), tableOf(first, second, "Parts", parts.map(scores)));
  return tables;
}

function rankOf(row) {
  if (row.rank === null) return "—";
  return row.rank_low === row.rank_high ? String(row.rank) : `${row.rank} (${row.rank_low} to ${row.rank_high})`;
}

// A table of two systems and their difference; of each row its name, a note, and its cells.
function tableOf(first, second, label, rows) {
  const heads = [first, second].map((row) =>
    element("th", { scope: "col" }, element("a", { href: row.page }, element("bdi", { textContent: row.name })), element("small", { textContent: row.system })),
  );
  const head = element("thead", {}, element("tr", {}, element("td"), ...heads, element("th", { scope: "col", textContent: "first − second" })));
  const body = element("tbody");
  for (const [name, note, ...cells] of rows) {
    const title = element("th", { scope: "row", textContent: name });
    if (note) title.append(element("small", { textContent: note }));
    cells.forEach((cell, index) => (cell.dataset.column = [first.name, second.name, "first − second"][index]));
    body.append(element("tr", {}, title, ...cells, ...(cells.length < 3 ? [element("td")] : [])));
  }
  const box = element("div", { className: "wide", tabIndex: 0 }, element("table", { className: "stack" }, head, body));
  box.setAttribute("role", "region");
  box.setAttribute("aria-label", label);
  return box;
}

function scoreCell(metric) {
  return element("td", { textContent: written(metric.value) }, element("small", { textContent: `${span(metric)}, n ${metric.n}` }));
}

function differenceCell(a, b, pair) {
  const cell = element("td", { textContent: written(pair ? pair.value : a.value - b.value) });
  if (pair) {
    const p = pair.p_holm < 0.001 ? "< 0.001" : pair.p_holm.toFixed(3);
    cell.append(element("small", { textContent: `${span(pair)}, p ${p} (Holm), n ${pair.n}` }));
  } else cell.append(element("small", { textContent: "not tested" }));
  return cell;
}

// The test of two rows on a metric, as first minus second.
function pairOf(pairs, first, second, metric) {
  const stored = pairs.find((pair) => pair.metric === metric && pair.first === first && pair.second === second);
  if (stored) return stored;
  const turned = pairs.find((pair) => pair.metric === metric && pair.first === second && pair.second === first);
  return turned && { ...turned, value: -turned.value, low: -turned.high, high: -turned.low };
}

function written(value) {
  return value.toFixed(3).replace(/^-(?=.*[1-9])/, "−").replace("-", "");
}

function span(metric) {
  return `${written(metric.low)} to ${written(metric.high)}`;
}

function examplesOf(first, second) {
  const key = (example) => JSON.stringify([example.item, example.condition]);
  const others = new Map(second.examples.map((example) => [key(example), example]));
  const shared = first.examples.filter((example) => others.has(key(example)));
  if (!shared.length) return [];
  const cards = element("div", { className: "cards" });
  for (const example of shared) {
    const card = element("article", { className: "card" }, element("p", { textContent: example.shown }));
    for (const [row, reply] of [[first, example], [second, others.get(key(example))]]) {
      const mark = reply.good === null ? "" : element("span", { className: reply.good ? "good" : "bad", textContent: reply.good ? " ✓" : " ✗" });
      card.append(element("p", {}, element("small", {}, element("bdi", { textContent: row.name })), element("b", { textContent: reply.answer || "no answer" }), mark));
    }
    if (example.expected) card.append(element("p", { className: "soft", textContent: `expected: ${example.expected}` }));
    cards.append(card);
  }
  return [element("h2", { textContent: "The same items" }), cards];
}

if (by("tools")) startBoard();
if (by("data")) startCompare();
