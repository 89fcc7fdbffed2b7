// Charts over time: all show the same part of it, each has its table, and each is read by keyboard.

import { clock, day, h, number, s, table } from "./dom.js";
import { view } from "./view.js";

/** For tests and benchmarks: a canvas tells nothing. */
export const counters = { charts: 0, mounted: 0, draws: 0, points: 0 };
window.anabranchCounters = counters;

export const hasCharts = () => Boolean(window.uPlot);

const DASHES = [[], [6, 3], [2, 3], [8, 3, 2, 3], [12, 4], [4, 2]];
export const MARKS = { signal: "▽", trigger: "▼", swap: "◆", canary: "◈", rollback: "◁", first: "◇", rebuild: "□", retired: "▬", reinstated: "○" };
const GAP_S = [30, 150]; // of the newest quarter of an hour; of what is older, which is one point in two minutes
const TABLE_MAX = 200;
const HEIGHT = 190;

const all = new Set();
const visible = new IntersectionObserver((entries) => {
  for (const entry of entries) {
    const chart = entry.target.chart;
    chart.isVisible = entry.isIntersecting;
    if (chart.isVisible) chart.draw();
  }
}, { rootMargin: "120px" });

// Charts that are to be drawn. Of many not all are drawn with each picture: as many as leave the page at its pace, and
// the others with the next ones, in turn. So a page of fifty charts moves as smoothly as one of five.
const due = new Set();
const pace = { frame: 0, at: 0, most: 16 };
const SLOW_MS = 22;

function schedule(chart) {
  due.add(chart);
  if (!pace.frame) pace.frame = requestAnimationFrame(paint);
}

function paint(now) {
  const took = now - pace.at;
  // A pause is no slow picture.
  if (took < 250) pace.most = took > SLOW_MS ? Math.max(2, pace.most * 0.75) : Math.min(64, pace.most + 0.25);
  Object.assign(pace, { at: now, frame: 0 });
  let count = 0;
  for (const chart of due) {
    if (count++ >= pace.most) break;
    due.delete(chart);
    chart.paint();
  }
  if (due.size) pace.frame = requestAnimationFrame(paint);
}

const colors = new Map(); // asked for once: each answer makes the browser work out all styles
function color(name) {
  if (!colors.has(name)) colors.set(name, getComputedStyle(document.documentElement).getPropertyValue(name).trim());
  return colors.get(name);
}

/** Points in order with a hole where nobody reported for long. */
export function withGaps(times, columns, now, gaps = GAP_S) {
  const holes = [];
  for (let n = 1; n < times.length; n++) {
    const wide = now - times[n] < 900 ? gaps[0] : gaps[1];
    if (times[n] - times[n - 1] > wide) holes.push(n);
  }
  if (!holes.length) return [times, ...columns];
  const filled = [times, ...columns].map((each) => each.slice());
  for (const n of holes.reverse()) {
    filled[0].splice(n, 0, (times[n - 1] + times[n]) / 2);
    for (let c = 1; c < filled.length; c++) filled[c].splice(n, 0, null);
  }
  return filled;
}

export class Chart {
  /**
   * options: title, note, unit, lines [{at, label}], kind "line" | "bars", zero (the axis begins at 0), span (of a bar, s),
   * height, empty (what it says without data), plain (no legend, no table: of the wall), band (between its second and third
   * series lies an interval).
   */
  constructor(options) {
    this.options = { lines: [], kind: "line", height: HEIGHT, empty: "nothing was reported yet", ...options };
    this.times = [];
    this.names = [];
    this.columns = [];
    this.marks = [];
    this.at = null;
    this.plot = null;
    this.isVisible = false;
    this.canvas = h("div.canvas", { tabindex: "0", role: "img", "aria-label": `${options.title}: chart; arrow keys read the points` });
    this.live = h("p.readout", { "aria-live": "polite" });
    this.legend = h("p.legend");
    this.rows = h("div", { hidden: !this.isTabular() });
    this.toggle = h("button.plain", { type: "button", "aria-expanded": String(this.isTabular()), onclick: () => this.showTable() }, "Table");
    this.empty = h("p.empty", { hidden: true }, this.options.empty);
    this.gap = h("p.empty", { hidden: true });
    const title = options.href ? h("a", { href: options.href }, options.title) : options.title;
    this.node = h("figure.chart", {},
      h("figcaption", {}, h("strong", {}, title), options.note ? h("span.note", {}, options.note) : null, this.toggle),
      this.empty, this.gap, this.legend, this.canvas, this.live, this.rows);
    this.node.chart = this;
    this.canvas.addEventListener("keydown", (event) => this.key(event));
    this.canvas.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    all.add(this);
    counters.charts = all.size;
    visible.observe(this.node);
    this.sizes = new ResizeObserver(() => this.plot && this.isVisible && this.plot.setSize(this.size()));
    this.sizes.observe(this.canvas);
  }

