// The annotating page. A decision is one key: the next task, made ready before, is on screen at once; the decision
// itself goes into the outbox and from there to the server when the network lets it.

import { difference } from "./difference.js";
import { Dialogs } from "./dialogs.js";
import { Keys, keyName } from "./keys.js";
import { widget } from "./kinds.js";
import { newKey, Outbox } from "./outbox.js";
import { Pace } from "./pace.js";
import { Queue } from "./queue.js";
import { make, markdown, plain } from "./shown.js";
import { say } from "./words.js";

const root = document.querySelector("#annotate");
const config = JSON.parse(root.dataset.config);
const at = (name) => root.querySelector(`[data-at="${name}"]`);
const MOST_UNDONE = 50;

const history = [];                       // what was decided here, newest last: {prepared, key, said}
let current = null;                       // the task on screen, prepared
let isPlain = false;                      // texts as written, without Markdown
let pendingWrites = 0;

const pace = new Pace();
const outbox = new Outbox(config.person, showSaving);
const queue = new Queue(config.campaign.id, { prepare, changed: filled,
  others: () => [...(current ? [current.task.id] : []), ...outbox.tasks] });
const page = { undo: "z", differences: "d", guideline: "g", flag: "f", skip: "s", plain: "m", pause: "p", keys: "?" };
const defaults = { ...page, ...Object.fromEntries(config.actions.map(({ name, key }) => [name, key])) };
const keys = new Keys(defaults, config.keys);
const dialogs = new Dialogs({ root, config, keys, relabel, flag, paused: (is) => pace.pause(is) });

const context = { config, say, answer: decide, announce, changed: () => refreshBar() };

// --- making a task ready ---------------------------------------------------------------------------------------------

function prepare(task) {
  const texts = [];                       // {text, holder, side}: what can be shown plain, as Markdown or as differences
  const text = (content, side) => {
    const holder = make("div", { class: "text" });
    texts.push({ text: content, holder, side });
    return holder;
  };
  const prompt = make("section", { class: "prompt", "aria-labelledby": `prompt-${task.id}` },
    make("h2", { id: `prompt-${task.id}`, tabindex: "-1" }, say(config.campaign.kind === "instruction" ? "topic" : "prompt")),
    ...task.prompt.map(({ role, text: words }) => make("div", { class: `turn ${role}` },
      task.prompt.length > 1 ? make("h3", {}, say(`role_${role}`)) : null, text(words, null))));
  const responses = make("div", { class: `responses of-${task.responses.length}` },
    ...task.responses.map((words, side) => make("section", { class: "response", "data-side": side, "aria-labelledby": `side-${task.id}-${side}` },
      make("h2", { id: `side-${task.id}-${side}` }, say(task.responses.length > 1 ? "response_side" : "response", { side: letter(side) })),
      text(words, side))));
  const prepared = { task, texts, undone: 0, element: make("div", { class: "task" }, prompt, task.responses.length ? responses : null) };
  prepared.widget = widget(config.campaign.kind, task, prepared, context);
  dress(prepared);
  return prepared;
}

export const letter = (side) => String.fromCharCode(65 + side);

function dress(prepared, marked = false) {
  prepared.isPlain = isPlain;
  prepared.isMarked = marked;
  for (const { text, holder } of prepared.texts) holder.replaceChildren(isPlain ? plain(text) : markdown(text));
  prepared.widget.dressed?.();
}

// --- showing and deciding --------------------------------------------------------------------------------------------

function showNext(since) {
  current = queue.next() ?? null;
  show(since);
}

function show(since) {
  const stage = at("stage");
  if (!current) {
    stage.replaceChildren(emptyCard());
    refreshBar();
    return;
  }
  if (current.isPlain !== isPlain) dress(current);
  current.shownAt = performance.now();
  current.visible = 0;
  stage.replaceChildren(current.element);
  window.scrollTo(0, 0);
  refreshBar();
  current.element.querySelector("h2").focus({ preventScroll: true });
  current.widget.entered?.();
  announce(say("now_showing", { number: pace.done + 1 }));
  if (since !== undefined) measure(since);
}

// From the key press to the first frame with the next task on it; `bench/studio_latency.py` reads these.
function measure(since) {
  requestAnimationFrame(() => setTimeout(() => {
    performance.measure("decision-to-next", { start: since, end: performance.now() });
  }));
}

