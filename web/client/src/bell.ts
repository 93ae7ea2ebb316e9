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

  /** Settles when the bell rings, or after `ms` of the clock. Rejects with the signal's reason when that aborts. */
  heard(signal?: AbortSignal, clock?: Pick<Platform, 'setTimeout' | 'clearTimeout'>, ms = 0): Promise<void> {
    return new Promise((resolve, reject) => {
      signal?.throwIfAborted();
      const stop = () => {
        this.#waiting.delete(stop);
        signal?.removeEventListener('abort', stop);
        clock?.clearTimeout(timer);
        if (signal?.aborted) reject(signal.reason);
        else resolve();
      };
      const timer = clock?.setTimeout(stop, ms);
      this.#waiting.add(stop);
      signal?.addEventListener('abort', stop);
    });
  }
}

/** A controller that aborts with a signal. Abort it in the end, or it stays linked. */
export function linked(signal: AbortSignal): AbortController {
  const controller = new AbortController();
  const abort = () => controller.abort(signal.reason);
  if (signal.aborted) abort();
  else signal.addEventListener('abort', abort, { signal: controller.signal });
  return controller;
}
