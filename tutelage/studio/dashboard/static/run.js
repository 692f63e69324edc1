// One run, or several over each other, live: what the server says in words is fetched again, curves grow by the stream.

import { page, refresher } from "./parts.js";
import { Board } from "./plots.js";
import { Measured } from "./measured.js";
import { listen } from "./stream.js";

const RENEW_MS = 5000;
const runs = JSON.parse(document.getElementById("plots").dataset.runs);
const measured = new Measured(runs);
let board = new Board(document.getElementById("plots"), measured);
const waiting = new Map();      // run -> lines that came while its curves were being fetched
const refresh = refresher();
let renewal = 0;

async function load(run) {
  if (waiting.has(run)) return;
  waiting.set(run, []);
  try {
    const answer = await fetch(`/api/runs/${encodeURIComponent(run)}/curves`);
    if (answer.ok) measured.load(run, await answer.json());
  } finally {
    const came = waiting.get(run);
    waiting.delete(run);
    came.forEach((lines) => measured.append(run, lines));
    board.draw();
    look();
  }
}

// Something is measured that has no plot yet, as after the first step: the page knows which plots there are to be.
function look() {
  if (renewal || !measured.names().some((name) => !board.knows(name))) return;
  renewal = setTimeout(async () => {
    const fresh = (await page(location.href).catch(() => null))?.getElementById("plots");
    renewal = 0;
    if (!fresh) return;
    const settings = board.settings;
    board.end();
    document.getElementById("plots").replaceWith(document.importNode(fresh, true));
    board = new Board(document.getElementById("plots"), measured, settings);
    board.draw();
  }, board.isEmpty ? 0 : RENEW_MS);
}

function grow(run, lines) {
  if (waiting.has(run)) {
    waiting.get(run).push(lines);
    return;
  }
  measured.append(run, lines);
  if (measured.isLong(run)) load(run);
  board.draw();
  look();
}

listen(runs, (kind, data) => {
  if (kind === "hello" && !data.resumed) runs.forEach(load);
  if (kind === "rewritten") load(data.run);
  if (kind === "lines") grow(data.run, data.lines);
  if (kind === "samples") document.getElementById("samples-link")?.removeAttribute("hidden");
  refresh();
});
