import type { Platform } from './platform.js';

/**
 * Notices silence by the clock on the wall. Its timer only makes it look: fired late, or after a night's sleep, it
 * still judges by the time that has passed.
 */
export interface Watchdog {
  /** Something was heard. */
  feed(): void;
  /** Compares now, and bites after a silence of `limitMs`. */
  look(limitMs?: number): void;
  stop(): void;
}

export function watchdog(platform: Platform, patienceMs: number, bite: () => void): Watchdog {
  let heard: number;
  let timer: unknown;
  const dog: Watchdog = {
    feed: () => (heard = platform.now()),
    look: (limitMs = patienceMs) => {
      dog.stop();
      const silence = platform.now() - heard;
      // Less than none: the clock was set back.
      if (silence < 0) dog.feed();
      if (silence >= limitMs) bite();
      else timer = platform.setTimeout(dog.look, patienceMs - silence);
    },
    stop: () => platform.clearTimeout(timer),
  };
  dog.feed();
  dog.look();
  return dog;
}
