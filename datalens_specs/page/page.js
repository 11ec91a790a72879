// Draws the specs over the rows the page took along. Reckons with the same formulas as DataLens and the warehouse
// (datalens_specs/formula.py gives them as trees), so a figure here equals the query of its chart.
const content = JSON.parse(document.getElementById("content").textContent);
const main = document.getElementById("main");
const MONTHS = ["янв", "фев", "мар", "апр", "май", "июн", "июл", "авг", "сен", "окт", "ноя", "дек"];
const NONE = "недостаточно данных";
const FIRST_ROWS = 30;
const FEW = 5;
const MOST_LINES = 6;
const collator = new Intl.Collator("ru");
const formats = {
  number: new Intl.NumberFormat("ru-RU", { maximumFractionDigits: 0 }),
  decimal: new Intl.NumberFormat("ru-RU", { maximumFractionDigits: 1 }),
  score: new Intl.NumberFormat("ru-RU", { minimumFractionDigits: 2, maximumFractionDigits: 2 }),
  percent: new Intl.NumberFormat("ru-RU", { style: "percent", maximumFractionDigits: 0 }),
};
const bands = { "Стабильно выше": "good", "Стабильно ниже": "bad", "Недостаточно данных": "little" };
let state = { dashboard: content.dashboards[0].key, tab: null, chosen: {} };
let drawn = {};
let views = [];

// --- reckoning -------------------------------------------------------------------------------------------------------
const scalar = {
  "+": (a, b) => (a == null || b == null ? null : a + b),
  "-": (a, b) => (a == null || b == null ? null : a - b),
  "*": (a, b) => (a == null || b == null ? null : a * b),
  "/": (a, b) => (a == null || b == null || b === 0 ? null : a / b),
  "=": (a, b) => (a == null || b == null ? null : a === b),
  "!=": (a, b) => (a == null || b == null ? null : a !== b),
  "<": (a, b) => (a == null || b == null ? null : a < b),
  "<=": (a, b) => (a == null || b == null ? null : a <= b),
  ">": (a, b) => (a == null || b == null ? null : a > b),
  ">=": (a, b) => (a == null || b == null ? null : a >= b),
};
const functions = {
  IF: (condition, yes, no) => (condition ? yes : no),
  CONCAT: (...parts) => (parts.some((part) => part == null) ? null : parts.join("")),
  ROUND: (value, digits = 0) => (value == null ? null : Number(Math.round(Number(`${value}e${digits}`)) + `e-${digits}`)),
  SQRT: (value) => (value == null ? null : Math.sqrt(value)),
  ZN: (value) => value ?? 0,
  IFNULL: (value, other) => value ?? other,
  DATETRUNC: (day, unit) => {
    if (day == null) return null;
    const [year, month] = day.split("-");
    if (unit === "year") return `${year}-01-01`;
    const first = unit === "quarter" ? Math.floor((Number(month) - 1) / 3) * 3 + 1 : Number(month);
    return `${year}-${String(first).padStart(2, "0")}-01`;
  },
};
const aggregates = {
  SUM: (values) => (values.length ? values.reduce((sum, value) => sum + value, 0) : null),
  AVG: (values) => (values.length ? values.reduce((sum, value) => sum + value, 0) / values.length : null),
  MIN: (values) => values.reduce((least, value) => (least == null || value < least ? value : least), null),
  MAX: (values) => values.reduce((most, value) => (most == null || value > most ? value : most), null),
  COUNT: (values) => values.length,
  COUNTD: (values) => new Set(values).size,
};

function ofRow([kind, value, ...parts], columns, row) {
  if (kind === "field") return columns[value][row];
  if (kind === "number" || kind === "text") return value;
  const given = parts.map((part) => ofRow(part, columns, row));
  return kind === "call" ? functions[value](...given) : scalar[kind](...given);
}

function ofRows([kind, value, ...parts], columns, rows) {
  if (kind === "number" || kind === "text") return value;
  if (kind === "call" && aggregates[value]) {
    if (!parts.length) return rows.length;
    return aggregates[value](rows.map((row) => ofRow(parts[0], columns, row)).filter((one) => one != null));
  }
  const given = parts.map((part) => ofRows(part, columns, rows));
  return kind === "call" ? functions[value](...given) : scalar[kind](...given);
}

