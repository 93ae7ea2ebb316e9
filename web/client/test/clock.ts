/** A clock that moves when it is told to, and not otherwise. */
export class Clock {
  now = 1_800_000_000_000;
  #timers = new Map<number, { at: number; run: () => void }>();
  #last = 0;

  setTimeout(run: () => void, ms: number): number {
    this.#timers.set(++this.#last, { at: this.now + Math.max(ms, 0), run });
    return this.#last;
  }

  clearTimeout(timer: unknown): void {
    this.#timers.delete(timer as number);
  }

  /** Lets this much time pass: each timer fires at its time, and all that follows from it has happened before the next. */
  async pass(ms: number): Promise<void> {
    const end = this.now + ms;
    await settle();
    for (let next = this.#next(end); next; next = this.#next(end)) {
      const [id, timer] = next;
      this.#timers.delete(id);
      this.now = Math.max(this.now, timer.at);
      timer.run();
      await settle();
    }
    this.now = end;
  }

  /** Lets time pass until something holds. Answers how long it took. */
  async until(what: string, holds: () => boolean, withinMs = 600_000): Promise<number> {
    const began = this.now;
    await settle();
    while (!holds()) {
      const next = this.#next(began + withinMs);
      if (!next) throw new Error(`not within ${withinMs} ms: ${what}`);
      await this.pass(next[1].at - this.now);
    }
    return this.now - began;
  }

  /** The clock on the wall goes on, and the timers do not: the computer sleeps. */
  sleep(ms: number): void {
    this.now += ms;
    for (const timer of this.#timers.values()) timer.at += ms;
  }

  #next(end: number): [number, { at: number; run: () => void }] | undefined {
    let first: [number, { at: number; run: () => void }] | undefined;
    for (const entry of this.#timers) if (entry[1].at <= end && (!first || entry[1].at < first[1].at)) first = entry;
    return first;
  }
}

/** Settles when all promises have done what they can without time passing. */
export function settle(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** Numbers from 0 up to 1, the same for the same seed. */
export function seeded(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t = (t + Math.imul(t ^ (t >>> 7), t | 61)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}
