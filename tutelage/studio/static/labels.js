// Labels: with one to choose a key sends it; with several a key puts it on or takes it off, and Enter sends.

import { make } from "./shown.js";

export function label(task, prepared, context) {
  const { labels, multi } = context.config.campaign.settings;
  const chosen = new Set();
  const boxes = labels.map((name) => make("button", { type: "button", class: "label", "aria-pressed": "false" }, name));
  const send = (event) => context.answer({ labels: labels.filter((name) => chosen.has(name)) }, event);
  const pick = (i, event) => {
    if (!multi) { chosen.clear(); chosen.add(labels[i]); return send(event); }
    if (!chosen.delete(labels[i])) chosen.add(labels[i]);
    boxes[i].setAttribute("aria-pressed", String(chosen.has(labels[i])));
    context.changed();
  };
  // The first nine stand in the bar with their keys; the rest can be reached here.
  boxes.forEach((box, i) => box.addEventListener("click", (event) => pick(i, event)));
  if (labels.length > 9) prepared.element.append(make("div", { class: "labels" }, ...boxes.slice(9)));
  const keyed = labels.slice(0, 9).map((_, i) => `label_${i + 1}`);
  return {
    actions: [...keyed, ...(multi ? ["send"] : []), "cannot_judge"],
    names: Object.fromEntries(keyed.map((action, i) => [action, labels[i]])),
    pressed: (action) => chosen.has(labels[Number(action.slice("label_".length)) - 1]),
    act(action, event) { return action === "send" ? send(event) : pick(Number(action.slice("label_".length)) - 1, event); },
    entered() { if (!prepared.undone) return; chosen.clear(); boxes.forEach((box) => box.setAttribute("aria-pressed", "false")); },
  };
}
