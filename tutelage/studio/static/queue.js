// The tasks that come next, fetched before they are needed and made ready to show.

const FEWEST = 3, MOST = 10;
const FIRST_PAUSE_MS = 500, LONGEST_PAUSE_MS = 15000;

export class Queue {
  // `prepare(task)` makes what is shown; `changed(progress)` is told when something has come or nothing more will;
  // `others()` names the tasks that are on screen or decided and not acknowledged: the server still counts them as open.
  constructor(campaign, { prepare, changed, others }) {
    this.url = `/api/campaigns/${encodeURIComponent(campaign)}/tasks`;
    this.prepare = prepare;
    this.changed = changed;
    this.others = others;
    this.ready = [];
    this.known = new Set();               // ids in hand, on screen or decided here: the server may still offer them
    this.deciding = [];                   // when the last decisions fell, ms
    this.roundTrip = 0;
    this.nothingMore = false;
    this.reason = "";
    this.trouble = "";
    this.pause = FIRST_PAUSE_MS;
    window.addEventListener("online", () => this.fill());
    document.addEventListener("visibilitychange", () => { if (!document.hidden) this.fill(); });
  }

  // The next task, already prepared, or undefined. Fetching the one after it begins at once.
  next() {
    const first = this.ready.shift();
    if (first) this.deciding = [...this.deciding.slice(-4), performance.now()];
    queueMicrotask(() => this.fill());
    return first;
  }

  // Puts a task back in front: one that was undone, or that was on screen meanwhile.
  giveBack(prepared) {
    this.known.add(prepared.task.id);
    this.ready.unshift(prepared);
  }

  // How many to hold: three, or as many as this person decides in two round trips of a slow network.
  get wanted() {
    const [first, ...rest] = this.deciding;
    const pace = rest.length ? (rest.at(-1) - first) / rest.length : Infinity;
    return Math.min(MOST, Math.max(FEWEST, Math.ceil((2 * this.roundTrip) / pace) + 1));
  }

  async fill() {
    if (this.fetching || this.ready.length >= this.wanted) return;
    this.fetching = true;
    clearTimeout(this.timer);
    const began = performance.now();
    try {
      const held = [...this.ready.map(({ task }) => task.id), ...this.others()];
      const query = new URLSearchParams({ want: String(this.wanted - this.ready.length), held: held.join(",") });
      const response = await fetch(`${this.url}?${query}`, { headers: { Accept: "application/json" } });
      if (!response.ok) throw new Error(response.status === 401 ? "signed-out" : String(response.status));
      const { tasks, done, reason, progress } = await response.json();
      this.roundTrip = performance.now() - began;
      this.#take(tasks);
      this.nothingMore = done && tasks.length === 0;
      this.reason = reason ?? "";
      this.trouble = "";
      this.pause = FIRST_PAUSE_MS;
      this.fetching = false;
      this.changed(progress);
      // Everything is being judged by others just now: their leases may run out, so it is worth another look.
      if (!done && tasks.length === 0) this.timer = setTimeout(() => this.fill(), 5000);
    } catch (error) {
      this.fetching = false;
      this.trouble = error.message === "signed-out" ? "signed-out" : "offline";
      this.timer = setTimeout(() => this.fill(), this.pause);
      this.pause = Math.min(LONGEST_PAUSE_MS, this.pause * 2);
      this.changed();
    }
  }

  #take(tasks) {
    for (const task of tasks) {
      if (this.known.has(task.id)) continue;
      this.known.add(task.id);
      this.ready.push(this.prepare(task));
    }
  }
}
