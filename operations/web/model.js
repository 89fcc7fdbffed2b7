// One model: its error and that of its shadows, the contest, detectors, labels, what happened.

import { Chart, MARKS } from "./charts.js";
import { duration, h, missing, moment, number, s, share, show, state, table } from "./dom.js";
import { fairness } from "./fairness.js";
import { healthOf, isReading, path, store } from "./store.js";
import { view } from "./view.js";

const SPANS = { minute: 60, hour: 3600, day: 86400 };

/** Rooms of a screen: those that depend on what has changed are drawn again. */
export function rooms(root, list) {
  for (const each of list) root.append(each.node);
  return {
    update(parts) {
      if (!store.model) return;
      for (const each of list) if (parts.has("all") || each.parts.some((part) => parts.has(part))) each.draw(store.model.parts, store.model.columns);
    },
    end() {
      for (const each of list) each.end?.();
    },
  };
}

/** A part of a screen with a heading: `draw(parts, columns)` gives what stands in it. */
export function card(title, parts, draw, { wide = false, kind = "" } = {}) {
  const body = h("div");
  const id = `h-${title.toLowerCase().replace(/\W+/g, "-")}`;
  return { parts, node: h(`section.card${wide ? ".wide" : ""}${kind && `.${kind}`}`, { "aria-labelledby": id }, h("h2", { id }, title), body), draw: (...given) => show(body, draw(...given)) };
}

/** A chart of the points: `series(columns)` gives its lines. */
export function pointChart(options, series, { marks = true, wide = false } = {}) {
  const chart = new Chart(options);
  return {
    parts: ["columns", "marks", "view"],
    node: h(`section.card${wide ? ".wide" : ""}`, { "aria-label": options.title }, chart.node),
    draw: (parts, columns) => chart.set(columns.t, series(columns), marks ? parts.marks : []),
    end: () => chart.end(),
  };
}

const some = (values) => (values ?? []).some((each) => each != null);

/** The members of a contest in the part of time that is shown; of many the newest, since seven are enough for eyes. */
export function shadowsOf(columns, kind) {
  const [from, to] = view.range();
  const isShown = (at) => at >= from && at <= to;
  const last = (values) => values.findLastIndex((each, n) => each != null && isShown(columns.t[n]));
  const names = Object.keys(columns[kind]).filter((name) => last(columns[kind][name]) >= 0);
  names.sort((a, b) => last(columns[kind][b]) - last(columns[kind][a]));
  return Object.fromEntries(names.slice(0, 7).map((name) => [name, columns[kind][name]]));
}

export function model({ root, key }) {
  root.classList.add("grid");
  return rooms(root, [
    card("In short", ["row", "report", "versions"], (parts) => facts(parts), { wide: true }),
    pointChart({ title: "Error of the champion and its shadows", note: "mean loss, windowed", empty: "No report yet: the learner reports every publish.report_events events." },
      (columns) => ({ champion: columns.loss, ...shadowsOf(columns, "shadows") }), { wide: true }),
    card("What happened", ["marks", "steps", "alerts"], (parts) => happened(parts, key), { kind: "short" }),
    pointChart({ title: "Evidence of the contest", note: "1 is what a win needs", lines: [{ at: 1, label: "a win" }], empty: "No shadow competes in this part of time: one comes when a retraining is triggered, or by [shadows]." },
      (columns) => shadowsOf(columns, "evidence")),
    pointChart({ title: "Detectors against their thresholds", note: "1 fires", lines: [{ at: 1, label: "fires" }], empty: "The learner does not report its detectors, or none has seen enough." },
      (columns) => columns.levels),
    card("Detectors", ["report"], (parts) => detectors(parts.report)),
    pointChart({ title: "Scores", note: "windowed", zero: false }, (columns) => columns.metrics),
    onlyRanking(pointChart({ title: "HitRate beside popularity's", note: "of what was taken, windowed", zero: false },
      (columns) => Object.fromEntries(Object.entries(BESIDE).filter(([, name]) => some(columns.metrics[name])).map(([title, name]) => [title, columns.metrics[name]])))),
    onlyRanking(card("Rankers", ["report"], (parts) => rankers(parts.report))),
    pointChart({ title: "Records unread and labels due", empty: "The learner reports neither." },
      (columns) => Object.fromEntries(Object.entries({ unread: columns.unread, "labels due": columns.pending }).filter(([, values]) => some(values)))),
    pointChart({ title: "Records a second", empty: "The learner does not report it." }, (columns) => (some(columns.rate) ? { "records a second": columns.rate } : {}), { marks: false }),
    pointChart({ title: "What followers lose by their copy", note: "mean loss", zero: false, empty: "Nothing is compared: nothing is announced yet, or publish.refresh_level is 0." },
      (columns) => (some(columns.lost) ? { lost: columns.lost } : {})),
    windowChart("hour"),
    windowChart("day"),
    card("Labels", ["report"], (parts) => labels(parts.report)),
    card("Calibration", ["windows"], (parts) => calibration(parts.windows)),
    card("Groups", ["report"], (parts) => groups(parts.report)),
    card("Followers", ["acks"], (parts) => followers(parts.acks)),
    fairness(),
  ]);
}

