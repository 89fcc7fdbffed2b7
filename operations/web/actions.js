// What a person can do: seen before it is sent, answered, and taken back where that is possible.

import { h, show } from "./dom.js";
import { path, store } from "./store.js";
import { view } from "./view.js";

let token = ""; // in memory only
let by = "";
const dialog = document.getElementById("dialog");

export function actionsBar(key) {
  let asked = null; // {request, title, undo}
  const buttons = h("div.offered");
  const said = h("p.answer", { role: "status" });
  const root = h("div.actions", { role: "group", "aria-label": "Actions" }, buttons, said);

  function update() {
    const offered = store.model?.parts.actions;
    if (!offered || !store.about) return;
    const why = view.at != null ? "this is the past" : !store.about.configured.includes(key[0]) ? "give the configuration of this model to the dashboard" : !store.about.can_act ? "read-only: dashboard.action_tokens is not set" : "";
    const answer = asked && offered.answers.find((each) => each.request === asked.request);
    if (answer && !asked.answer) {
      asked.answer = answer;
      const undo = answer.accepted && asked.undo ? offered.listed.find((each) => each.name === asked.undo) : null;
      said.replaceChildren(`${asked.title}: ${answer.accepted ? "accepted" : `withheld: ${answer.withheld}`}. `, undo ? h("button", { type: "button", onclick: () => ask(undo) }, `Undo: ${undo.title}`) : "");
    }
    const possible = offered.listed.filter((each) => !each.why_not);
    show(buttons, possible.map((each) => h("button", { type: "button", disabled: Boolean(why), title: why || each.preview, "data-key": each.name, onclick: () => ask(each) }, `${each.title}…`)), why ? h("span.note", {}, why) : null);
  }

  function ask(action) {
    const reason = h("textarea", { id: "why", rows: "2", required: true, maxlength: "2000" });
    const name = h("input", { id: "by", required: true, maxlength: "200", value: by, autocomplete: "off" });
    const secret = h("input", { id: "secret", type: "password", required: true, autocomplete: "off", value: token });
    const problem = h("p", { role: "alert" });
    const send = async (event) => {
      event.preventDefault();
      token = secret.value;
      by = name.value;
      const response = await fetch(`/api/models/${path(key)}/actions/${action.name}`, {
        method: "POST",
        headers: { "Content-Type": "application/json", "X-Action-Token": token },
        body: JSON.stringify({ why: reason.value, by, about: action.about }),
      }).catch((failure) => ({ ok: false, json: async () => ({ error: failure.message }) }));
      const body = await response.json().catch(() => ({}));
      if (!response.ok) {
        if (response.status === 401) token = "";
        problem.textContent = body.error ?? "it was not taken";
        return;
      }
      asked = { request: body.request, title: action.title, undo: body.undo };
      said.textContent = `${action.title}: sent; the answer comes when the learner has read it.`;
      dialog.close();
      update();
    };
    dialog.replaceChildren(h("form", { onsubmit: send },
      h("h2", { id: "dialog-title" }, `${action.title}: ${key[0]}`),
      h("p.preview", {}, action.preview),
      action.undo ? h("p.note", {}, "It can be taken back.") : null,
      h("label", { for: "why" }, "Why"), reason,
      h("label", { for: "by" }, "Who asks"), name,
      h("label", { for: "secret" }, "Action token (kept in memory only)"), secret,
      problem,
      h("p.note", {}, "On a command line: ", h("code", {}, action.command)),
      h("div.buttons", {}, h("button.primary", { type: "submit" }, action.title), h("button", { type: "button", onclick: () => dialog.close() }, "Cancel"))));
    dialog.showModal();
  }
  return { root, update };
}
