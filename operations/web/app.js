// The page: which screen is shown, by the address; how the connection is; light or dark.

import { actionsBar } from "./actions.js";
import { audit } from "./audit.js";
import { redraw } from "./charts.js";
import { data } from "./data.js";
import { duration, h, moment, show } from "./dom.js";
import { letters } from "./letters.js";
import { model } from "./model.js";
import { overview } from "./overview.js";
import { connect, heard, idOf, isReading, logIn, open, store } from "./store.js";
import { swap } from "./swap.js";
import { tail } from "./tail.js";
import { versions } from "./versions.js";
import { controls, view } from "./view.js";

const SCREENS = { model: ["Model", model], data: ["Data", data], versions: ["Versions", versions], letters: ["Dead letters", letters], audit: ["Audit", audit] };
const main = document.getElementById("main");
const nav = document.getElementById("screens");
const banner = document.getElementById("banner");
const connection = document.getElementById("connection");

let screen = null; // {root, update, end}
let shown = "";
let time = null;

/** #/model/NAME/SCOPE, #/swap/NAME/SCOPE/VERSION, #/tail/TOPIC, #/ */
function route() {
  const [where, words] = location.hash.replace(/^#\/?/, "").split("?");
  const parts = where.split("/").map(decodeURIComponent);
  return { name: parts[0] || "overview", parts, words: new URLSearchParams(words ?? "") };
}

function go() {
  const { name, parts, words } = route();
  view.read(words);
  const id = `${parts.join("/")}|${view.at ?? ""}|${words.get("view") ?? ""}`;
  const key = ["overview", "tail"].includes(name) ? null : [parts[1], parts[2] ?? "global"];
  open(key);
  if (id !== shown) mount(id, name, parts, words, key);
  time?.refresh();
  if (store.model) screen?.update(new Set(["view"]));
  redraw();
}

function mount(id, name, parts, words, key) {
  screen?.end?.();
  shown = id;
  const make = name === "swap" ? swap : name === "tail" ? tail : (SCREENS[name]?.[1] ?? overview);
  const body = h("div.body");
  time = name === "tail" ? null : controls({ hasCharts: ["model", "data", "swap"].includes(name) || words.get("view") === "charts" });
  const title = h("h1", {}, name === "overview" ? "Models" : name === "tail" ? "Live tail" : [parts[1], key[1] === "global" ? null : h("small", {}, ` ${key[1]}`)]);
  const acting = key && name !== "swap" ? actionsBar(key) : null;
  main.replaceChildren(h("div.head", {}, title, acting?.root, time), body);
  screen = make({ root: body, key, parts, words });
  screen.acting = acting;
  document.title = `${name === "overview" ? "Models" : parts[1] ?? name} · Anabranch`;
  navigate(name, key);
  update(new Set(["all"]));
}

function navigate(name, key) {
  const words = view.written().toString();
  const link = (where, label, isHere) => h("a", { href: `#/${where}${words ? `?${words}` : ""}`, "aria-current": isHere ? "page" : null, "data-key": where }, label);
  const of = key ? key.map(encodeURIComponent).join("/") : "";
  show(nav, link("", "All models", name === "overview"),
    key ? Object.entries(SCREENS).map(([each, [label]]) => link(`${each}/${of}`, label, each === name)) : null,
    name === "swap" ? link(location.hash.split("?")[0].replace(/^#\//, ""), "This version", true) : null,
    link("tail", "Live tail", name === "tail"));
}

function update(parts) {
  if (store.needsToken) return askForToken();
  status();
  screen?.update(parts);
  screen?.acting?.update(parts);
}

// ── how things are ─────────────────────────────────────────────────────────────────────────────────────────────────

function status() {
  const age = Date.now() / 1000 - store.heardAt;
  const { feed } = store;
  const isLost = !store.isConnected && store.heardAt > 0;
  const isAway = feed && !feed.is_live;
  document.body.classList.toggle("stale", Boolean(isLost || isAway) && view.at == null);
  connection.className = `connection ${isLost || isAway ? "lost" : "live"}`;
  const words = !store.heardAt ? "connecting" : isLost ? `lost ${duration(Math.floor(age))} ago` : isAway ? "brokers away" : feed?.share < 1 ? `${isReading() ? "reading the topics" : "live; reading the past"}: ${(100 * feed.share).toFixed(0)} %` : "live";
  if (connection.textContent !== words) connection.textContent = words;
  const told = [];
  if (view.at != null) told.push(h("span", {}, "Everything is shown as it was at ", moment(view.at), ". ", h("button", { type: "button", onclick: () => view.travel(null) }, "Back to now")));
  if (isLost) told.push(`The connection to the dashboard is lost. What you see is ${duration(Math.floor(age))} old; it is tried again.`);
  else if (isAway) told.push(`The topics cannot be read, and what you see is as it was before: ${feed.reason}`);
  if (store.error && !isLost) told.push(store.error);
  banner.hidden = !told.length;
  const text = told.map((each) => each.textContent ?? each).join("");
  if (banner.text !== text) {
    banner.text = text;
    banner.replaceChildren(...told.map((each) => h("p", {}, each)));
  }
}

function askForToken() {
  if (main.querySelector("form.token")) return;
  shown = "";
  const said = h("p", { role: "alert" });
  const input = h("input", { type: "password", id: "token", autocomplete: "off", required: true });
  const enter = async (event) => {
    event.preventDefault();
    said.textContent = await logIn(input.value);
    if (!said.textContent) go();
  };
  main.replaceChildren(h("form.token.card", { onsubmit: enter }, h("h1", {}, "A token is needed"),
    h("label", { for: "token" }, "One of dashboard.tokens"), input, h("button", { type: "submit" }, "Enter"), said));
  input.focus();
}

// ── light and dark ─────────────────────────────────────────────────────────────────────────────────────────────────

const themes = ["system", "light", "dark"];
const button = document.getElementById("theme");
function paint(theme) {
  if (theme === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  button.textContent = `Theme: ${theme}`;
  try {
    localStorage.setItem("anabranch-theme", theme);
  } catch { /* nothing is kept then */ }
  redraw({ anew: true });
}
function painted() {
  try {
    return themes.includes(localStorage.getItem("anabranch-theme")) ? localStorage.getItem("anabranch-theme") : "system";
  } catch {
    return "system";
  }
}
button.addEventListener("click", () => paint(themes[(themes.indexOf(painted()) + 1) % themes.length]));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => redraw({ anew: true }));

// ── from here on ───────────────────────────────────────────────────────────────────────────────────────────────────

document.querySelector("[data-skip]").addEventListener("click", (event) => {
  event.preventDefault(); // the address is the screen's
  main.focus();
});
window.addEventListener("hashchange", go);
let due = 0;
let told = 0;
// The charts follow at once, with the next picture; the address and what depends on the time in words, when it rests.
view.heard(() => {
  cancelAnimationFrame(due);
  due = requestAnimationFrame(() => redraw());
  clearTimeout(told);
  told = setTimeout(written, 120);
});
function written() {
  const { parts, words } = route();
  const kept = view.written();
  for (const name of ["view", "topic", "filter"]) if (words.has(name)) kept.set(name, words.get(name));
  const where = parts.map(encodeURIComponent).join("/");
  history.replaceState(null, "", `#/${where}${kept.size ? `?${kept}` : ""}`);
  go();
  const { name } = route();
  navigate(name, ["overview", "tail"].includes(name) ? null : [parts[1], parts[2] ?? "global"]);
}
heard(update);
// Time goes on where no data come, too.
setInterval(() => {
  status();
  if (view.from == null && view.at == null && !document.hidden) redraw();
}, 1000);
window.anabranch = { store, view, idOf };
paint(painted());
connect();
go();