function facts({ row, report, versions }) {
  const newest = versions[0];
  const fact = (name, ...value) => h("div", {}, h("dt", {}, name), h("dd", {}, value));
  const pause = report?.checkpoint_pause_s;
  return [
    h("p.health", {}, healthOf(row), " ", h("span", {}, isReading() ? "the topics are being read" : row.health.why)),
    h("dl.facts", {},
      fact("Version", newest ? `${newest.version} (${newest.kind})` : "none yet"),
      fact("Announced", newest ? moment(newest.announced_ts) : "–"),
      fact("Error now", number(row.error.now)),
      fact("An hour ago", number(row.error.hour)),
      fact("A day ago", number(row.error.day)),
      ...Object.entries(row.metrics).map(([name, value]) => fact(name, number(value))),
      fact("Events learned", number(row.event_number)),
      fact("Records unread", number(row.unread)),
      fact("Labels due", number(row.pending)),
      fact("Shadows", number(row.shadows)),
      fact("Retrainings", number(report?.jobs)),
      fact("Refused", number(row.refused)),
      pause ? fact("Pause for checkpoints", `${number(1000 * pause.last, 2)} ms, at most ${number(1000 * pause.largest, 2)} ms`) : null,
      fact("Last report", moment(row.told_s)),
      ...standing(report).map(([name, sentence]) => h("div.sentence", {}, h("dt", {}, name), h("dd", {}, sentence)))),
    report?.notes?.length ? h("ul", {}, report.notes.map((each) => h("li", {}, each))) : null,
  ];
}

/** What is under way or in force, a sentence each. */
function standing(report) {
  return [
    report?.rollout && ["Rollout", rolledOut(report.rollout)],
    ...(report?.held ?? []).map((each) => ["Held", heldBy(each)]),
    report?.segments && ["Segments", bySegment(report.segments)],
  ].filter(Boolean);
}

function rolledOut({ share: percent, beside, missing: waits, evidence, served }) {
  const asked = served ? ` Followers that have both: ${number(served.serving)}; asked of the new one ${number(served.answers)} times (${number(served.failures)} failures, ${number(served.slow)} slow), of the other ${number(served.answers_beside)} (${number(served.failures_beside)}, ${number(served.slow_beside)}).${served.refusing ? ` Refused it: ${number(served.refusing)}.` : ""}` : "";
  return `${number(percent)} % of the keys have the new champion, the others version ${beside}. Evidence: ${number(evidence, 2)} of what more needs. Missing for more: ${waits}.${asked}`;
}

/** A hold as people say it: "pinned by ana: audit"; of a change envelope, what it keeps back and who ends it. */
function heldBy(held) {
  const [how, digest] = held.split(" ");
  return how === "unapproved" ? `change envelope ${digest} is not approved: nothing is swapped by itself until somebody approves it` : held;
}

