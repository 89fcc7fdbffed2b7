// How groups are served beside each other: each gap with its interval over time, and the rates of each group.

import { Chart } from "./charts.js";
import { h, number, share, show, table } from "./dom.js";

const CRITERIA = {
  "demographic-parity": "selection rates",
  "equal-opportunity": "true positive rates",
  "equalized-odds": "true or false positive rates",
  "predictive-parity": "precision",
  accuracy: "accuracy",
  calibration: "what was said less what came",
  error: "bounded errors",
};
const NOTE = "A gap is the highest rate less the lowest. Its interval holds at every moment: while it begins at 0, there may be no gap.";

/** A part of a screen that only a model with sensitive features has: a chart for each gap, and the groups. */
export function fairness() {
  const charts = new Map();
  const [drawn, tables] = [h("div.grid"), h("div")];
  const node = h("section.card.wide", { "aria-labelledby": "h-fairness", hidden: true }, h("h2", { id: "h-fairness" }, "Fairness"), h("p.note", {}, NOTE), drawn, tables);
  const drop = (name) => {
    charts.get(name).end();
    charts.get(name).node.remove();
    charts.delete(name);
  };
  return {
    parts: ["columns", "marks", "view", "report"],
    node,
    draw(parts, columns) {
      const reports = parts.report?.fairness ?? [];
      const names = Object.keys(columns.gaps ?? {});
      node.hidden = !reports.length && !names.length;
      for (const name of [...charts.keys()]) if (!names.includes(name)) drop(name);
      for (const name of names) {
        if (!charts.has(name)) charts.set(name, chartOf(name, drawn));
        charts.get(name).set(columns.t, { gap: columns.gaps[name], "at least": columns.gaps_low[name], "at most": columns.gaps_high[name] }, parts.marks);
      }
      show(tables, reports.flatMap((each) => [gaps(each), groups(each)]), tradeoffs(parts.report?.members ?? []));
    },
    end() {
      for (const name of [...charts.keys()]) drop(name);
    },
  };
}

function chartOf(name, drawn) {
  const criterion = name.slice(name.lastIndexOf(": ") + 2);
  const chart = new Chart({ title: `Gap by ${name}`, note: `between ${CRITERIA[criterion] ?? criterion}, with its 95 % interval`, band: true });
  drawn.append(chart.node);
  return chart;
}

const between = (low, high) => (low == null ? "–" : `${number(low, 3)} to ${number(high, 3)}`);

function gaps(report) {
  return table(`Gaps by ${report.feature}`, ["criterion", ["gap", "number"], ["95 % interval", "number"], ["ratio", "number"], ["95 % interval of it", "number"], "lowest", "highest"],
    report.gaps.map((each) => [each.criterion, number(each.difference, 3), between(each.low, each.high), each.ratio == null ? "–" : number(each.ratio, 3), between(each.ratio_low, each.ratio_high), each.least, each.most]),
    { empty: "Gaps are told as soon as two groups have 30 events that count." });
}

function groups(report) {
  const columns = { "selected": "selection_rate", "true positive rate": "tpr", "false positive rate": "fpr", precision: "precision", accuracy: "accuracy", said: "said", came: "came" };
  const shown = Object.entries(columns).filter(([, key]) => report.groups.some((each) => each[key] != null));
  const hasError = report.groups.some((each) => each.error != null);
  const heads = ["group", ["labels", "number"], ...shown.map(([name]) => [name, "number"]), ...(hasError ? [["mean absolute error", "number"]] : [])];
  const rows = report.groups.map((each) => [each.group, number(each.events), ...shown.map(([, key]) => (each[key] == null ? "–" : share(each[key]))), ...(hasError ? [number(each.error)] : [])]);
  const missing = report.missing ? `; ${number(report.missing)} events lack it` : "";
  return table(`Groups by ${report.feature}${missing}`, heads, rows, { empty: "Nothing was counted since the champion began." });
}

/** What a shadow would cost and win, where `constraints.group` compares groups: those that make up for them, say. */
function tradeoffs(members) {
  const found = members.filter((each) => each.verdict?.gap_won != null);
  return found.length ? table("What each shadow would do for groups", ["shadow", ["gap narrower by", "number"], ["mean loss more by", "number"]],
    found.map((each) => [each.name, number(each.verdict.gap_won, 3), number(each.verdict.lost, 3)])) : null;
}
