// Passages marked in a response. One selects with the mouse, a finger, or Shift and the arrow keys (the text can be
// focused), then presses the key of the mark. Offsets are code points, as the server counts them.

import { make } from "./shown.js";
import { say } from "./words.js";

const MARKS = ["wrong", "unsafe", "good"];

export function spans(task, prepared, context) {
  const [text] = task.responses, points = Array.from(text);
  const shown = prepared.texts.find(({ side }) => side === 0);
  const list = make("ul", { class: "marks" });
  const marks = [];
  prepared.element.append(make("section", { class: "marked" }, make("p", { class: "soft" }, say("how_to_mark")), list));

  // Marks stand on the text as it is written: Markdown would move what is under them.
  function draw() {
    const edges = [...new Set([0, points.length, ...marks.flatMap(({ start, end }) => [start, end])])].sort((a, b) => a - b);
    const holder = make("div", { class: "plain markable", tabindex: "0", role: "textbox", "aria-readonly": "true", "aria-multiline": "true", "aria-label": say("response") });
    holder.addEventListener("keydown", walk);
    edges.slice(0, -1).forEach((from, i) => {
      const piece = points.slice(from, edges[i + 1]).join("");
      const on = marks.filter(({ start, end }) => start <= from && from < end).map(({ mark }) => mark);
      holder.append(on.length ? make("mark", { class: on.join(" ") }, piece) : piece);
    });
    shown.holder.replaceChildren(holder);
    list.replaceChildren(...marks.map((mark, i) => entry(mark, i)));
    context.changed();
  }

  function entry(mark, i) {
    const off = make("button", { type: "button", class: "quiet", "aria-label": say("take_mark_off") }, "×");
    off.addEventListener("click", () => { marks.splice(i, 1); draw(); });
    const note = make("input", { type: "text", maxlength: 500, placeholder: say("note"), "aria-label": say("note"), value: mark.note ?? "" });
    note.addEventListener("input", () => { mark.note = note.value; });
    return make("li", {}, make("mark", { class: mark.mark }, points.slice(mark.start, mark.end).join("")), note, off);
  }

  // Arrow keys move through the text, by words with Ctrl; Shift selects.
  function walk(event) {
    const direction = { ArrowRight: "forward", ArrowLeft: "backward", ArrowDown: "forward", ArrowUp: "backward" }[event.key];
    if (!direction || event.isComposing) return;
    event.preventDefault();
    const selection = window.getSelection(), holder = shown.holder.firstElementChild;
    if (!holder.contains(selection.anchorNode)) selection.collapse(holder, 0);
    const grain = event.key === "ArrowUp" || event.key === "ArrowDown" ? "line" : event.ctrlKey ? "word" : "character";
    selection.modify(event.shiftKey ? "extend" : "move", direction, grain);
    if (!selection.isCollapsed) context.announce(selection.toString());
  }

  function selected() {
    const selection = window.getSelection(), holder = shown.holder.firstElementChild;
    if (!selection.rangeCount || selection.isCollapsed) return null;
    const range = selection.getRangeAt(0);
    if (!holder.contains(range.startContainer) || !holder.contains(range.endContainer)) return null;
    const before = document.createRange();
    before.selectNodeContents(holder);
    before.setEnd(range.startContainer, range.startOffset);
    const start = Array.from(before.toString()).length;
    return { start, end: start + Array.from(range.toString()).length };
  }

  function put(mark) {
    const span = selected();
    if (!span || span.end <= span.start) return context.announce(say("select_first"));
    const [apart, touching] = [[], []];
    for (const each of marks) (each.mark === mark && each.start < span.end && span.start < each.end ? touching : apart).push(each);
    const joined = { start: Math.min(span.start, ...touching.map((each) => each.start)), end: Math.max(span.end, ...touching.map((each) => each.end)), mark };
    const note = touching.map((each) => each.note).filter(Boolean).join("; ");
    marks.splice(0, marks.length, ...apart, { ...joined, ...(note ? { note } : {}) });
    marks.sort((a, b) => a.start - b.start);
    window.getSelection().removeAllRanges();
    draw();
  }

  return {
    act(name, event) {
      if (MARKS.includes(name)) put(name);
      else context.answer({ marks: marks.map(({ start, end, mark, note }) => ({ start, end, mark, ...(note?.trim() ? { note: note.trim() } : {}) })) }, event);
    },
    dressed: draw,
  };
}
