// Records that were refused, by the stage at which they were, and the last of them with the reason.

import { h, missing, moment, number, table } from "./dom.js";
import { card, rooms } from "./model.js";

export function letters({ root }) {
  return rooms(root, [
    card("By stage", ["letters"], ({ letters: found }) => table("Since what is shown here begins", ["stage", ["records", "number"]], Object.entries(found.by_stage).map(([stage, count]) => [stage, number(count)]),
      { empty: "Nothing was refused." })),
    card("The last ones", ["letters"], ({ letters: found }) => table("Newest first", ["when", "stage", "reason", "where", "the record"], found.listed.map((each) => [
      moment(each.where.at_s), each.stage, each.reason, `${each.topic}, partition ${each.partition}, offset ${each.offset}`,
      h("details", { "data-key": each.id }, h("summary", { "data-key": `s-${each.id}` }, `${number(each.value_bytes)} bytes`), h("pre", {}, each.text)),
    ]), { empty: missing("Nothing was refused. What may come is set under", "[guard]") })),
  ]);
}