  isTabular() {
    return !hasCharts() && !this.options.plain;
  }

  end() {
    this.plot?.destroy();
    if (this.plot) counters.mounted--;
    this.plot = null;
    visible.unobserve(this.node);
    this.sizes.disconnect();
    all.delete(this);
    due.delete(this);
    counters.charts = all.size;
  }

  /** times, and series by name: {name: [values]}; marks: [{t, kind, label}]. */
  set(times, series, marks = []) {
    const names = Object.keys(series);
    const isOther = names.join("\n") !== this.names.join("\n");
    Object.assign(this, { times, names, columns: names.map((each) => series[each]), marks });
    if (isOther) this.unmount();
    this.isFresh = true;
    const isEmpty = !times.length || !names.length || this.columns.every((each) => each.every((value) => value == null));
    this.empty.hidden = !isEmpty;
    this.canvas.hidden = isEmpty || !hasCharts();
    this.legend.hidden = isEmpty || this.options.plain || !hasCharts();
    this.draw();
    if (!this.rows.hidden) this.fillTable();
  }

  unmount() {
    if (this.plot) counters.mounted--;
    this.plot?.destroy();
    this.plot = null;
  }

  draw() {
    if (this.isVisible) schedule(this);
  }

  paint() {
    if (!this.isVisible || !hasCharts() || this.canvas.hidden || !this.times.length) return;
    const [from, to] = view.range();
    this.sayWhatIsMissing(from, to);
    const isBars = this.options.kind === "bars";
    const isFresh = this.isFresh || !this.plot;
    if (isFresh) this.data = isBars ? [this.times, ...this.columns] : withGaps(this.times, this.columns, view.now(), this.options.gaps);
    if (!this.plot) this.mount();
    this.isFresh = false;
    counters.points = this.times.length;
    this.plot.batch(() => {
      if (isFresh) this.plot.setData(this.data, false);
      this.plot.setScale("x", isBars && this.options.own ? this.own() : { min: from, max: to });
    });
  }

  /** A chart without a line in it says why, and where the nearest is. */
  sayWhatIsMissing(from, to) {
    const last = this.times[this.times.length - 1];
    const isInside = this.options.own || (last >= from && this.times[0] <= to && this.times.some((at) => at >= from && at <= to));
    const words = isInside ? "" : last < from ? `Nothing was reported in this part of time; the last is of ${day(last)} ${clock(last)}.` : "Nothing was reported in this part of time.";
    if (this.gap.textContent !== words) this.gap.textContent = words;
    this.gap.hidden = isInside || Boolean(this.options.plain);
  }

  /** A range of its own: of what is by the day. */
  own() {
    const span = this.options.span;
    return { min: this.times[0] - span * 0.6, max: this.times[this.times.length - 1] + span * 0.6 };
  }

  size() {
    return { width: Math.max(120, this.canvas.clientWidth), height: this.options.height };
  }

