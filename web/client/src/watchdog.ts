import type { Platform } from './platform.js';

/**
 * Notices that the server is silent. It compares times of the wall clock, so it is right after a timer that fired late and
 * after a night's sleep: its timer only makes it check.
 */
export interface Watchdog {
  /** The server has sent something. */
  reset(): void;
  /** Compares now, and calls `onSilence` after a silence of `limitMs`. */
  check(limitMs?: number): void;
  stop(): void;
}

export function watchdog(platform: Platform, timeoutMs: number, onSilence: () => void): Watchdog {
  let last: number;
  let timer: unknown;
  const dog: Watchdog = {
    reset: () => (last = platform.now()),
    check: (limitMs = timeoutMs) => {
      dog.stop();
      const silence = platform.now() - last;
      // Less than none: the clock was set back.
      if (silence < 0) dog.reset();
      if (silence >= limitMs) onSilence();
      else timer = platform.setTimeout(dog.check, timeoutMs - Math.max(silence, 0));
    },
    stop: () => platform.clearTimeout(timer),
  };
  dog.reset();
  dog.check();
  return dog;
}