function emptyCard() {
  const state = queue.trouble || (queue.nothingMore ? (queue.reason || "nothing_more") : "fetching");
  const card = make("article", { class: "empty", "data-state": state }, make("h2", { tabindex: "-1" }, say(`empty_${state}`)),
    make("p", {}, say(`empty_${state}_about`)));
  if (queue.trouble === "signed-out") card.append(signInLink());
  else if (queue.nothingMore) card.append(make("p", {}, make("a", { href: "/" }, say("to_first_page"))));
  return card;
}

function signInLink() {
  return make("p", {}, make("a", { href: `/sign-in?next=${encodeURIComponent(location.pathname)}`, role: "button" }, say("sign_in")));
}

function decide(answer, event) {
  if (!current || !seenLongEnough()) return;
  const since = event?.timeStamp ?? performance.now();
  const { task } = current, key = newKey();
  const timings = { visible_ms: Math.round(visibleMs()), input: event?.type === "keydown" ? "key" : "pointer", undone: current.undone };
  history.push({ prepared: current, key });
  if (history.length > MOST_UNDONE) history.shift();
  pace.add();
  showNext(since);                        // the eye first; the decision is written in the same turn of the browser
  keep({ op: "answer", key, task: task.id, answer, timings });
}

// A decision that comes before the texts can have been read is not taken, and the page says so.
function seenLongEnough() {
  const missing = config.min_view_ms - visibleMs();
  if (missing <= 0) return true;
  tell(say("too_soon", { seconds: (config.min_view_ms / 1000).toFixed(1) }));
  return false;
}

function visibleMs() {
  const running = document.hidden ? 0 : performance.now() - current.shownAt;
  return current.visible + running;
}

document.addEventListener("visibilitychange", () => {
  if (!current) return;
  if (document.hidden) current.visible += performance.now() - current.shownAt;
  else current.shownAt = performance.now();
});

function undo() {
  const last = history.pop();
  if (!last) return tell(say("nothing_to_undo"));
  if (current) queue.giveBack(current);
  keep({ op: "undo", key: newKey(), task: last.prepared.task.id, undoes: last.key });
  current = last.prepared;
  current.undone += 1;
  pace.takeBack();
  show();
  tell(say("undone"));
}

function skip(event) {
  if (!current) return;
  keep({ op: "skip", key: newKey(), task: current.task.id });
  tell(say("skipped"));
  showNext(event?.timeStamp);
}

function flag(reason, note) {
  if (!current) return;
  keep({ op: "flag", key: newKey(), task: current.task.id, reason, note });
  tell(say("flagged"));
  showNext();
}

function keep(entry) {
  pendingWrites += 1;
  outbox.put(entry).catch(() => tell(say("cannot_keep"), true)).finally(() => { pendingWrites -= 1; });
}

// --- looking closer --------------------------------------------------------------------------------------------------

function differences() {
  if (!current) return undefined;
  const sides = current.texts.filter(({ side }) => side !== null);
  if (sides.length < 2) return tell(say("nothing_to_compare"));
  if (current.isMarked) return dress(current);
  const [first, ...others] = sides;
  dress(current);
  for (const other of others) {
    const runs = difference(first.text, other.text);
    if (!runs) { tell(say("too_different")); continue; }
    other.holder.replaceChildren(marked(runs, "added", "ins"));
    if (others.length === 1) first.holder.replaceChildren(marked(runs, "removed", "del"));
  }
  current.isMarked = true;
}

function marked(runs, kind, tag) {
  const holder = make("div", { class: "plain" });
  for (const run of runs) {
    if (run.kind === "same") holder.append(run.text);
    else if (run.kind === kind) holder.append(make(tag, { class: kind }, run.text));
  }
  return holder;
}

function togglePlain() {
  isPlain = !isPlain;
  if (current) dress(current);
  tell(say(isPlain ? "now_plain" : "now_markdown"));
}

// --- the bar, the state of saving, words -----------------------------------------------------------------------------

