// What each kind of judgment needs beyond keys with a whole answer. A widget says which actions stand in the bar, and
// takes those that are a part of an answer.
//
//   {actions, act(name, event), names?, pressed?(name), entered?(), dressed?()}

import { label } from "./labels.js";
import { ranking, rating } from "./places.js";
import { spans } from "./spans.js";
import { writing } from "./writing.js";

const WIDGETS = { ranking, rating, label, spans, critique: writing, edit: writing, demonstration: writing, instruction: writing };

export function widget(kind, task, prepared, context) {
  const made = WIDGETS[kind]?.(task, prepared, context) ?? {};
  return { actions: context.config.actions.map(({ name }) => name), ...made };
}
