// One version, explained: what fired, who was recruited, how the contest went, what has changed.

import { Chart } from "./charts.js";
import { h, moment, number, show, table } from "./dom.js";
import { at, get, path, store } from "./store.js";
import { view } from "./view.js";

export function swap({ root, key, parts }) {
  const version = parts[3];
  const words = h("div.story");
  const error = new Chart({ title: "Error around it", note: "mean loss, windowed", empty: "No reports of that time are kept here." });
  const evidence = new Chart({ title: "Evidence of the contest", note: "1 is what a win needs", lines: [{ at: 1, label: "a win" }], empty: "No contest was reported at that time." });
  const rest = h("div");
  root.append(words, h("div.grid", {}, h("section.card", { "aria-label": "Error around it" }, error.node), h("section.card", { "aria-label": "Evidence" }, evidence.node)), rest);
  let story = null;
  let isAsked = false;

  async function load() {
    isAsked = true;
    try {
      story = await get(`/api/models/${path(key)}/swaps/${encodeURIComponent(version)}${at()}`);
      draw(true);
    } catch (problem) {
      show(words, h("p.empty", {}, problem.message));
    }
    isAsked = false;
  }

  function draw(isFirst) {
    const { update } = story;
    const { columns } = story;
    show(words, h("h2", {}, `Version ${update.version}: ${update.kind}`), h("p", {}, "Announced ", moment(update.announced_ts), `, at event ${number(update.event_number)}. Reason: ${update.reason}.`),
      h("dl.steps", {}, story.words.map((each) => [h("dt", {}, each.heading), h("dd", {}, each.text)])),
      h("p.around", {}, update.displaced_version != null ? h("a", { href: `#/swap/${path(key)}/${update.displaced_version}` }, `Version ${update.displaced_version}, which it replaced`) : null, " ",
        story.next != null ? h("a", { href: `#/swap/${path(key)}/${story.next}` }, `What came next: version ${story.next}`) : null));
    const marks = [{ t: update.announced_ts, kind: update.kind, label: `version ${update.version}` }];
    if (story.trigger) marks.push({ t: story.trigger.at_s, kind: "trigger", label: story.trigger.detector ?? "request" });
    if (isFirst && columns.t.length > 1 && view.from == null) view.fix(columns.t[0], columns.t[columns.t.length - 1]);
    error.set(columns.t, { champion: columns.loss, ...columns.shadows }, marks);
    evidence.set(columns.t, columns.evidence, marks);
    show(rest,
      h("section.card", {}, h("h2", {}, "Steps"), table("In the life of the members, around it", ["when", "member", "step", "why"],
        story.steps.map((each) => [moment(each.at_s), each.member, `${each.before} → ${each.after}`, each.reason]), { empty: "No steps of that time are kept here." })),
      h("section.card", {}, h("h2", {}, "What was checked"), table("Constraints that it met", ["constraint", ["measured", "number"]], Object.entries(update.constraints).map(([name, value]) => [name, number(value)]),
        { empty: "No constraints were measured." })),
      story.trigger?.moved?.length ? h("section.card", {}, h("h2", {}, "Features that had moved"), table("Furthest first", ["feature", "test", ["statistic", "number"], ["threshold", "number"]],
        story.trigger.moved.map((each) => [each.feature, each.test, number(each.statistic), number(each.threshold)]))) : null);
  }
  load();
  return {
    update(parts) {
      // What came after it is known later: the curve ends ten minutes after the swap.
      const isOpen = story && view.at == null && view.now() - story.update.announced_ts < story.effect.seconds + 5;
      if (!isAsked && store.model && ((!story && parts.has("all")) || (isOpen && parts.has("report")))) load();
    },
    end() {
      error.end();
      evidence.end();
    },
  };
}
