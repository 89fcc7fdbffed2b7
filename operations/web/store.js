// What the page knows: a snapshot, then what changes. When the connection is lost the last picture stays.

import { append } from "./charts.js";
import { state } from "./dom.js";
import { view } from "./view.js";

export const store = {
  about: null,
  rows: new Map(), // by "model/scope"
  key: null, // of the model that is shown, null: the overview
  model: null, // {columns, parts}
  feed: null,
  heardAt: 0, // when something came last, by our clock
  isConnected: false,
  error: "",
  needsToken: false,
};

let socket = null;
let pause = 500;
let waiting = []; // deltas that came before the snapshot
let loaded = false;
let round = 0;
let isFirst = true;
let begin = () => {};
// A snapshot that is asked for before the page is told of changes could miss some; but who cannot be told still gets one.
const ready = Promise.race([new Promise((resolve) => (begin = resolve)), new Promise((resolve) => setTimeout(resolve, 400))]);
const listeners = new Set();

export const idOf = (row) => `${row.model}/${row.scope}`;
/** What is newest comes first: until it is there nothing can be said; the past is filled in behind it. */
export const isReading = () => store.feed != null && store.feed.share < 1 && !store.feed.knows_now;
/** Before that is read, nobody is silent yet. */
export const healthOf = (row) => (isReading() ? state("reading", "the topics are being read") : state(row.health.word, row.health.why));
export const path = (key) => key.map(encodeURIComponent).join("/");
export const heard = (listener) => listeners.add(listener);
const tell = (parts) => listeners.forEach((each) => each(parts));

export async function get(address) {
  const response = await fetch(address, { headers: { Accept: "application/json" } });
  if (response.status === 401) {
    store.needsToken = true;
    tell(new Set(["all"]));
  }
  const body = await response.json().catch(() => ({}));
  if (!response.ok) throw Object.assign(new Error(body.error ?? `${response.status} ${response.statusText}`), { status: response.status });
  return body;
}

export const at = () => (view.at == null ? "" : `?at=${Math.round(view.at)}`);

/** Show a model, or with null the overview. */
export async function open(key) {
  const isSame = JSON.stringify(key) === JSON.stringify(store.key) && loaded;
  if (isSame && store.openedAt === view.at) return;
  if (JSON.stringify(key) !== JSON.stringify(store.key)) store.model = null;
  Object.assign(store, { key, openedAt: view.at, error: "" });
  loaded = false;
  waiting = [];
  say();
  await ready;
  await load();
}

function say() {
  if (socket?.readyState === WebSocket.OPEN) socket.send(JSON.stringify({ show: store.key ?? [] }));
}

async function load() {
  const mine = ++round;
  try {
    const asked = get(store.key ? `/api/models/${path(store.key)}${at()}` : `/api/models${at()}`);
    const [found, about] = await Promise.all([asked, store.about ?? get("/api/about")]);
    store.about = about;
    if (mine !== round) return; // another screen was asked for meanwhile
    if (store.key) store.model = { columns: found.columns, parts: found.parts };
    else store.rows = new Map(found.rows.map((each) => [idOf(each), each]));
    view.first = store.key ? (found.columns.t[0] ?? null) : null;
    Object.assign(store, { feed: found.feed, heardAt: Date.now() / 1000, error: "", needsToken: false });
    if (view.at == null) view.skew = found.now_s - Date.now() / 1000;
    loaded = true;
    for (const each of waiting.splice(0)) if (each.seq > found.seq) apply(each);
    tell(new Set(["all"]));
  } catch (error) {
    if (mine !== round) return;
    store.error = error.message;
    tell(new Set(["all"]));
    if (error.status == null) setTimeout(() => mine === round && load(), pause); // nobody answered
    if (error.status === 404 && store.key) setTimeout(() => mine === round && load(), 3000); // it may yet be heard of
  }
}

function apply(delta) {
  const parts = new Set();
  if (delta.rows && !store.key) {
    for (const row of delta.rows) store.rows.set(idOf(row), row);
    parts.add("rows");
  }
  if (delta.parts && store.model) {
    Object.assign(store.model.parts, delta.parts);
    Object.keys(delta.parts).forEach((each) => parts.add(each));
    if (append(store.model.columns, delta.columns)) parts.add("columns");
    view.first ??= store.model.columns.t[0] ?? null;
  }
  return parts;
}

export function connect() {
  socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/live`);
  socket.onopen = () => {
    pause = 500;
    store.isConnected = true;
    say();
    begin();
    if (!isFirst && view.at == null) load(); // anew: what came meanwhile is missing
    isFirst = false;
  };
  socket.onmessage = (event) => {
    const delta = JSON.parse(event.data);
    const isPastThere = store.feed?.share < 1 && delta.feed.share === 1;
    Object.assign(store, { feed: delta.feed, heardAt: Date.now() / 1000 });
    if (isPastThere && loaded && view.at == null) {
      loaded = false; // what comes meanwhile waits, and is applied to what was loaded
      load(); // what was filled in is told to nobody point by point
    }
    if (view.at != null) return tell(new Set(["feed"]));
    view.skew = delta.now_s - Date.now() / 1000;
    if (!loaded) {
      waiting.push(delta);
      if (waiting.length > 200) waiting.shift();
      return;
    }
    const parts = apply(delta);
    parts.add("feed");
    tell(parts);
  };
  socket.onclose = () => {
    store.isConnected = false;
    tell(new Set(["feed"]));
    setTimeout(connect, pause * (0.75 + Math.random() / 2));
    pause = Math.min(5000, pause * 1.6);
  };
}

export async function logIn(token) {
  const response = await fetch("/api/session", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ token }) });
  if (!response.ok) return (await response.json()).error;
  store.needsToken = false;
  socket?.close();
  await load();
  return "";
}
