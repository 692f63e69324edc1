// Answers given one place at a time: a ranking (a place for each response) and a rating (a score for each aspect).
// A digit fills the place in focus and moves on; the last one sends.

import { make } from "./shown.js";

function filling(slots, context, whole) {
  const given = new Array(slots.length).fill(null);
  let at = 0;
  const mark = () => slots.forEach(({ element, value }, i) => {
    element.classList.toggle("in-focus", i === at);
    element.toggleAttribute("data-given", given[i] !== null);
    value.textContent = given[i] ?? "–";
  });
  const go = (to) => { at = Math.max(0, Math.min(slots.length - 1, to)); mark(); };
  slots.forEach(({ element }, i) => element.addEventListener("click", () => { go(i); context.changed(); }));
  mark();
  return {
    go, get at() { return at; }, given,
    put(number, event) {
      given[at] = number;
      const next = given.indexOf(null);
      if (next === -1) { mark(); context.answer(whole(given), event); return; }
      at = next;
      mark();
      context.announce(slots[at].name);
    },
    back() { given.fill(null); go(0); },
  };
}

export function ranking(task, prepared, context) {
  const sections = [...prepared.element.querySelectorAll(".response")];
  const slots = sections.map((element) => {
    const value = make("output", { class: "place" });
    element.querySelector("h2").append(" ", value);
    return { element, value, name: element.querySelector("h2").textContent };
  });
  const state = filling(slots, context, (given) => ({ ranks: [...given] }));
  const places = sections.map((_, i) => `place_${i + 1}`);
  return {
    actions: [...places, "all_bad", "cannot_judge"],
    act(name, event) { state.put(Number(name.slice("place_".length)), event); },
    entered() { if (prepared.undone) state.back(); },
  };
}

export function rating(task, prepared, context) {
  const { aspects } = context.config;
  const slots = aspects.map(({ words, about }) => {
    const value = make("output", { class: "place" });
    const element = make("button", { type: "button", class: "aspect" }, make("span", { class: "name" }, words), value, make("small", {}, about));
    return { element, value, name: words };
  });
  prepared.element.append(make("div", { class: "aspects" }, ...slots.map(({ element }) => element)));
  const state = filling(slots, context, (given) => ({ scores: Object.fromEntries(aspects.map(({ name }, i) => [name, given[i]])) }));
  return {
    act(name, event) { state.put(Number(name.slice("score_".length)), event); },
    entered() { if (prepared.undone) state.back(); },
  };
}
