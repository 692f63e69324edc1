// What a person decided and the server has not acknowledged yet. It lies in IndexedDB, in the order it was decided:
// a closed tab, a closed laptop, a lost network or a restarted server lose nothing of it. Each entry has a key of its
// own, so that sending it twice keeps it once. Only an acknowledged entry is deleted; one that the server refuses for
// good is moved aside and shown, never dropped.

import { csrf } from "../web/shell.js";

const AT_ONCE = 20;                       // entries a request
const FIRST_PAUSE_MS = 500, LONGEST_PAUSE_MS = 15000;

export function newKey() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

export class Outbox {
  // `person` owns the entries: another person in the same browser neither sees nor sends them.
  // `changed({waiting, state, refused})` is told after every change; state is one of
  // idle, sending, offline, signed-out.
  constructor(person, changed) {
    this.person = person;
    this.changed = changed;
    this.state = "idle";
    this.onDisk = [];                     // the person's entries, as they were last read
    this.onTheWay = [];                   // entries that are being written: waiting too, though no reading has found them
    this.refused = [];
    this.acknowledged = () => {};
    this.database = open();
    this.draining = false;
    this.woken = false;                   // something came while the last of what was there went out
    this.pause = FIRST_PAUSE_MS;
    window.addEventListener("online", () => this.wake());
    document.addEventListener("visibilitychange", () => { if (!document.hidden) this.wake(); });
  }

  get tasks() {                           // of what is waiting, in order; each once
    return [...new Set([...this.onDisk, ...this.onTheWay].map((entry) => entry.task))];
  }

  get waiting() {
    const written = new Set(this.onDisk.map((entry) => entry.key));
    return this.onDisk.length + this.onTheWay.filter((entry) => !written.has(entry.key)).length;
  }

  async start() {
    this.refused = await this.#mine("refused");
    await this.#count();
    this.#tell(this.state);
    this.wake();
    return this.onDisk;
  }

  // Resolves when the entry is on the disk; the page need not wait for that.
  async put(entry) {
    this.onTheWay.push(entry);
    this.#tell(this.state);
    try {
      const database = await this.database;
      const transaction = database.transaction("entries", "readwrite");
      transaction.objectStore("entries").add({ ...entry, person: this.person });
      transaction.commit();               // at once: one that waits for its page is lost when the page is left
      await finished(transaction);
      this.onDisk.push(entry);
    } finally {
      this.onTheWay = this.onTheWay.filter((each) => each !== entry);
    }
    this.wake();
  }

  wake() {
    clearTimeout(this.timer);
    this.pause = FIRST_PAUSE_MS;
    this.woken = true;
    if (!this.draining) this.#drain();
  }

  async dismiss(entry) {
    const database = await this.database;
    await done(database.transaction("refused", "readwrite").objectStore("refused").delete(entry.seq));
    this.refused = this.refused.filter((each) => each.seq !== entry.seq);
    this.#tell(this.state);
  }

  async #drain() {
    this.draining = true;
    try {
      while (this.woken) {
        this.woken = false;
        // One tab of a browser sends at a time. Where the page may not ask for locks (plain http), keys do the same.
        if (navigator.locks) await navigator.locks.request("tutelage-outbox", () => this.#send());
        else await this.#send();
      }
    } finally {
      this.draining = false;
    }
  }

  async #send() {
    for (;;) {
      const batch = (await this.#mine("entries")).slice(0, AT_ONCE);
      if (batch.length === 0) return this.#settle();
      this.#tell("sending");
      const answer = await this.#post(batch);
      if (answer.results) {
        this.pause = FIRST_PAUSE_MS;
        await this.#file(batch, answer.results);
        this.acknowledged(answer);
      } else if (answer.signedOut) {
        this.#tell("signed-out");
        return;
      } else {
        this.#tell("offline");
        clearTimeout(this.timer);
        this.timer = setTimeout(() => this.#again(), Math.max(answer.wait ?? 0, this.pause * (0.75 + Math.random() / 2)));
        this.pause = Math.min(LONGEST_PAUSE_MS, this.pause * 2);
        return;
      }
    }
  }

  #again() {
    this.woken = true;
    if (!this.draining) this.#drain();
  }

  async #settle() {
    await this.#count();
    this.#tell("idle");
  }

  async #post(batch) {
    const entries = batch.map(({ seq, person, ...entry }) => entry);
    try {
      const response = await fetch("/api/outbox", {
        method: "POST", body: JSON.stringify({ person: this.person, entries }),
        headers: { "Content-Type": "application/json", "X-CSRF-Token": csrf },
      });
      if (response.ok) return await response.json();
      if (response.status === 401 || response.status === 403) return { signedOut: true };
      return { wait: 1000 * Number(response.headers.get("Retry-After") ?? 0) };
    } catch {
      return {};                          // no network, or no server: tried again
    }
  }

  // Takes out what was acknowledged and sets aside what was refused, in one transaction.
  async #file(batch, results) {
    const outcome = new Map(results.map((result) => [result.key, result]));
    const database = await this.database;
    const transaction = database.transaction(["entries", "refused"], "readwrite");
    for (const entry of batch) {
      const result = outcome.get(entry.key);
      if (!result) continue;
      transaction.objectStore("entries").delete(entry.seq);
      if (result.status === "refused") {
        const aside = { ...entry, message: result.message };
        transaction.objectStore("refused").put(aside);
        this.refused.push(aside);
      }
    }
    await finished(transaction);
    await this.#count();
    this.#tell(this.waiting ? "sending" : "idle");
  }

  async #count() {
    this.onDisk = await this.#mine("entries");
  }

  async #mine(store) {
    const database = await this.database;
    return done(database.transaction(store).objectStore(store).index("person").getAll(this.person));
  }

  #tell(state) {
    this.state = state;
    this.changed({ waiting: this.waiting, state, refused: this.refused });
  }
}

function open() {
  return new Promise((resolve, reject) => {
    const request = indexedDB.open("tutelage-outbox", 1);
    request.onupgradeneeded = () => {
      const entries = request.result.createObjectStore("entries", { keyPath: "seq", autoIncrement: true });
      entries.createIndex("person", "person");
      const refused = request.result.createObjectStore("refused", { keyPath: "seq" });
      refused.createIndex("person", "person");
    };
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

function done(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}

function finished(transaction) {
  return new Promise((resolve, reject) => {
    transaction.oncomplete = resolve;
    transaction.onabort = transaction.onerror = () => reject(transaction.error);
  });
}
