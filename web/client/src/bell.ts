import type { Platform } from './platform.js';

/**
 * A bell tells those who wait that it is worth looking again. It carries no data and remembers nothing:
 * look first, then wait.
 */
export class Bell {
  readonly #waiting = new Set<() => void>();

  ring(): void {
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const go of waiting) go();
  }

  /** Settles when the bell rings, or after `ms`. Rejects with the signal's reason when that aborts. */
  heard(signal?: AbortSignal, patience?: { platform: Platform; ms: number }): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted) {
        reject(signal.reason);
        return;
      }
      const stop = () => {
        this.#waiting.delete(go);
        signal?.removeEventListener('abort', fail);
        if (patience) patience.platform.clearTimeout(timer);
      };
      const go = () => {
        stop();
        resolve();
      };
      const fail = () => {
        stop();
        reject(signal?.reason);
      };
      const timer = patience?.platform.setTimeout(go, patience.ms);
      this.#waiting.add(go);
      signal?.addEventListener('abort', fail);
    });
  }
}
