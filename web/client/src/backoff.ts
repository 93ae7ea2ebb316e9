const TRIES = 5;
const BASE_MS = 150;
const LONGEST_MS = 32_000;
const STEEPEST = 8; // 150 ms × 2⁸ is more than the longest

/**
 * How long to wait after a failure. It is a leaky bucket: each failure takes one of five tries, each answer of the server
 * but a failure of its own gives one back. The fewer are left, the longer the wait before the next try; it grows to 32 s.
 */
export class Backoff {
  #failures = 0;

  /** Whether nothing has failed lately. */
  get fresh(): boolean {
    return this.#failures === 0;
  }

  /** Whether no try is left. */
  get exhausted(): boolean {
    return this.#failures >= TRIES;
  }

  /**
   * Notes a failure. Returns how long to wait before the next try, in milliseconds: a part of 150 × 2ⁿ, as large
   * as `random` says, from 0 up to 1.
   */
  fail(random: number): number {
    const longest = Math.min(BASE_MS * 2 ** this.#failures, LONGEST_MS);
    this.#failures = Math.min(this.#failures + 1, STEEPEST);
    return random * longest;
  }

  /** Notes an answer of the server. */
  succeed(): void {
    this.#failures = Math.max(this.#failures - 1, 0);
  }

  /** Forgets all failures. */
  reset(): void {
    this.#failures = 0;
  }
}
