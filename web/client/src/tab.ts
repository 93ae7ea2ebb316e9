import { linked } from './bell.js';
import type { Platform } from './platform.js';

/** How long a page that is being reloaded may take to let go. */
const PATIENCE_MS = 1000;

/**
 * Tells tabs apart. Duplicating a tab copies its sessionStorage, and the session with it; the original holds a lock
 * that the copy cannot have. (While it is held, browsers on a desk do not freeze the tab either.)
 */
export interface Tab {
  /** Takes the lock, and answers whether nobody else has it. Where there are no locks, nobody is said to. */
  hold(name: string, signal: AbortSignal): Promise<boolean>;
  /** Whether nobody else can have the session. */
  readonly sole: boolean;
  release(): void;
}

export function tab(platform: Platform): Tab {
  const { locks } = platform;
  let release: (() => void) | undefined;
  return {
    hold: async (name, signal) => {
      if (!locks || release) return true;
      const patience = linked(signal);
      const timer = platform.setTimeout(() => patience.abort(), PATIENCE_MS);
      try {
        await new Promise<void>((granted, refused) => {
          const held = () =>
            new Promise<void>((resolve) => {
              release = resolve;
              granted();
            });
          locks.request(`restante ${name}`, { signal: patience.signal }, held).catch(refused);
        });
        return true;
      } catch {
        signal.throwIfAborted();
        return !patience.signal.aborted; // locks that fail are no locks
      } finally {
        platform.clearTimeout(timer);
      }
    },
    get sole() {
      return release !== undefined;
    },
    release: () => {
      release?.();
      release = undefined;
    },
  };
}
