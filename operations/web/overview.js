// All models: a list of which only what can be seen is made, or a chart for each.

import { Chart } from "./charts.js";
import { duration, h, missing, number, s, show } from "./dom.js";
import { healthOf, idOf, isReading, path, store } from "./store.js";
import { view } from "./view.js";

const HEADS = ["health", "model", "version", "error now", "an hour ago", "a day ago", "trend", "unread", "labels due", "shadows", "alerts"];

export function overview({ root, words }) {
  const filter = h("input", { type: "search", placeholder: "Filter by name or health", "aria-label": "Filter the models" });
  const count = h("p.count", { role: "status" });
  const isWall = words.get("view") === "charts";
  const link = (to, label, isHere) => h("a", { href: to ? `#/?view=${to}` : "#/", "aria-current": isHere ? "true" : null }, label);
  const place = h("div.place");
  const topics = h("div");
  root.append(h("div.tools", {}, filter, h("span.switch", {}, link("", "List", !isWall), link("charts", "Charts", isWall)), count), topics, place);
  const body = isWall ? wall(place) : list(place);
  const update = () => {
    const wanted = filter.value.trim().toLowerCase();
    const found = [...store.rows.values()].filter((each) => !wanted || `${each.model} ${each.scope} ${each.health.word}`.toLowerCase().includes(wanted));
    found.sort((a, b) => a.health.rank - b.health.rank || (idOf(a) < idOf(b) ? -1 : 1));
    count.textContent = store.heardAt ? `${number(found.length)} of ${number(store.rows.size)} models` : "loading";
    body.update(found);
  };
  filter.addEventListener("input", update);
  return {
    update(parts) {
      show(topics, told(store.feed));
      if (parts.has("all") || parts.has("rows")) update();
    },
    end: () => body.end(),
  };
}

/** What is wrong with the topics, if anything is. */
function told(feed) {
  const unreadable = Object.entries(feed?.unreadable ?? {}).map(([topic, count]) => `${number(count)} on ${topic}`);
  return [
    feed?.missing.length ? h("p.note", {}, `Topics that are not there: ${feed.missing.join(", ")}. They are made by `, h("code", {}, "anabranch topics create CONFIG"), ".") : null,
    unreadable.length ? h("p.note", {}, `Records that cannot be read and are passed over: ${unreadable.join(", ")}.`) : null,
  ];
}

const nothing = () =>
  isReading() || !store.heardAt
    ? missing("The topics are being read.")
    : missing("No model has said anything yet. Start a learner:", "anabranch learn CONFIG");

// ── the list ───────────────────────────────────────────────────────────────────────────────────────────────────────

function list(place) {
  const inner = h("div.inner", { role: "rowgroup" });
  const head = h("div.row.heads", { role: "row" }, HEADS.map((each) => h("span", { role: "columnheader" }, each)));
  const scroll = h("div.list", { role: "table", "aria-label": "Models", tabindex: "0" }, h("div", { role: "rowgroup" }, head), inner);
  const empty = h("div");
  place.append(scroll, empty);
  let rows = [];
  const made = new Map();
  const wide = matchMedia("(min-width: 900px)");

  function draw() {
    const height = wide.matches ? 44 : 104;
    inner.style.height = `${rows.length * height}px`;
    scroll.setAttribute("aria-rowcount", rows.length + 1);
    const first = Math.max(0, Math.floor(scroll.scrollTop / height) - 4);
    const last = Math.min(rows.length, Math.ceil((scroll.scrollTop + scroll.clientHeight) / height) + 4);
    const wanted = new Set();
    for (let n = first; n < last; n++) {
      const id = idOf(rows[n]);
      wanted.add(id);
      let element = made.get(id);
      if (!element) {
        element = h("div.row", { role: "row" });
        made.set(id, element);
        inner.append(element);
      }
      element.style.transform = `translateY(${n * height}px)`;
      element.setAttribute("aria-rowindex", n + 2);
      show(element, cells(rows[n]));
    }
    for (const [id, element] of made) {
      if (wanted.has(id) || element.contains(document.activeElement)) continue;
      element.remove();
      made.delete(id);
    }
  }
  scroll.addEventListener("scroll", () => requestAnimationFrame(draw), { passive: true });
  wide.addEventListener("change", draw);
  const sizes = new ResizeObserver(draw);
  sizes.observe(scroll);
  return {
    update(found) {
      rows = found;
      scroll.hidden = !store.rows.size;
      show(empty, store.rows.size ? null : nothing());
      draw();
    },
    end: () => sizes.disconnect(),
  };
}