function values(dataset, key) {
  dataset.reckoned ??= {};
  const one = dataset.fields[key];
  const length = Object.values(dataset.columns)[0]?.length ?? 0;
  if (one.tree[0] === "field") return dataset.columns[one.tree[1]];
  dataset.reckoned[key] ??= Array.from({ length }, (_, row) => ofRow(one.tree, dataset.columns, row));
  return dataset.reckoned[key];
}

function filtered(chart) {
  const dataset = content.datasets[chart.dataset];
  const tests = chart.filters.map(({ field, values: allowed }) => {
    const of = values(dataset, field);
    return (row) => allowed.includes(String(of[row]));
  });
  for (const selector of tab().selectors) {
    const key = selector.fields[chart.dataset];
    const chosen = state.chosen[selector.key];
    if (!key || !chosen || !chosen.length) continue;
    const of = values(dataset, key);
    if (selector.kind === "months") tests.push((row) => of[row] != null && of[row] >= chosen[0] && of[row] <= chosen[1]);
    else tests.push((row) => chosen.includes(String(of[row])));
  }
  const length = Object.values(dataset.columns)[0]?.length ?? 0;
  const rows = [];
  for (let row = 0; row < length; row += 1) if (tests.every((test) => test(row))) rows.push(row);
  return rows;
}

function compare(a, b, direction) {
  if (a == null || b == null) return (a == null) - (b == null);
  const order = typeof a === "string" ? collator.compare(a, b) : a - b;
  return direction === "desc" ? -order : order;
}

// Rows of a chart: { fields: value, … }, grouped as its query groups them.
function rowsOf(chart) {
  const dataset = content.datasets[chart.dataset];
  const rows = filtered(chart);
  let result;
  if (chart.kind === "table") {
    result = rows.map((row) => Object.fromEntries(chart.columns.map((key) => [key, values(dataset, key)[row]])));
  } else {
    const keys = [...new Set([chart.x, chart.y, ...chart.rows, ...chart.columns, chart.color].filter(Boolean))];
    const measures = [...new Set([...chart.measures, ...chart.interval, chart.support].filter(Boolean))];
    const groups = new Map();
    if (!keys.length && !rows.length) return [];
    for (const row of rows) {
      const id = JSON.stringify(keys.map((key) => values(dataset, key)[row]));
      if (!groups.has(id)) groups.set(id, []);
      groups.get(id).push(row);
    }
    result = [...groups.values()].map((group) => {
      const one = Object.fromEntries(keys.map((key) => [key, values(dataset, key)[group[0]]]));
      for (const key of measures) {
        const { tree, isMeasure } = dataset.fields[key];
        one[key] = isMeasure
          ? ofRows(tree, dataset.columns, group)
          : aggregates.MIN(group.map((row) => values(dataset, key)[row]).filter((value) => value != null));
      }
      return one;
    });
    if (!chart.sort.length) result.sort((a, b) => keys.map((key) => compare(a[key], b[key])).find(Boolean) || 0);
  }
  result.sort((a, b) => chart.sort.map(({ field, direction }) => compare(a[field], b[field], direction)).find(Boolean) || 0);
  return result.slice(0, chart.limit);
}

// --- words -----------------------------------------------------------------------------------------------------------
function month(day, short) {
  const [year, number] = day.split("-");
  return `${MONTHS[Number(number) - 1]} ${short ? `’${year.slice(2)}` : year}`;
}

function text(field, value) {
  if (value == null || value === "") return field.labels[""] && value === "" ? field.labels[""] : "—";
  if (field.format === "month") return month(value);
  if (field.format === "day") return value.split("-").reverse().join(".");
  if (typeof value === "boolean") return value ? "да" : "нет";
  if (typeof value === "number") return (formats[field.format] ?? formats.decimal).format(value);
  return field.labels[value] ?? value;
}

// Bands of scores come as "<= 3.00", "4.25" and ">= 4.75".
function band(value) {
  if (!/^([<>]= )?\d\.\d\d$/.test(value)) return value;
  return value.replace("<= ", "не выше ").replace(">= ", "не ниже ").replace(".", ",");
}

// --- drawing ---------------------------------------------------------------------------------------------------------
function element(name, properties = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key === "class") made.className = value;
    else if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value !== false && value != null) made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children);
  return made;
}

