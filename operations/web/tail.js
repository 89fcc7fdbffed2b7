// The newest records of any topic, as they come.

import { clock, h, number, show } from "./dom.js";
import { get, store } from "./store.js";

const SHOWN_MAX = 200;
const LINE_MAX = 180;

export function tail({ root, words }) {
  const topics = h("select", { "aria-label": "Topic" });
  const filter = h("input", { type: "search", placeholder: "Only records that hold this text", "aria-label": "Filter the records", value: words.get("filter") ?? "" });
  const pause = h("button", { type: "button", "aria-pressed": "false" }, "Pause");
  const said = h("p.count", { role: "status" });
  const list = h("ol.records", { tabindex: "0", "aria-label": "Records, newest first" });
  root.append(h("div.tools", {}, topics, filter, pause, said), list);
  let after = 0;
  let isPaused = false;
  let hasEnded = false;
  let round = 0;

  function begin() {
    after = 0;
    round++;
    list.replaceChildren();
    const kept = new URLSearchParams({ topic: topics.value, ...(filter.value ? { filter: filter.value } : {}) });
    history.replaceState(null, "", `#/tail?${kept}`);
  }
  topics.addEventListener("change", begin);
  filter.addEventListener("input", begin);
  pause.addEventListener("click", () => {
    isPaused = !isPaused;
    pause.setAttribute("aria-pressed", String(isPaused));
  });

  async function look() {
    if (hasEnded) return;
    const mine = round;
    if (topics.value && !isPaused) {
      try {
        const found = await get(`/api/tail/${encodeURIComponent(topics.value)}?after=${after}&filter=${encodeURIComponent(filter.value)}`);
        if (mine === round && !hasEnded) {
          after = Math.max(after, found.read);
          list.prepend(...found.records.reverse().map(record));
          while (list.childElementCount > SHOWN_MAX) list.lastChild.remove();
          const nothing = list.childElementCount ? "" : filter.value ? "; none of them holds this text" : "";
          said.textContent = found.reason || `${number(found.read)} records read${nothing}`;
        }
      } catch (problem) {
        said.textContent = problem.message;
      }
    }
    setTimeout(look, 700);
  }
  look();
  return {
    update() {
      if (!topics.childElementCount && store.about) {
        show(topics, store.about.topics.map((each) => h("option", { value: each, selected: each === words.get("topic") }, each)));
        if (!words.get("topic")) topics.value = store.about.topics.find((each) => each.endsWith("model-reports")) ?? topics.value;
      }
    },
    end: () => (hasEnded = true),
  };
}

function record(each) {
  return h("li", {}, h("span.meta", {}, `${clock(each.at_s)}  partition ${each.partition}, offset ${number(each.offset)}${each.key ? `, key ${each.key}` : ""}`),
    each.text.length <= LINE_MAX ? h("code", {}, each.text) : h("details", {}, h("summary", {}, h("code", {}, `${each.text.slice(0, LINE_MAX)} …`)), h("code", {}, each.text)));
}
