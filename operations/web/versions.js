// The versions: where each comes from, what it learned, how it did then and since, and who serves it.

import { h, missing, moment, number, plural, s, table } from "./dom.js";
import { card, followers, rooms } from "./model.js";
import { path } from "./store.js";

const DRAWN_MAX = 60;
const LANES_MAX = 3;

export function versions({ root, key }) {
  root.classList.add("grid");
  return rooms(root, [
    card("Lineage", ["versions"], (parts) => lineage(parts.versions, key), { wide: true }),
    card("Versions", ["versions", "acks"], (parts) => list(parts.versions, key), { wide: true }),
    card("Followers", ["acks"], (parts) => followers(parts.acks), { wide: true }),
  ]);
}

const none = () => missing("No version is announced yet: the first comes after publish.warm_up_events events. Started is a learner by", "anabranch learn CONFIG");
const pairs = (scores) => Object.entries(scores).map(([name, value]) => `${name} ${number(value, 3)}`).join(", ") || "–";

function list(found, key) {
  return table("Newest first", [["version", "number"], "kind", "announced", "member", ["learned on from", "number"], ["replaced", "number"], "trained on", "verdict", "scores then", "error since", "scores since", "followers", "why"],
    found.map((each) => [
      h("a", { href: `#/swap/${path(key)}/${each.version}`, "data-key": `v-${each.version}-${each.seq}` }, number(each.version)),
      each.share == null ? each.kind : `${each.kind}, ${number(each.share)} %`, moment(each.announced_ts), each.member, number(each.parent), number(each.displaced_version),
      each.trained_on.events ? `${plural(each.trained_on.events, "event")}${each.trained_on.note ? `; ${each.trained_on.note}` : ""}` : each.trained_on.note || "–",
      each.verdict ? `gain ${number(each.verdict.gain, 3)} on ${plural(each.verdict.events, "event")}, evidence ${number(each.verdict.evidence, 3)}` : "–",
      pairs(each.scores), number(each.since.loss), pairs(each.since.metrics),
      each.followers.length ? h("span", { title: each.followers.join(", ") }, plural(each.followers.length, "follower")) : "none",
      `${each.reason}${each.by ? ` (${each.by})` : ""}`,
    ]), { empty: none() });
}

/** The newest is at the left; another member, another lane; and a line from each version to that of which it learned on. */
function lineage(found, key) {
  if (!found.length) return none();
  const shown = found.slice(0, DRAWN_MAX);
  const members = [...new Set(shown.map((each) => each.member).reverse())];
  const lanes = Math.min(LANES_MAX, members.length);
  const places = new Map();
  const [gap, lane] = [76, 58];
  shown.forEach((each, n) => places.set(each.version, [34 + n * gap, 24 + (members.indexOf(each.member) % lanes) * lane]));
  const [width, height] = [68 + (shown.length - 1) * gap + 40, 44 + lanes * lane];
  const lines = shown.flatMap((each) => [[each.parent, "parent"], [each.displaced_version, "displaced"]].map(([from, kind]) => {
    if (from == null || from === each.version || !places.has(from)) return null;
    if (kind === "displaced" && each.parent === from) return null;
    const [[x1, y1], [x2, y2]] = [places.get(from), places.get(each.version)];
    return s("path", { d: `M${x1} ${y1}C${x1 - gap / 2} ${y1} ${x2 + gap / 2} ${y2} ${x2} ${y2}`, class: kind });
  }));
  const dots = shown.map((each, n) => {
    const [x, y] = places.get(each.version);
    return s("a", { href: `#/swap/${path(key)}/${each.version}`, "aria-label": `version ${each.version}, ${each.kind}, ${each.member}` },
      ["swap", "rollback"].includes(each.kind) || (each.kind === "canary" && each.displaced_version != null) ? s("path", { d: `M${x} ${y - 11}l11 11-11 11-11-11z`, class: "node changed" }) : s("circle", { cx: x, cy: y, r: "8", class: n === 0 ? "node newest" : "node" }),
      s("text", { x, y: y + 25, "text-anchor": "middle" }, `${each.version}`),
      s("text", { x, y: y + 38, "text-anchor": "middle", class: "member" }, each.member.slice(0, 10)));
  });
  return [
    h("p.note", {}, "The newest is at the left. A diamond is a version that replaced another member's; solid lines: learned on from; dashed: replaced. Below each version is its member of the arena."),
    h("div.scroll", { tabindex: "0", role: "region", "aria-label": "Lineage of the versions" }, s("svg", { width, height, class: "lineage", role: "group", "aria-label": "Versions by member" }, lines, dots)),
    found.length > DRAWN_MAX ? h("p.note", {}, `The newest ${DRAWN_MAX} of ${number(found.length)} are drawn; the table has all.`) : null,
  ];
}
