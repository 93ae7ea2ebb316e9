import type { Platform } from './platform.js';

/** How long a page that is being reloaded may take to let go. */
const PATIENCE_MS = 1000;

/**
 * Tells tabs apart. Duplicating a tab copies its sessionStorage, and the session with it; the original holds a lock
 * that the copy cannot have. (While it is held, browsers on a desk do not freeze the tab either.)
 */
export class Tab {
  readonly #platform: Platform;
  #release: (() => void) | undefined;

  constructor(platform: Platform) {
    this.#platform = platform;
  }

  /** Takes the lock, and answers whether nobody else has it. Where there are no locks, nobody is said to. */
  async hold(name: string, signal: AbortSignal): Promise<boolean> {
    const { locks } = this.#platform;
    if (!locks || this.#release) return true;
    const patience = new AbortController();
    const stop = () => patience.abort();
    signal.addEventListener('abort', stop);
    const timer = this.#platform.setTimeout(stop, PATIENCE_MS);
    try {
      await new Promise<void>((granted, refused) => {
        locks
          .request(`restante ${name}`, { signal: patience.signal }, () => {
            granted();
            return new Promise<void>((release) => {
              this.#release = release;
              if (signal.aborted) this.release();
            });
          })
          .catch(refused);
      });
      return true;
    } catch {
      return !patience.signal.aborted; // locks that fail are no locks
    } finally {
      this.#platform.clearTimeout(timer);
      signal.removeEventListener('abort', stop);
      signal.throwIfAborted();
    }
  }

  /** Whether nobody else can have the session. */
  get sole(): boolean {
    return this.#release !== undefined;
  }

  release(): void {
    this.#release?.();
    this.#release = undefined;
  }
}
