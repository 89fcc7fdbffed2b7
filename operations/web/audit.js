// Who asked for what and when, what came of it, and what the model did by itself.

import { h, moment, table } from "./dom.js";
import { card, rooms } from "./model.js";
import { store } from "./store.js";

export function audit({ root }) {
  const people = h("input", { type: "checkbox", id: "people" });
  const room = card("Audit", ["audit"], ({ audit: found }) => list(people.checked ? found.filter((each) => each.who !== "the learner") : found));
  people.addEventListener("change", () => store.model && room.draw(store.model.parts));
  root.append(h("p.tools", {}, people, h("label", { for: "people" }, "Only what people asked for")));
  return rooms(root, [room]);
}

function list(found) {
  return table("Newest first", ["when", "who", "what", "why", "outcome", "record"], found.slice(0, 400).map((each) => [moment(each.at_s), each.who, each.what, each.why, each.outcome, each.where]),
    { empty: "Nobody has asked for anything, and nothing was announced." });
}