function bySegment({ by, models, serving, gain, swapped_in: came, swapped_out: went, faults }) {
  const better = gain == null ? "" : `; what they answered erred less by ${number(gain)} on average`;
  return `by ${by}: ${number(models)} have a model, ${number(serving)} are answered by it${better}. Taken over: ${number(came)}, given back: ${number(went)}${faults ? `, faults: ${number(faults)}` : ""}`;
}

const KINDS = { signal: "signal", trigger: "trigger", swap: "swap", canary: "rollout", rollback: "rollback", first: "first version", rebuild: "rebuild", retired: "retired", reinstated: "reinstated" };

function happened({ marks, steps, alerts }, key) {
  const rows = [
    ...marks.map((each) => [each.t, `${MARKS[each.kind]} ${KINDS[each.kind]}`, each.version ? h("a", { href: `#/swap/${path(key)}/${each.version}`, "data-key": `swap-${each.version}-${each.t}` }, each.label) : each.label]),
    ...alerts.map((each) => [each.where.at_s, state("alert"), `${each.kind}: ${each.reason}`]),
    ...steps.filter((each) => each.level === "alert").map((each) => [each.where.at_s, state("alert"), `${each.member}: ${each.reason}`]),
  ];
  rows.sort((a, b) => b[0] - a[0]);
  const to = (at) => h("button.link", { type: "button", "data-key": `jump-${at}`, title: "Show this moment in all charts", onclick: () => view.fix(at - 300, at + 300) }, moment(at));
  return table("The newest first", ["when", "what", "which"], rows.slice(0, 40).map(([at, ...rest]) => [to(at), ...rest]),
    { empty: "No detector has fired, and nothing was swapped." });
}

function detectors(report) {
  const rows = (report?.detectors ?? []).map((each) => {
    const level = each.statistic == null || !each.threshold ? null : each.fires_below ? each.threshold / Math.max(each.statistic, 1e-9) : each.statistic / each.threshold;
    const meter = level == null ? null : h("meter", { min: "0", max: "1", value: String(Math.min(1, level)), "aria-label": `${each.name}: ${number(level, 2)} of its threshold` });
    return [each.name, each.kind, number(each.statistic), `${each.fires_below ? "below" : "above"} ${number(each.threshold)}`, meter];
  });
  return table("How near each is to firing", ["detector", "watches", ["statistic", "number"], ["fires", "number"], "near"], rows,
    { empty: missing("The learner reports no detectors. They are set under", "[detectors.NAME]") });
}

function windowChart(span) {
  const chart = new Chart({ title: span === "hour" ? "Score by hour" : "Score by day", note: "of served answers, by event time", kind: "bars", own: true, span: SPANS[span],
    empty: `No whole ${span} has ended yet; a gap means that nothing was labelled then.` });
  return {
    parts: ["windows"],
    node: h("section.card", { "aria-label": chart.options.title }, chart.node),
    draw(parts) {
      const found = [...(parts.windows[span] ?? [])].sort((a, b) => a.start - b.start);
      const names = [...new Set(found.flatMap((each) => Object.keys(each.scores)))];
      const name = names[0];
      const series = name ? { [name]: found.map((each) => each.scores[name] ?? null) } : {};
      chart.set(found.map((each) => each.start + SPANS[span] / 2), series);
    },
    end: () => chart.end(),
  };
}

function labels(report) {
  const found = report?.labels;
  if (!found) return missing("Labels come with their events, or nothing was reported of them. Labels that come later are set by", "labels.late = true");
  const { coverage } = found;
  const endings = Object.entries(found.endings).map(([name, count]) => `${name} ${number(count)}`).join(", ");
  return [
    h("dl.facts", {},
      [["Waiting", number(found.waiting)], ["The oldest waits", duration(found.oldest_s)], ["Labels before their event", number(found.early)], ["Ended", endings || "none"],
        ["95 % have come by", duration(coverage.mature_age_s)], ["Loss of old events", number(coverage.mature_loss)], ["Loss of young ones", number(coverage.young_loss)]]
        .map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value)))),
    table("Share of events that had their label by an age", ["age", ["events as old", "number"], ["labelled", "number"], "drawn"],
      coverage.by_age.map((each) => [duration(each.age_s), number(each.asked), share(each.share), h("meter", { min: "0", max: "1", value: String(each.share), "aria-label": `labelled ${share(each.share)}` })]),
      { empty: "No age is covered yet." }),
  ];
}

