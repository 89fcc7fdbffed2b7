// Which time all charts show. It is in the address, so that a link shows the same.

import { inputOf, h } from "./dom.js";

export const SPANS = [["15 min", 900], ["1 h", 3600], ["6 h", 21600], ["24 h", 86400]];

const listeners = new Set();

export const view = {
  span: 900,
  from: null, // a fixed part; null: the newest `span` seconds
  to: null,
  at: null, // the whole page is as of then; null: now
  first: null, // the oldest point that is known: what is young fills its charts, too
  skew: 0, // the server's clock less ours

  now() {
    return this.at ?? Date.now() / 1000 + this.skew;
  },
  range() {
    if (this.from != null) return [this.from, this.to];
    const now = this.now();
    const from = now - this.span;
    return [this.first != null && this.first > from ? Math.min(this.first - 1, now - 30) : from, now];
  },
  follow(span = this.span) {
    Object.assign(this, { span, from: null, to: null });
    this.tell();
  },
  fix(from, to) {
    if (!(to - from > 0.5)) return;
    Object.assign(this, { from, to });
    this.tell();
  },
  /** Around the middle; below 1 it comes nearer. */
  zoom(factor, middle = null) {
    const [from, to] = this.range();
    const centre = middle ?? (this.from == null ? to : (from + to) / 2);
    this.fix(centre - (centre - from) * factor, centre + (to - centre) * factor);
  },
  pan(share) {
    const [from, to] = this.range();
    this.fix(from + share * (to - from), to + share * (to - from));
  },
  travel(at) {
    Object.assign(this, { at, from: null, to: null });
    this.tell();
  },
  heard(listener) {
    listeners.add(listener);
    return () => listeners.delete(listener);
  },
  tell() {
    for (const each of listeners) each();
  },

  /** What stands in the address. */
  written() {
    const words = new URLSearchParams();
    if (this.from != null) {
      words.set("from", this.from.toFixed(1));
      words.set("to", this.to.toFixed(1));
    } else if (this.span !== 900) words.set("span", this.span);
    if (this.at != null) words.set("at", Math.round(this.at));
    return words;
  },
  read(words) {
    const value = (name) => (words.has(name) && Number.isFinite(+words.get(name)) ? +words.get(name) : null);
    Object.assign(this, { span: value("span") ?? 900, from: value("from"), to: value("to"), at: value("at") });
    if (this.from == null || this.to == null || this.to <= this.from) this.from = this.to = null;
  },
};

/** The controls of the time. */
export function controls({ hasCharts = true } = {}) {
  const spans = SPANS.map(([words, span]) => {
    const button = h("button", { type: "button", onclick: () => view.follow(span) }, words);
    button.refresh = () => button.setAttribute("aria-pressed", String(view.from == null && view.span === span));
    return button;
  });
  const input = h("input", { type: "datetime-local", step: "1", "aria-label": "a moment", value: inputOf(view.at ?? view.now()) });
  const wanted = () => new Date(input.value).getTime() / 1000;
  const jump = () => {
    const [from, to] = view.range();
    if (Number.isFinite(wanted())) view.fix(wanted() - (to - from) / 2, wanted() + (to - from) / 2);
  };
  const travel = () => Number.isFinite(wanted()) && view.travel(wanted());
  const step = (words, name, what) => h("button", { type: "button", "aria-label": name, title: name, onclick: what }, words);
  const live = h("button", { type: "button", onclick: () => (view.at == null ? view.follow() : view.travel(null)) }, "Live");
  live.refresh = () => live.setAttribute("aria-pressed", String(view.from == null && view.at == null));
  const box = h("div.controls", { role: "group", "aria-label": "Time that the charts show" },
    h("div.group", { hidden: !hasCharts }, live, ...spans),
    h("div.group", { hidden: !hasCharts }, step("◀", "Earlier", () => view.pan(-0.5)), step("▶", "Later", () => view.pan(0.5)),
      step("+", "Zoom in", () => view.zoom(0.5)), step("−", "Zoom out", () => view.zoom(2))),
    h("div.group", {}, input, h("button", { type: "button", hidden: !hasCharts, onclick: jump, title: "Show this moment in all charts" }, "Jump there"),
      h("button", { type: "button", onclick: travel, title: "Show everything as it was at this moment" }, "All as of then")));
  box.refresh = () => [live, ...spans].forEach((each) => each.refresh());
  box.refresh();
  return box;
}
