// Where two texts differ, by words (by characters in Chinese): Myers' greedy algorithm over tokens.

const TOKEN = /\p{Script=Han}|[\p{L}\p{N}_]+|\s+|[^]/gu;
const MOST_EDITS = 600;                   // beyond, two texts have so little in common that marking says nothing

// [{kind: "same" | "removed" | "added", text}], neighbours of one kind joined; null where they differ too much.
export function difference(before, after) {
  const a = before.match(TOKEN) ?? [], b = after.match(TOKEN) ?? [];
  const trace = search(a, b);
  return trace && joined(walk(trace, a, b));
}

function search(a, b) {
  const most = Math.min(MOST_EDITS, a.length + b.length), furthest = new Map([[1, 0]]), trace = [];
  for (let edits = 0; edits <= most; edits += 1) {
    trace.push(new Map(furthest));
    for (let k = -edits; k <= edits; k += 2) {
      const down = k === -edits || (k !== edits && furthest.get(k - 1) < furthest.get(k + 1));
      let x = down ? furthest.get(k + 1) : furthest.get(k - 1) + 1;
      while (x < a.length && x - k < b.length && a[x] === b[x - k]) x += 1;
      furthest.set(k, x);
      if (x >= a.length && x - k >= b.length) return trace;
    }
  }
  return null;
}

function walk(trace, a, b) {
  const parts = [];
  let x = a.length, y = b.length;
  for (let edits = trace.length - 1; edits >= 0; edits -= 1) {
    const furthest = trace[edits], k = x - y;
    const down = k === -edits || (k !== edits && furthest.get(k - 1) < furthest.get(k + 1));
    const fromK = down ? k + 1 : k - 1, fromX = furthest.get(fromK), fromY = fromX - fromK;
    while (x > fromX && y > fromY && x > 0 && y > 0) parts.push(["same", a[x -= 1, y -= 1, x]]);
    if (edits > 0) parts.push(down ? ["added", b[fromY]] : ["removed", a[fromX]]);
    [x, y] = [fromX, fromY];
  }
  return parts.reverse();
}

function joined(parts) {
  const runs = [];
  for (const [kind, text] of parts) {
    if (runs.at(-1)?.kind === kind) runs.at(-1).text += text;
    else runs.push({ kind, text });
  }
  return runs;
}