const BESIDE = { "what serves": "hitrate", popularity: "popularity_hitrate" };

/** A part that only a ranker has. */
function onlyRanking(part) {
  return {
    ...part,
    parts: [...part.parts, "report"],
    draw(parts, columns) {
      part.node.hidden = parts.report?.windowed?.popularity_hitrate == null;
      if (!part.node.hidden) part.draw(parts, columns);
    },
  };
}

/** What each would earn if it were shown: known only where rankings are explored. */
function rankers(report) {
  const earned = ({ off_policy: found }) => (found ? `${share(found.value)} (${share(found.low)} to ${share(found.high)})` : "–");
  const points = (value) => number(100 * value, 3);
  const beside = ({ lists: found }) => (found ? `${points(found.gain)} (${points(found.low)} to ${points(found.high)})` : "–");
  return table("What each member would earn if it were shown", ["member", "is", ["mean loss", "number"], ["taken of what it shows", "number"], ["events", "number"], ["more than the champion, points", "number"], ["lists", "number"]],
    (report?.members ?? []).map((each) => [each.name, each.kind, number(each.loss), earned(each), each.off_policy ? number(each.off_policy.events) : "–", beside(each), each.lists ? number(each.lists.lists) : "–"]),
    { empty: "No member has been reported yet." });
}

/** What was said against what came true; on the diagonal both agree. */
function calibration(windows) {
  const found = [...(windows.day ?? []), ...(windows.hour ?? [])].filter((each) => each.calibration?.length);
  const newest = found.sort((a, b) => b.start - a.start)[0];
  if (!newest) return h("p.empty", {}, "No hour or day with probabilities has ended yet.");
  const at = (value) => 10 + 180 * value;
  const most = Math.max(...newest.calibration.map((each) => each.events));
  return [
    s("svg", { viewBox: "0 0 200 200", class: "square", role: "img", "aria-label": "What was said (across) against what came true (up); the table has the numbers" },
      s("rect", { x: "10", y: "10", width: "180", height: "180", class: "frame" }),
      s("line", { x1: "10", y1: "190", x2: "190", y2: "10", class: "diagonal" }),
      newest.calibration.map((each) => s("circle", { cx: at(each.said), cy: 200 - at(each.came), r: 2.5 + 5 * Math.sqrt(each.events / most), class: "dot" }))),
    table(`The ${newest.span} from ${new Date(1000 * newest.start).toLocaleString()}`, [["said", "number"], ["came true", "number"], ["events", "number"]],
      newest.calibration.map((each) => [share(each.said), share(each.came), number(each.events)])),
  ];
}

function groups(report) {
  return table("How each is served", ["group", ["events", "number"], ["rate", "number"]], (report?.groups ?? []).map((each) => [each.feature ? `${each.feature}: ${each.group}` : each.group, number(each.events), share(each.rate)]),
    { empty: missing("No groups are compared; they are set by", "constraints.group") });
}

export function followers(acks) {
  return table("Who serves which version", ["follower", ["version", "number"], "state", ["took", "number"], "seen"], acks.map((each) => [
    each.follower, number(each.version),
    each.is_behind ? h("span", {}, state("signal"), " behind", each.last_refusal ? `: ${each.last_refusal}` : "") : "the newest",
    each.taken_s == null ? "–" : `${number(each.taken_s, 3)} s`, `${duration(Math.round(each.silent_s))} ago`,
  ]), { empty: missing("Nobody has told that it follows. Scorers do, other followers with", 'follow(…, ack_as="a name")') });
}