const dashboard = () => content.dashboards.find((one) => one.key === state.dashboard);
const tab = () => dashboard().tabs.find((one) => one.key === state.tab) ?? dashboard().tabs[0];
const nothing = () => element("div", { class: "empty" }, NONE);
const isFigure = (field) => ["number", "decimal", "score", "percent"].includes(field.format);

function indicator(chart, rows, body) {
  const { fields } = content.datasets[chart.dataset];
  const key = chart.measures[0];
  const value = rows[0]?.[key];
  if (value == null) {
    body.append(element("div", { class: "value none" }, NONE));
    return;
  }
  body.append(element("div", { class: "value" }, text(fields[key], value)));
  if (chart.support !== key) {
    body.append(element("div", { class: "support" }, `n = ${text(fields[chart.support], rows[0][chart.support])}`));
  }
}

function table(chart, rows, keys) {
  const { fields } = content.datasets[chart.dataset];
  const long = (key) => rows.some((row) => String(row[key] ?? "").length > 60);
  const kinds = Object.fromEntries(keys.map((key) => [key, isFigure(fields[key]) ? "figure" : long(key) ? "long" : fields[key].type === "date" ? "short" : ""]));
  const body = element("tbody");
  const add = (some) => {
    for (const row of some) {
      body.append(element("tr", {}, ...keys.map((key) => {
        const shown = band(text(fields[key], row[key]));
        const cell = element("td", { class: `${kinds[key]}${shown === "—" ? " none" : ""}` });
        cell.append(bands[shown] || shown === "В норме" ? element("span", { class: `badge ${bands[shown] ?? ""}` }, shown) : kinds[key] === "long" ? text(fields[key], row[key]) : shown);
        return cell;
      })));
    }
  };
  add(rows.slice(0, FIRST_ROWS));
  const heads = keys.map((key) => element("th", { scope: "col", class: kinds[key] }, fields[key].title));
  const scroll = element("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": chart.title },
    element("table", {}, element("thead", {}, element("tr", {}, ...heads)), body));
  if (rows.length > FIRST_ROWS) {
    const more = element("button", { class: "more", type: "button", onclick: () => { add(rows.slice(FIRST_ROWS)); more.remove(); } },
      `Показать все строки: ${formats.number.format(rows.length)}`);
    scroll.append(more);
  }
  return scroll;
}

function matrix(chart, rows) {
  const { fields } = content.datasets[chart.dataset];
  const [down, across, measure] = [chart.rows[0], chart.columns[0], chart.measures[0]];
  const list = (key) => [...new Set(rows.map((row) => row[key]))].sort(collator.compare);
  const at = new Map(rows.map((row) => [JSON.stringify([row[down], row[across]]), row]));
  const across_values = list(across);
  const head = element("tr", {}, element("th", { scope: "col" }, `${fields[down].title} ↓  ${fields[across].title} →`),
    ...across_values.map((value) => element("th", { scope: "col" }, text(fields[across], value))));
  const lines = list(down).map((value) => element("tr", {}, element("th", { scope: "row" }, text(fields[down], value)),
    ...across_values.map((other) => {
      const row = at.get(JSON.stringify([value, other]));
      if (!row) return element("td", { "aria-label": "оценок не было" });
      const cell = element("td", {});
      if (row[measure] == null) {
        cell.append(element("small", {}, NONE));
        return cell;
      }
      const n = row[chart.support];
      const few = typeof n === "number" && n < FEW;
      // 75 % is the middle: below it the cell turns red, above it green; few ratings stay grey whatever they say.
      const distance = Math.max(-1, Math.min(1, (row[measure] - 0.75) / 0.25));
      const paint = few ? "color-mix(in srgb, var(--little) 30%, var(--panel))"
        : `color-mix(in srgb, var(${distance < 0 ? "--bad" : "--good"}) ${Math.round(8 + Math.abs(distance) * 42)}%, var(--panel))`;
      cell.style.setProperty("--cell", paint);
      cell.style.background = paint;
      cell.title = few ? "Мало оценок: выводов не делать" : "";
      cell.append(text(fields[measure], row[measure]), element("small", {}, `n = ${text(fields[chart.support], n)}`));
      return cell;
    })));
  return element("div", { class: "scroll matrix", tabindex: "0", role: "region", "aria-label": chart.title },
    element("table", {}, element("thead", {}, head), element("tbody", {}, ...lines)));
}

