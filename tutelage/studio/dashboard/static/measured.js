// What was measured of the runs on the page: for each metric its steps and values.

const LONG = 5000;      // points of one metric; then the server's thinned ones are fetched anew
const HIDDEN = /^(step|work\/.*)$/;
const SCORE = "objective/score", KL = "objective/kl";

export class Measured {
  constructor(runs) {
    this.runs = runs.map(() => ({ curves: new Map(), frontier: { x: [], y: [] }, done: 0 }));
    this.places = new Map(runs.map((run, at) => [run, at]));
  }

  // What the server has: metric -> [steps, values], thinned.
  load(run, snapshot) {
    const curves = new Map(Object.entries(snapshot.curves).map(([name, [x, y]]) => [name, { x, y }]));
    const [x, y] = snapshot.frontier;
    this.runs[this.places.get(run)] = { curves, frontier: { x, y }, done: snapshot.done };
  }

  // Lines as they were written, each with its step from 0. What is there from their first step on is taken back.
  append(run, lines) {
    const known = this.runs[this.places.get(run)];
    if (!known) return;
    const begun = new Set();
    for (const line of lines) {
      for (const [name, value] of Object.entries(line)) {
        if (name === "step") continue;
        if (!known.curves.has(name)) known.curves.set(name, { x: [], y: [] });
        const curve = known.curves.get(name);
        if (!begun.has(name)) { begun.add(name); cut(curve, line.step + 1); }
        curve.x.push(line.step + 1);
        curve.y.push(value);
      }
      if (line.step >= known.done && SCORE in line) {
        known.done = line.step + 1;
        if (KL in line) { known.frontier.x.push(line[KL]); known.frontier.y.push(line[SCORE]); }
      }
    }
  }

  // The points of one line of a chart.
  points(line) {
    const known = this.runs[line.run];
    return (line.over ? known.frontier : known.curves.get(line.name)) ?? { x: [], y: [] };
  }

  names() {
    return [...new Set(this.runs.flatMap((run) => [...run.curves.keys()]))].filter((name) => !HIDDEN.test(name));
  }

  isLong(run) {
    return [...this.runs[this.places.get(run)].curves.values()].some((curve) => curve.x.length > LONG);
  }
}

function cut(curve, from) {
  let end = curve.x.length;
  while (end > 0 && curve.x[end - 1] >= from) end -= 1;
  curve.x.length = curve.y.length = end;
}

// A moving average that weighs the latest most and owes nothing to where it began.
export function smoothed(values, weight) {
  let sum = 0, total = 0;
  return values.map((value) => {
    if (value == null) return value;
    sum = weight * sum + (1 - weight) * value;
    total = weight * total + (1 - weight);
    return sum / total;
  });
}