  mount() {
    const { options } = this;
    const axis = { stroke: color("--soft"), grid: { stroke: color("--grid"), width: 1 }, ticks: { stroke: color("--grid"), width: 1 }, font: "12px system-ui, sans-serif" };
    const style = (n) => ({ stroke: color(`--c${n % 8}`), width: n ? 1.5 : 2.2, dash: DASHES[n % DASHES.length], points: { show: false } });
    const bars = options.kind === "bars" ? { paths: window.uPlot.paths.bars({ size: [0.8, 60] }), fill: color("--c0") } : {};
    const series = [{}, ...this.names.map((name, n) => ({ label: name, ...style(n), ...bars, spanGaps: false }))];
    const zero = (plot, low, high) => {
      const lines = options.lines.map((each) => each.at);
      const top = Math.max(high ?? 1, ...lines);
      const bottom = options.zero === false ? Math.min(low ?? 0, ...lines) : Math.min(0, low ?? 0);
      return [bottom, top + (top - bottom || Math.abs(top) / 2 || 1) * (lines.length ? 0.16 : 0.08)];
    };
    this.plot = new window.uPlot({
      ...this.size(),
      series,
      // Of three series the last two are the ends of an interval for the first.
      bands: options.band ? [{ series: [3, 2], fill: `${color("--c0")}22` }] : [],
      legend: { show: false },
      cursor: { sync: { key: "time" }, drag: { x: true, y: false, setScale: false }, points: { size: 6 } },
      select: { show: true },
      scales: { x: { time: true }, y: { range: zero } },
      axes: [{ ...axis, space: 70, size: 30, values: (_, ticks, __, ___, step) => ticks.map((at) => (step >= 86400 ? day(at).slice(5) : step < 60 ? clock(at) : clock(at).slice(0, 5))) },
        { ...axis, size: 52, values: (_, ticks) => ticks.map((each) => number(each, 3)) }],
      hooks: {
        draw: [(plot) => this.over(plot)],
        setSelect: [(plot) => this.selected(plot)],
        setCursor: [(plot) => this.hovered(plot)],
      },
    }, this.data, this.canvas);
    counters.mounted++;
    if (options.plain) return;
    this.legend.replaceChildren(...this.names.map((name, n) => h("span", {},
      s("svg", { width: "26", height: "10", "aria-hidden": "true" },
        s("line", { x1: "0", y1: "5", x2: "26", y2: "5", class: `c${n % 8}`, "stroke-width": n ? "2" : "3", "stroke-dasharray": DASHES[n % DASHES.length].join(" ") })),
      name)));
  }

  /** Thresholds, and marks of what happened. */
  over(plot) {
    counters.draws++;
    const { ctx, bbox } = plot;
    ctx.save();
    ctx.beginPath();
    ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
    ctx.clip();
    const scale = devicePixelRatio;
    ctx.font = `${12 * scale}px system-ui, sans-serif`;
    ctx.textAlign = "right";
    for (const line of this.options.lines) {
      const y = plot.valToPos(line.at, "y", true);
      ctx.strokeStyle = ctx.fillStyle = color("--warn");
      ctx.setLineDash([6 * scale, 4 * scale]);
      ctx.lineWidth = 1.5 * scale;
      ctx.beginPath();
      ctx.moveTo(bbox.left, y);
      ctx.lineTo(bbox.left + bbox.width, y);
      ctx.stroke();
      ctx.fillText(line.label, bbox.left + bbox.width - 8 * scale, y - 5 * scale);
    }
    ctx.textAlign = "center";
    for (const mark of this.marks) {
      const x = plot.valToPos(mark.t, "x", true);
      if (x < bbox.left || x > bbox.left + bbox.width) continue;
      ctx.strokeStyle = ctx.fillStyle = color(mark.kind === "signal" ? "--soft" : mark.kind === "trigger" ? "--warn" : "--good");
      ctx.setLineDash(mark.kind === "signal" ? [2 * scale, 4 * scale] : []);
      ctx.lineWidth = scale;
      ctx.beginPath();
      ctx.moveTo(x, bbox.top + 14 * scale);
      ctx.lineTo(x, bbox.top + bbox.height);
      ctx.stroke();
      ctx.fillText(MARKS[mark.kind] ?? "·", x, bbox.top + 11 * scale);
    }
    ctx.restore();
  }

  selected(plot) {
    const { left, width } = plot.select;
    if (width < 6) return;
    const [from, to] = [plot.posToVal(left, "x"), plot.posToVal(left + width, "x")];
    plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
    if (!this.options.own) view.fix(from, to);
  }

  hovered(plot) {
    const n = plot.cursor.idx;
    if (n == null || document.activeElement === this.canvas || !this.canvas.matches(":hover")) return;
    this.live.textContent = this.said(this.data, n);
  }