function vegaRows(chart, rows) {
  const { fields } = content.datasets[chart.dataset];
  const axis = (key, value) => (fields[key].format === "month" ? month(value, true) : text(fields[key], value));
  // Bands of more than two lines hide each other.
  const banded = chart.interval.length && new Set(rows.map((row) => row[chart.color])).size <= 2;
  return rows.map((row) => {
    const one = {};
    if (chart.x) one.x = axis(chart.x, row[chart.x]);
    if (chart.y) one.y = text(fields[chart.y], row[chart.y]);
    if (chart.color) one.c = text(fields[chart.color], row[chart.color]);
    chart.measures.forEach((key, number) => {
      one[`m${number}`] = row[key];
      one[`t${number}`] = text(fields[key], row[key]);
    });
    if (chart.interval.length) {
      if (banded) [one.lo, one.hi] = chart.interval.map((key) => row[key]);
      one.i = chart.interval.map((key) => text(fields[key], row[key])).join(" – ");
    }
    one.n = band(text(fields[chart.support], row[chart.support]));
    one.label = chart.support === chart.measures[0] ? one.t0 : `${one.t0}  ·  n = ${one.n}`;
    return one;
  });
}

// More lines than colours say nothing: those that stand on most are drawn, the table has all.
function fewer(chart, rows) {
  const names = [...new Set(rows.map((row) => row[chart.color]))];
  if (chart.kind !== "line" || !chart.color || names.length <= MOST_LINES) return [rows, ""];
  const weight = new Map(names.map((name) => [name, 0]));
  for (const row of rows) {
    const n = row[chart.support];
    weight.set(row[chart.color], weight.get(row[chart.color]) + (typeof n === "number" ? n : 1));
  }
  const kept = new Set(names.sort((a, b) => weight.get(b) - weight.get(a) || collator.compare(a, b)).slice(0, MOST_LINES));
  return [rows.filter((row) => kept.has(row[chart.color])), `Показано ${MOST_LINES} из ${names.length}, где данных больше всего: выберите точнее или откройте таблицу.`];
}

