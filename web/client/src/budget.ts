const CAPACITY = 5;
const BASE_MS = 150;
const LONGEST_MS = 32_000;
const STEEPEST = 8; // 150 ms × 2⁸ is beyond the longest

/**
 * What failures may cost. A leaky bucket: each failure takes one try out of it, each answer of the server puts one
 * back. The emptier it is, the longer the wait before the next try; below empty it still grows, up to 32 s.
 */
export class Budget {
  #spent = 0;

  /** Whether nothing failed lately. */
  get full(): boolean {
    return this.#spent === 0;
  }

  /** Whether all tries are spent. */
  get empty(): boolean {
    return this.#spent >= CAPACITY;
  }

  /**
   * A failure. Answers how long to wait before the next try, in milliseconds: from 0 to 150 × 2ⁿ, as `random` (from 0 up
   * to 1) has it.
   */
  spend(random: number): number {
    const longest = Math.min(BASE_MS * 2 ** this.#spent, LONGEST_MS);
    this.#spent = Math.min(this.#spent + 1, STEEPEST);
    return random * longest;
  }

  /** A success. */
  restore(): void {
    this.#spent = Math.max(this.#spent - 1, 0);
  }
}