function refreshBar() {
  const wanted = current?.widget.actions ?? [];
  for (const button of root.querySelectorAll("[data-action]")) {
    const name = button.dataset.action, isPage = name in page;
    button.hidden = !isPage && !wanted.includes(name);
    const words = current?.widget.names?.[name];
    if (words) button.querySelector(".words").textContent = words;
    if (!isPage) button.setAttribute("aria-pressed", String(Boolean(current?.widget.pressed?.(name))));
  }
  at("decisions").hidden = wanted.length === 0;
  for (const button of root.querySelectorAll('[data-needs="task"]')) button.disabled = !current;
  root.querySelector('[data-action="undo"]').disabled = history.length === 0;
  root.querySelector('[data-action="differences"]').hidden = (current?.task.responses.length ?? 0) < 2;
}

function relabel() {
  for (const button of root.querySelectorAll("[data-action]")) {
    const sign = button.querySelector("kbd");
    if (sign) sign.textContent = keyName(keys.keys[button.dataset.action]);
  }
}

function filled(progress) {
  if (progress) showProgress(progress);
  if (!current) showNext();
}

function showProgress({ answered, wanted }) {
  pace.known(answered + outbox.waiting);
  at("progress").textContent = wanted ? say("progress_of", { done: pace.total, wanted }) : say("progress", { done: pace.total });
  at("meter").hidden = !wanted;
  if (wanted) { at("meter").max = wanted; at("meter").value = Math.min(wanted, pace.total); }
}

function showSaving({ waiting, state, refused }) {
  const sign = at("saving");
  const shown = waiting === 0 && state !== "signed-out" ? "saved" : state === "idle" ? "sending" : state;
  sign.dataset.state = shown;
  sign.textContent = say(`saving_${shown}`, { count: waiting });
  at("refused").hidden = refused.length === 0;
  at("refused-list").replaceChildren(...refused.map((entry) => make("li", {}, entry.message, " ",
    dismissal(entry))));
  at("signed-out").hidden = state !== "signed-out";
}

function dismissal(entry) {
  const button = make("button", { class: "quiet" }, say("understood"));
  button.addEventListener("click", () => outbox.dismiss(entry));
  return button;
}

outbox.acknowledged = ({ progress }) => { if (progress?.[config.campaign.id]) showProgress(progress[config.campaign.id]); };

let quietly;
function tell(text, isWrong = false) {
  const note = at("note");
  note.textContent = text;
  note.hidden = false;
  note.classList.toggle("wrong", isWrong);
  announce(text);
  clearTimeout(quietly);
  quietly = setTimeout(() => { note.hidden = true; }, 4000);
}

function announce(text) {
  at("live").textContent = text;
}

// --- the way in ------------------------------------------------------------------------------------------------------

const pageHandlers = { undo, differences, skip, plain: togglePlain, flag: () => current && dialogs.open("flag"),
  guideline: () => dialogs.open("guideline"), keys: () => dialogs.open("keys"), pause: () => dialogs.open("pause") };

function act(name, event) {
  if (name in pageHandlers) return pageHandlers[name](event);
  if (!current || !current.widget.actions.includes(name)) return;
  const whole = config.actions.find((each) => each.name === name)?.answer;
  if (whole) decide(whole, event);
  else current.widget.act?.(name, event);
  refreshBar();
}

for (const name of Object.keys(defaults)) keys.on(name, (event) => act(name, event));
root.addEventListener("click", (event) => {
  const button = event.target.closest("[data-action]");
  if (button) act(button.dataset.action, event);
});
window.addEventListener("beforeunload", (event) => { if (pendingWrites) event.preventDefault(); });
document.querySelector("[data-sign-out]")?.addEventListener("submit", (event) => {
  if (outbox.waiting && !window.confirm(say("leave_with_waiting", { count: outbox.waiting }))) event.preventDefault();
});
setInterval(() => {
  at("pace").textContent = pace.perMinute ? say("pace", { number: pace.perMinute.toFixed(1) }) : "";
  if (pace.breakIsDue(config.break_after_min)) tell(say("break_due", { minutes: config.break_after_min }));
}, 5000);

relabel();
refreshBar();
show();
for (const entry of await outbox.start().catch(() => [])) {
  if (entry.op === "undo") queue.known.delete(entry.task);
  else queue.known.add(entry.task);
}
queue.fill();
root.dataset.ready = "yes";
