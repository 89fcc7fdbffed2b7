// What events consist of: each feature as it was when the champion began, and as it is now.

import { h, missing, number, s, share, table } from "./dom.js";
import { card, pointChart, rooms } from "./model.js";

const MOVED = 0.25; // a population stability index from which on it is another distribution

export function data({ root }) {
  root.classList.add("grid");
  return rooms(root, [
    pointChart({ title: "Population stability index by feature", note: ".25 is another distribution", lines: [{ at: MOVED, label: "another distribution" }], empty: "The learner reports no features." },
      (columns) => columns.psi, { wide: true }),
    card("Labels", ["report"], (parts) => balance(parts.report?.balance), { wide: true }),
    card("Features", ["report"], (parts) => list(parts.report), { wide: true }),
    card("Before and now", ["report"], (parts) => histograms(parts.report), { wide: true }),
    card("Moved at the last signals", ["signals"], (parts) => moved(parts.signals), { wide: true }),
  ]);
}

const EFFECT = [0.2, 0.4]; // Cohen's h or d: small, and what the alert `label-balance` ships with
const inWords = (effect) => (effect >= EFFECT[1] ? "labels are distributed otherwise" : effect >= EFFECT[0] ? "labels have moved a little" : "labels are as before");

/** Shares of classes, or mean and spread of numbers: lately, beside when the champion began. */
function balance(found) {
  if (!found) return missing("There is nothing to compare before the champion was scored on a thousand labels.");
  const note = h("p.note", {}, `The latest ${number(found.events)} labels beside the first ${number(found.events_before)} that the champion was scored on: ${inWords(found.effect)} (effect ${number(found.effect, 2)}).`);
  const columns = [["when the champion began", "number"], ["lately", "number"]];
  if (found.mean != null) {
    return [note, table("Labels that are numbers", ["", ...columns], [["mean", number(found.mean_before), number(found.mean)], ["standard deviation", number(found.sd_before), number(found.sd)]])];
  }
  const furthest = (each) => (each.label === found.furthest && found.effect >= EFFECT[0] ? " · moved most" : "");
  return [note, table("Share of each label", ["label", ...columns], found.shares.map((each) => [`${each.label}${furthest(each)}`, share(each.before), share(each.now)]))];
}

const word = (psi) => (psi >= MOVED ? "another distribution" : psi >= 0.1 ? "moved a little" : "as before");

function list(report) {
  return table("Furthest moved first", ["feature", ["index", "number"], "in words", ["events", "number"], ["missing before", "number"], ["missing now", "number"], ["never seen before", "number"], ["importance", "number"]],
    (report?.features ?? []).map((each) => [each.feature, number(each.psi, 3), word(each.psi), number(each.events), share(each.missing_before), share(each.missing), share(each.unseen), number(each.importance, 3)]),
    { empty: missing("The learner reports no features yet.") });
}

function histograms(report) {
  const found = report?.features ?? [];
  if (!found.length) return missing("There is nothing to compare before the champion has seen enough events.");
  return [h("p.note", {}, "Outlined: when the champion began. Filled: now."), h("div.histograms", {}, found.map((each) => histogram(each)))];
}

function histogram(feature) {
  const { before, now } = feature;
  const top = Math.max(...before, ...now, 1e-9);
  const width = 240 / Math.max(before.length, now.length, 1);
  const bar = (value, n, part, kind) => s("rect", { x: (n * width + 1 + part * (width / 2 - 1)).toFixed(1), y: (100 - (96 * value) / top).toFixed(1), width: Math.max(1, width / 2 - 1.5).toFixed(1), height: ((96 * value) / top).toFixed(1), class: kind });
  const names = binNames(feature);
  return h("figure.histogram", {},
    h("figcaption", {}, h("strong", {}, feature.feature), h("span.note", {}, `index ${number(feature.psi, 3)}: ${word(feature.psi)}`)),
    s("svg", { viewBox: "0 0 240 102", role: "img", "aria-label": `${feature.feature}: shares of ${now.length} bins before and now; the table has the numbers`, preserveAspectRatio: "none" },
      before.map((value, n) => bar(value, n, 0, "before")), now.map((value, n) => bar(value, n, 1, "now"))),
    h("p.ends", {}, h("span", {}, names[0] ?? ""), h("span", {}, names[names.length - 1] ?? "")),
    h("details", { "data-key": `d-${feature.feature}` }, h("summary", { "data-key": `s-${feature.feature}` }, "Table"),
      table(`Shares of ${feature.feature}`, ["bin", ["before", "number"], ["now", "number"]], names.map((each, n) => [each, share(before[n]), share(now[n])]))));
}

function binNames({ edges, categories, before }) {
  if (categories.length) return [...categories, ...(before.length > categories.length ? ["all others"] : [])];
  if (!edges.length) return before.map((_, n) => `bin ${n + 1}`);
  return [`up to ${number(edges[0], 3)}`, ...edges.slice(1).map((each, n) => `${number(edges[n], 3)} to ${number(each, 3)}`), `from ${number(edges[edges.length - 1], 3)}`].slice(0, before.length);
}

function moved(signals) {
  const rows = signals.filter((each) => each.moved.length).slice(0, 10).flatMap((signal) => signal.moved.map((each) => [
    `${signal.detector}, event ${number(signal.event_number)}`, each.feature, each.test, number(each.statistic), number(each.threshold), said(each.before), said(each.after)]));
  return table("What the detectors found", ["signal", "feature", "test", ["statistic", "number"], ["threshold", "number"], "before", "after"], rows, { empty: "No signal has named features." });
}

const said = (values) => Object.entries(values).map(([name, value]) => `${name} ${number(value, 3)}`).join(", ");