  said(data, n) {
    const values = this.names.map((name, c) => (data[c + 1][n] == null ? null : `${name} ${number(data[c + 1][n])}`)).filter(Boolean);
    const near = this.marks.filter((each) => Math.abs(each.t - data[0][n]) < 5).map((each) => `${each.kind}: ${each.label}`);
    const when = this.options.span >= 86400 ? day(data[0][n]) : clock(data[0][n]);
    return `${when}  ${values.join(", ") || "no value"}${this.options.unit ? ` ${this.options.unit}` : ""}${near.length ? `; ${near.join(", ")}` : ""}`;
  }

  key(event) {
    const steps = { ArrowLeft: -1, ArrowRight: 1, PageUp: -20, PageDown: 20 };
    const last = this.times.length - 1;
    if (event.key in steps) this.at = Math.min(last, Math.max(0, (this.at ?? last + 1) + steps[event.key]));
    else if (event.key === "Home") this.at = 0;
    else if (event.key === "End") this.at = last;
    else if (event.key === "+") return view.zoom(0.5, this.times[this.at ?? last]);
    else if (event.key === "-") return view.zoom(2, this.times[this.at ?? last]);
    else return;
    event.preventDefault();
    if (last < 0) return;
    this.live.textContent = this.said([this.times, ...this.columns], this.at);
    if (!this.plot) return;
    const left = this.plot.valToPos(this.times[this.at], "x");
    if (left < 0 || left > this.plot.bbox.width) {
      const [from, to] = view.range();
      view.fix(this.times[this.at] - (to - from) / 2, this.times[this.at] + (to - from) / 2);
    }
    this.plot.setCursor({ left: this.plot.valToPos(this.times[this.at], "x"), top: 20 });
  }

  /** With Ctrl it zooms; without, the page scrolls as ever. */
  wheel(event) {
    if (!event.ctrlKey || !this.plot || this.options.own) return;
    event.preventDefault();
    view.zoom(event.deltaY > 0 ? 1.25 : 0.8, this.plot.posToVal(event.offsetX - this.plot.bbox.left / devicePixelRatio, "x"));
  }

  showTable() {
    this.rows.hidden = !this.rows.hidden;
    this.toggle.setAttribute("aria-expanded", String(!this.rows.hidden));
    if (!this.rows.hidden) this.fillTable();
  }

  fillTable() {
    const [from, to] = this.options.own ? [-Infinity, Infinity] : view.range();
    const inside = this.times.map((_, n) => n).filter((n) => this.times[n] >= from && this.times[n] <= to);
    const shown = inside.slice(-TABLE_MAX).reverse();
    const left = inside.length > shown.length ? `; the newest ${TABLE_MAX} of ${number(inside.length)}` : "";
    const when = (at) => (this.options.span >= 86400 ? day(at) : `${day(at)} ${clock(at)}`);
    this.rows.replaceChildren(table(`${this.options.title}${left}`, ["time", ...this.names.map((each) => [each, "number"])],
      shown.map((n) => [when(this.times[n]), ...this.columns.map((each) => number(each[n]))]), { empty: "nothing in this part of time" }));
  }
}

/** All charts anew: another part of time, or other colours. */
export function redraw({ anew = false } = {}) {
  if (anew) colors.clear();
  for (const each of all) {
    if (anew) each.unmount();
    each.draw();
    if (!each.rows.hidden && view.from != null) each.fillTable();
  }
}

/** Points that come are appended; old ones beyond the bound go. */
export function append(columns, fresh, most = 4000) {
  const last = columns.t.length ? columns.t[columns.t.length - 1] : -Infinity;
  const first = fresh.t.findIndex((each) => each > last);
  if (first < 0) return false;
  const before = columns.t.length;
  const grow = (mine, theirs, length) => {
    const list = mine ?? Array(length).fill(null);
    list.push(...(theirs ? theirs.slice(first) : Array(fresh.t.length - first).fill(null)));
    return list;
  };
  for (const [key, value] of Object.entries(fresh)) {
    if (Array.isArray(value)) columns[key] = grow(columns[key], value, before);
    else for (const name of new Set([...Object.keys(columns[key] ?? {}), ...Object.keys(value)])) {
      columns[key] ??= {};
      columns[key][name] = grow(columns[key][name], value[name], before);
    }
  }
  const surplus = columns.t.length - most;
  if (surplus > 0) for (const value of Object.values(columns)) {
    for (const list of Array.isArray(value) ? [value] : Object.values(value)) list.splice(0, surplus);
  }
  return true;
}