function cells(row) {
  const name = row.scope === "global" ? row.model : `${row.model} (${row.scope})`;
  const words = view.written().toString();
  const href = `#/model/${path([row.model, row.scope])}${words ? `?${words}` : ""}`;
  const cell = (label, ...what) => h("span", { role: "cell", "data-label": label }, what);
  const age = row.announced_s == null ? "" : duration(Math.max(0, Math.round((view.now() - row.announced_s) / 5) * 5));
  return [
    cell("", healthOf(row)),
    cell("", h("a", { href, "data-key": idOf(row) }, name)),
    cell("version", row.version ? `${row.version}` : "none", age ? h("small", {}, ` ${age} old`) : null),
    cell("error now", number(row.error.now)),
    cell("an hour ago", compared(row.error.now, row.error.hour)),
    cell("a day ago", compared(row.error.now, row.error.day)),
    cell("", spark(row.spark)),
    cell("unread", number(row.unread)),
    cell("labels due", number(row.pending)),
    cell("shadows", number(row.shadows)),
    cell("alerts", row.alerts ? h("strong", {}, number(row.alerts)) : "0"),
  ];
}

/** What it was, and in words whether that was better. */
function compared(now, before) {
  if (before == null) return "–";
  if (now == null) return number(before);
  const by = now - before;
  const word = Math.abs(by) < 0.02 * Math.max(now, before) ? "same" : by > 0 ? "▲ worse now" : "▼ better now";
  return [number(before), h("small", {}, ` ${word}`)];
}

function spark([times, values]) {
  if (times.length < 2) return h("small", {}, "–");
  const [from, to, top] = [times[0], times[times.length - 1], Math.max(...values, 1e-9)];
  const points = times.map((at, n) => `${(((at - from) / (to - from || 1)) * 96 + 2).toFixed(1)},${(22 - (values[n] / top) * 20).toFixed(1)}`);
  const words = `error of the last ${duration(to - from)}, from ${number(values[0])} to ${number(values[values.length - 1])}`;
  return s("svg", { viewBox: "0 0 100 24", class: "spark", role: "img", "aria-label": words, preserveAspectRatio: "none" }, s("polyline", { points: points.join(" ") }));
}

// ── the wall: a chart a model ──────────────────────────────────────────────────────────────────────────────────────

function wall(place) {
  const grid = h("div.wall");
  const empty = h("div");
  place.append(grid, empty);
  const charts = new Map();
  return {
    update(found) {
      show(empty, store.rows.size ? null : nothing());
      const wanted = new Set(found.map(idOf));
      for (const [id, each] of charts) if (!wanted.has(id)) drop(id, each);
      for (const row of found) {
        const id = idOf(row);
        let each = charts.get(id);
        if (!each) {
          each = { chart: new Chart({ title: id.replace(/\/global$/, ""), href: `#/model/${path([row.model, row.scope])}`, plain: true, height: 120, gaps: [300, 300] }), times: [...row.spark[0]], values: [...row.spark[1]], word: h("span") };
          each.chart.node.querySelector("figcaption").append(each.word);
          charts.set(id, each);
          grid.append(each.chart.node);
          each.chart.set(each.times, { error: each.values });
        }
        show(each.word, healthOf(row));
        if (row.told_s && row.told_s > (each.times[each.times.length - 1] ?? 0) && row.error.now != null) {
          each.times.push(row.told_s);
          each.values.push(row.error.now);
          if (each.times.length > 5000) {
            each.times.shift();
            each.values.shift();
          }
          each.chart.set(each.times, { error: each.values });
        }
      }
    },
    end() {
      for (const each of charts.values()) each.chart.end();
    },
  };
  function drop(id, each) {
    each.chart.end();
    each.chart.node.remove();
    charts.delete(id);
  }
}
