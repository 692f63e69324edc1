// How many decisions, how fast, and for how long without a break.

const WINDOW_MS = 10 * 60 * 1000, IDLE_MS = 2 * 60 * 1000, BREAK_MS = 5 * 60 * 1000;

export class Pace {
  constructor(clock = () => performance.now()) {
    this.clock = clock;
    this.times = [];
    this.done = 0;                        // in this sitting
    this.total = 0;                       // of the campaign, those not yet acknowledged too
    this.working = 0;                     // ms without a break
    this.last = clock();
    this.isPaused = false;
    this.told = false;
  }

  add() {
    const now = this.clock();
    this.#work(now);
    this.times = [...this.times.filter((time) => now - time < WINDOW_MS), now];
    this.done += 1;
    this.total += 1;
  }

  takeBack() {
    this.times.pop();
    this.done -= 1;
    this.total -= 1;
  }

  known(total) {
    this.total = total;
  }

  pause(isPaused) {
    if (isPaused) this.#work(this.clock());
    else { this.last = this.clock(); this.working = 0; this.told = false; }
    this.isPaused = isPaused;
  }

  // Decisions a minute over the last ten, 0 while there are too few to say.
  get perMinute() {
    if (this.times.length < 3) return 0;
    const span = this.times.at(-1) - this.times[0];
    return span > 0 ? (60000 * (this.times.length - 1)) / span : 0;
  }

  // True once, when somebody has been at it for so long.
  breakIsDue(minutes) {
    if (!minutes || this.told || this.isPaused || this.working < minutes * 60000) return false;
    this.told = true;
    return true;
  }

  #work(now) {
    const gap = now - this.last;
    if (gap > BREAK_MS) { this.working = 0; this.told = false; }
    else this.working += Math.min(gap, IDLE_MS);
    this.last = now;
  }
}