async function picture(chart, rows, body) {
  const [some, said] = fewer(chart, rows.filter((row) => row[chart.measures[0]] != null));
  const shown = vegaRows(chart, some);
  body.parentElement.querySelector(".fewer")?.remove();
  if (said) body.after(element("p", { class: "note fewer" }, said));
  if (!shown.length) {
    body.append(nothing());
    return;
  }
  const style = getComputedStyle(document.documentElement);
  const color = (name) => style.getPropertyValue(name).trim();
  const place = element("div", { class: "vega", role: "img", "aria-label": `${chart.title}. ${chart.note} Те же числа — кнопкой «Таблица».` });
  body.append(place);
  const spec = structuredClone(chart.drawing);
  spec.data.values = shown;
  // Bars keep their height however many there are; the tile scrolls.
  const bars = new Set(shown.map((row) => row.y)).size * 21 + 90;
  if (chart.y && bars > body.clientHeight) {
    place.classList.add("tall");
    place.style.height = `${bars}px`;
    body.classList.add("scroll");
  }
  const font = getComputedStyle(document.body).fontFamily;
  const words = { labelColor: color("--soft"), titleColor: color("--soft"), gridColor: color("--line"), labelFont: font, labelFontSize: 12 };
  spec.config = { ...spec.config, background: null, view: { stroke: null }, axis: words, text: { color: color("--soft"), font },
    legend: { ...spec.config.legend, labelColor: color("--soft"), labelFont: font, labelFontSize: 12, columns: Math.max(1, Math.floor(body.clientWidth / 300)) } };
  const made = await window.vegaEmbed(place, spec, { actions: false, renderer: "svg", formatLocale: content.numberLocale, tooltip: { theme: matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light" } });
  views.push(made.view);
}

function tile(item) {
  if (item.chart == null) {
    const inside = item.heading != null ? element("h2", {}, item.heading) : element("p", {}, item.text);
    return element("section", { class: "tile paragraph" }, inside);
  }
  const chart = content.charts[item.chart];
  const rows = rowsOf(chart);
  drawn[item.chart] = rows;
  const head = element("div", { class: "head" }, element("h2", {}, chart.title));
  const body = element("div", { class: "body" });
  const note = element("p", { class: "note" }, chart.note);
  const kind = chart.kind === "indicator" ? "indicator" : chart.drawing ? "drawn" : "listed";
  const section = element("section", { class: `tile ${kind}`, "data-chart": item.chart, "aria-label": chart.title });
  if (kind === "indicator") section.append(head, body, note);
  else section.append(head, note, body);
  if (kind === "indicator") indicator(chart, rows, body);
  else if (!rows.length) body.append(nothing());
  else if (chart.kind === "table") body.append(table(chart, rows, chart.columns));
  else if (chart.kind === "matrix") body.append(matrix(chart, rows));
  else {
    let figures = false;
    const keys = [...new Set([chart.x ?? chart.y, chart.color, ...chart.measures, ...chart.interval, chart.support].filter(Boolean))];
    const flip = element("button", { class: "flip", type: "button", "aria-pressed": "false", onclick: () => {
      figures = !figures;
      flip.textContent = figures ? "График" : "Таблица";
      flip.setAttribute("aria-pressed", String(figures));
      body.replaceChildren();
      if (figures) body.append(table(chart, rows, keys));
      else picture(chart, rows, body);
    } }, "Таблица");
    head.append(flip);
    section.draw = () => picture(chart, rows, body);
  }
  return section;
}

// --- choosing --------------------------------------------------------------------------------------------------------
function options(selector) {
  const [[name, key]] = Object.entries(selector.fields);
  const dataset = content.datasets[name];
  const scopes = new Set(tab().items.filter((item) => item.chart).map((item) => content.charts[item.chart])
    .filter((chart) => chart.dataset === name).flatMap((chart) => chart.filters.filter((one) => one.field === "scope").flatMap((one) => one.values)));
  const scope = dataset.columns.scope;
  const found = values(dataset, key).filter((value, row) => value != null && (!scopes.size || scopes.has(scope[row])));
  const field = dataset.fields[key];
  const unique = [...new Set(found.map(String))];
  return selector.kind === "months" ? unique.sort() : unique.sort((a, b) => collator.compare(text(field, a), text(field, b)));
}

function defaults() {
  state.chosen = {};
  for (const selector of tab().selectors) {
    const known = options(selector);
    if (selector.kind === "months") state.chosen[selector.key] = known.length ? [known[Math.max(0, known.length - selector.last)], known.at(-1)] : [];
    else state.chosen[selector.key] = selector.default.filter((value) => known.includes(value));
  }
}

function rangeOf(selector) {
  const known = options(selector);
  const pick = (end) => element("select", { "aria-label": `${selector.title}: ${end ? "по" : "с"}`, "data-end": String(end), onchange: (event) => {
    const chosen = [...state.chosen[selector.key]];
    chosen[end] = event.target.value;
    if (chosen[0] > chosen[1]) chosen[1 - end] = chosen[end];
    state.chosen[selector.key] = chosen;
    render(`[data-selector="${selector.key}"] select[data-end="${end}"]`);
  } }, ...known.map((value) => element("option", { value, selected: state.chosen[selector.key][end] === value }, month(value))));
  return element("div", { class: "range", "data-selector": selector.key }, element("b", {}, selector.title), pick(0), "–", pick(1));
}

function listOf(selector) {
  const [[name, key]] = Object.entries(selector.fields);
  const field = content.datasets[name].fields[key];
  const known = options(selector);
  const chosen = state.chosen[selector.key];
  const said = !chosen.length ? "все" : chosen.length === 1 ? text(field, chosen[0]) : `выбрано ${chosen.length}`;
  const menu = element("div", { class: "menu" });
  if (known.length > 8) {
    menu.append(element("input", { type: "search", placeholder: "Найти", "aria-label": `Найти: ${selector.title}`, oninput: (event) => {
      const sought = event.target.value.toLocaleLowerCase("ru");
      for (const label of menu.querySelectorAll("label")) label.hidden = !label.textContent.toLocaleLowerCase("ru").includes(sought);
    } }));
  }
  for (const value of known) {
    const box = element("input", { type: selector.multiple ? "checkbox" : "radio", name: selector.key, value, checked: chosen.includes(value), onchange: () => {
      state.chosen[selector.key] = [...menu.querySelectorAll("input:checked")].map((one) => one.value);
      render(`[data-selector="${selector.key}"] input[value="${CSS.escape(value)}"]`, selector.key);
    } });
    menu.append(element("label", {}, box, text(field, value)));
  }
  const details = element("details", { class: `selector${chosen.length ? " chosen" : ""}`, "data-selector": selector.key, name: "selector" },
    element("summary", {}, element("b", {}, selector.title), said), menu);
  details.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    details.open = false;
    details.querySelector("summary").focus();
  });
  return details;
}

// --- the page --------------------------------------------------------------------------------------------------------
function remember() {
  const query = new URLSearchParams({ d: state.dashboard, t: tab().key });
  for (const selector of tab().selectors) for (const value of state.chosen[selector.key] ?? []) query.append(selector.key, value);
  history.replaceState(null, "", `#${query}`);
}

function recall() {
  const query = new URLSearchParams(location.hash.slice(1));
  if (content.dashboards.some((one) => one.key === query.get("d"))) state.dashboard = query.get("d");
  state.tab = dashboard().tabs.some((one) => one.key === query.get("t")) ? query.get("t") : dashboard().tabs[0].key;
  defaults();
  for (const selector of tab().selectors) {
    const known = options(selector);
    const given = query.getAll(selector.key).filter((value) => known.includes(value));
    if (given.length && (selector.kind !== "months" || given.length === 2)) state.chosen[selector.key] = given;
  }
}

function go(to) {
  state = { ...state, ...to };
  state.tab = to.tab ?? dashboard().tabs[0].key;
  defaults();
  render();
}

async function render(focus, open) {
  document.body.dataset.ready = "no";
  for (const view of views) view.finalize();
  views = [];
  drawn = {};
  const here = dashboard();
  document.title = `${here.name} — Эстафета`;
  document.getElementById("dashboards").replaceChildren(...content.dashboards.map((one) => element("a", {
    href: `#d=${one.key}`, "aria-current": one.key === here.key ? "page" : null,
    onclick: (event) => { event.preventDefault(); go({ dashboard: one.key, tab: undefined }); },
  }, one.name)));
  const tabs = element("div", { class: "tabs", role: "tablist" }, ...here.tabs.map((one) => element("button", {
    type: "button", role: "tab", "data-tab": one.key, "aria-selected": String(one.key === tab().key), onclick: () => { go({ tab: one.key }); document.querySelector(`[data-tab="${one.key}"]`).focus(); },
  }, one.title)));
  tabs.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    const all = [...tabs.children];
    const next = all[(all.indexOf(document.activeElement) + step + all.length) % all.length];
    next.click();
  });
  const selectors = element("div", { class: "selectors", role: "group", "aria-label": "Фильтры" },
    ...tab().selectors.map((one) => (one.kind === "months" ? rangeOf(one) : listOf(one))));
  if (tab().selectors.length) selectors.append(element("button", { class: "reset", type: "button", onclick: () => { defaults(); render(".reset"); } }, "Сбросить"));
  const grid = element("div", { class: "grid" });
  for (const item of tab().items) {
    const made = tile(item);
    const { x, y, w, h } = item.at;
    made.style.gridColumn = `${x + 1} / span ${w}`;
    made.style.gridRow = `${y + 1} / span ${h}`;
    grid.append(made);
  }
  const scrolled = window.scrollY;
  main.replaceChildren(element("h1", {}, here.name), element("p", { class: "lead" }, here.description), ...(here.tabs.length > 1 ? [tabs] : []), selectors, grid);
  document.getElementById("footer").textContent = `Данные на ${content.readOn.split("-").reverse().join(".")}. Предпросмотр без DataLens: те же описания, те же числа.`;
  remember();
  if (open) main.querySelector(`details[data-selector="${open}"]`).open = true;
  if (focus) main.querySelector(focus)?.focus({ preventScroll: true });
  window.scrollTo(0, scrolled);
  await Promise.all([...grid.children].map((one) => one.draw?.()));
  document.body.dataset.ready = "yes";
}

document.addEventListener("click", (event) => {
  for (const open of document.querySelectorAll("details.selector[open]")) if (!open.contains(event.target)) open.open = false;
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => render());
window.addEventListener("hashchange", () => { recall(); render(); });
window.estafeta = { rows: () => drawn };
recall();
render();
