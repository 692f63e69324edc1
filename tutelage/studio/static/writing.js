// Kinds in which people write: a critique, an edited response, a demonstration, an instruction and its response.
// Ctrl+Enter (or the button) sends. What is half written is kept in the browser until it is sent.

import { make } from "./shown.js";
import { say } from "./words.js";

const FIELDS = { critique: ["text"], edit: ["text"], demonstration: ["text"], instruction: ["prompt", "response"] };

export function writing(task, prepared, context) {
  const { kind } = context.config.campaign;
  const draftName = `tutelage-draft-${context.config.person}-${task.id}`;
  const draft = JSON.parse(localStorage.getItem(draftName) ?? "{}");
  const fields = FIELDS[kind].map((name) => {
    const area = make("textarea", { name, rows: name === "prompt" ? 3 : 7, maxlength: 20000, dir: "auto" });
    area.value = draft[name] ?? (kind === "edit" ? task.responses[0] : "");
    area.addEventListener("input", () => keepDraft());
    return area;
  });
  const about = kind === "critique" && task.responses.length > 1 ? aboutWhich(task) : null;
  const wrong = make("p", { class: "wrong", role: "alert", hidden: true });
  const send = make("button", { type: "button" }, say("send"), " ", make("kbd", {}, "Ctrl ↵"));
  prepared.element.append(make("div", { class: "writing" }, about,
    ...fields.map((area) => make("label", {}, say(`write_${kind}_${area.name}`), area)), wrong, send));

  function keepDraft() {
    localStorage.setItem(draftName, JSON.stringify(Object.fromEntries(fields.map((area) => [area.name, area.value]))));
  }

  function finish(event) {
    const answer = Object.fromEntries(fields.map((area) => [area.name, area.value]));
    const empty = fields.find((area) => !area.value.trim());
    const unchanged = kind === "edit" && answer.text.trim() === task.responses[0].trim();
    if (empty || unchanged) {
      wrong.textContent = say(empty ? "write_something" : "edit_unchanged");
      wrong.hidden = false;
      (empty ?? fields[0]).focus();
      return;
    }
    const side = about?.querySelector("select").value;
    if (side) answer.sample = Number(side);
    wrong.hidden = true;
    localStorage.removeItem(draftName);
    context.answer(answer, event);
  }

  send.addEventListener("click", finish);
  prepared.element.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && !event.isComposing && !event.repeat) finish(event);
  });
  return { entered() { fields[0].focus({ preventScroll: true }); } };
}

function aboutWhich(task) {
  const options = task.responses.map((_, side) => make("option", { value: side }, say("response_side", { side: String.fromCharCode(65 + side) })));
  return make("label", {}, say("critique_of"), make("select", {}, make("option", { value: "" }, say("critique_of_all")), ...options));
}
