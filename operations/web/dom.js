// Elements, and values as people read them.

/** An element: its attributes (`on…` are listeners), then its children; null and false are left out. */
export function h(tag, attributes = {}, ...children) {
  const [name, ...classes] = tag.split(".");
  const element = document.createElement(name);
  if (classes.length) element.className = classes.join(" ");
  set(element, attributes);
  element.append(...children.flat(3).filter((each) => each != null && each !== false));
  return element;
}

const SVG = "http://www.w3.org/2000/svg";

/** The same for drawings. */
export function s(tag, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, tag);
  set(element, attributes);
  element.append(...children.flat(3).filter((each) => each != null && each !== false));
  return element;
}

function set(element, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value != null && value !== false) element.setAttribute(name, value);
  }
}

// What is pressed stays until it is let go: a click on something that is drawn anew meanwhile would lead nowhere.
let pressed = null;
const waiting = new Map();

addEventListener("pointerdown", (event) => (pressed = event.target), true);
for (const each of ["pointerup", "pointercancel"]) addEventListener(each, () => setTimeout(release), true); // the click comes first
addEventListener("blur", release); // the window's: a press takes the focus from an element, and that is not letting go

function release() {
  pressed = null;
  for (const [container, nodes] of waiting) show(container, ...nodes);
  waiting.clear();
}

/** Show `nodes` in place of what is there, if they differ; who had the focus keeps it, and what was open stays open. */
export function show(container, ...nodes) {
  if (pressed && container.contains(pressed)) {
    waiting.set(container, nodes);
    return;
  }
  const fresh = document.createElement("div");
  fresh.append(...nodes.flat(3).filter((each) => each != null && each !== false));
  if (container.shown === fresh.innerHTML) return;
  const open = new Set([...container.querySelectorAll("details[open]")].map((each) => each.dataset.key));
  const focused = container.contains(document.activeElement) ? document.activeElement.dataset.key : null;
  container.shown = fresh.innerHTML;
  container.replaceChildren(...fresh.childNodes);
  for (const each of container.querySelectorAll("details")) if (open.has(each.dataset.key)) each.open = true;
  if (focused) container.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
}

/** A table that scrolls by itself where it is too wide. `heads` are words, or [words, "number"]. */
export function table(caption, heads, rows, { empty = "" } = {}) {
  if (!rows.length && empty) return empty instanceof Node ? empty : h("p.empty", {}, empty);
  const kinds = heads.map((each) => (Array.isArray(each) ? each[1] : ""));
  const words = heads.map((each) => (Array.isArray(each) ? each[0] : each));
  return h("div.scroll", { tabindex: "0", role: "region", "aria-label": caption },
    h("table", {},
      h("caption", {}, caption),
      h("thead", {}, h("tr", {}, words.map((each, n) => h("th", { scope: "col", class: kinds[n] }, each)))),
      h("tbody", {}, rows.map((row) => h("tr", {}, row.map((each, n) => h("td", { class: kinds[n] }, each ?? "–")))))));
}

/** What is missing, and the command that helps. */
export function missing(what, command) {
  return h("p.empty", {}, what, command ? [" ", h("code", {}, command)] : null);
}

// ── words ──────────────────────────────────────────────────────────────────────────────────────────────────────────

export const number = (value, digits = 4) =>
  value == null ? "–" : Number.isInteger(value) ? value.toLocaleString("en") : (+value.toPrecision(digits)).toLocaleString("en", { maximumFractionDigits: 6 });
export const share = (value) => (value == null ? "–" : `${(100 * value).toFixed(1)} %`);
export const plural = (count, one, many = `${one}s`) => `${number(count)} ${count === 1 ? one : many}`;

export function duration(seconds) {
  if (seconds == null) return "–";
  const size = Math.abs(seconds);
  for (const [unit, each] of [["d", 86400], ["h", 3600], ["min", 60]]) if (size >= each) return `${+(seconds / each).toFixed(size < 10 * each && unit !== "min" ? 1 : 0)} ${unit}`;
  return `${seconds.toFixed(size < 10 && size > 0 && !Number.isInteger(seconds) ? 1 : 0)} s`;
}

const two = (n) => String(n).padStart(2, "0");
export function clock(at) {
  const d = new Date(1000 * at);
  return `${two(d.getHours())}:${two(d.getMinutes())}:${two(d.getSeconds())}`;
}
export function day(at) {
  const d = new Date(1000 * at);
  return `${d.getFullYear()}-${two(d.getMonth() + 1)}-${two(d.getDate())}`;
}
export const moment = (at) => (at == null ? "–" : h("time", { datetime: new Date(1000 * at).toISOString() }, `${day(at)} ${clock(at)}`));
export const inputOf = (at) => `${day(at)}T${clock(at)}`;

// ── shapes: a state is told by its form and its word, colour comes on top ────────────────────────────────────────────

const FORMS = {
  well: "M8 2a6 6 0 1 0 .01 0z",
  alert: "M8 1 15.5 14.5H.5z",
  silent: "M2 2h4.5v12H2zM9.5 2H14v12H9.5z",
  "no report": "M8 2a6 6 0 1 0 .01 0zM8 4.5a3.5 3.5 0 1 1-.01 0z",
  "warming up": "M8 2a6 6 0 0 1 0 12z M8 2a6 6 0 0 0 0 12v-1.6a4.4 4.4 0 0 1 0-8.8z",
  retired: "M2 6h12v4H2z",
  signal: "M2 4h12L8 14z",
  trigger: "M8 1l7 7-7 7-7-7z",
  info: "M8 3a5 5 0 1 0 .01 0z",
};

export function state(word, more = "") {
  const form = s("svg", { viewBox: "0 0 16 16", width: "14", height: "14", "aria-hidden": "true" },
    s("path", { d: FORMS[word] ?? FORMS.info, "fill-rule": "evenodd" }));
  return h(`span.state.${word.replace(" ", "-")}`, { title: more }, form, h("span", {}, word));
}
