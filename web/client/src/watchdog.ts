import type { Platform } from './platform.js';

/**
 * Notices silence by the clock on the wall. Its timer only makes it look: fired late, or after a night's sleep, it
 * still judges by the time that has passed.
 */
export class Watchdog {
  readonly #platform: Platform;
  readonly #limitMs: number;
  readonly #bite: () => void;
  #heard: number;
  #timer: unknown;

  constructor(platform: Platform, limitMs: number, bite: () => void) {
    this.#platform = platform;
    this.#limitMs = limitMs;
    this.#bite = bite;
    this.#heard = platform.now();
    this.#arm(limitMs);
  }

  /** Something was heard. */
  feed(): void {
    this.#heard = this.#platform.now();
  }

  /** Compares now, and bites after a silence of `limitMs`. */
  look(limitMs = this.#limitMs): void {
    const now = this.#platform.now();
    this.#heard = Math.min(this.#heard, now); // the clock was set back
    const left = this.#heard + limitMs - now;
    if (left <= 0) this.#bite();
    else if (limitMs === this.#limitMs) this.#arm(left);
  }

  stop(): void {
    this.#platform.clearTimeout(this.#timer);
  }

  #arm(ms: number): void {
    this.#platform.clearTimeout(this.#timer);
    this.#timer = this.#platform.setTimeout(() => this.look(), ms);
  }
}
