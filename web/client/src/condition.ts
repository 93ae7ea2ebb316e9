import type { Platform } from './platform.js';

/**
 * A condition tells those that wait for it that something has changed. It carries no data and remembers nothing: check
 * first, then wait.
 */
export class Condition {
  readonly #waiting = new Set<() => void>();

  /** Wakes all that wait now. */
  notify(): void {
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const wake of waiting) wake();
  }

  /** Resolves at the next `notify`, or after `ms` if there is a clock. Rejects with the signal's reason when that aborts. */
  wait(signal?: AbortSignal, clock?: Pick<Platform, 'setTimeout' | 'clearTimeout'>, ms = 0): Promise<void> {
    return new Promise((resolve, reject) => {
      signal?.throwIfAborted();
      const wake = () => {
        this.#waiting.delete(wake);
        signal?.removeEventListener('abort', wake);
        clock?.clearTimeout(timer);
        if (signal?.aborted) reject(signal.reason);
        else resolve();
      };
      const timer = clock?.setTimeout(wake, ms);
      this.#waiting.add(wake);
      signal?.addEventListener('abort', wake);
    });
  }

  /** Waits for `ms`, but at least for `leastMs`: `notify` ends only what is beyond. */
  async pause(signal: AbortSignal, clock: Pick<Platform, 'setTimeout' | 'clearTimeout'>, ms: number, leastMs = 0): Promise<void> {
    if (leastMs > 0) await new Condition().wait(signal, clock, leastMs);
    if (ms > leastMs) await this.wait(signal, clock, ms - leastMs);
  }
}

/** Returns a controller that aborts with a signal. It stays linked to the signal until it is aborted. */
export function linked(signal: AbortSignal): AbortController {
  const controller = new AbortController();
  const abort = () => controller.abort(signal.reason);
  if (signal.aborted) abort();
  else signal.addEventListener('abort', abort, { signal: controller.signal });
  return controller;
}
