import { linked } from './condition.js';
import type { Platform } from './platform.js';

/** How long a page that is being reloaded may take to release its lock. */
const PATIENCE_MS = 1000;

/**
 * Tells tabs apart. A duplicated tab has a copy of the sessionStorage, and the session with it; the original holds a lock
 * that the copy cannot have. (While it is held, desktop browsers do not freeze the tab either.)
 */
export interface TabLock {
  /** Takes the lock, and reports whether no other tab has it. Where there are no locks, it reports true. */
  acquire(name: string, signal: AbortSignal): Promise<boolean>;
  /** Whether no other tab can have the session. */
  readonly held: boolean;
  release(): void;
}

export function tabLock(platform: Platform): TabLock {
  const { locks } = platform;
  let release: (() => void) | undefined;
  return {
    acquire: async (name, signal) => {
      if (!locks || release) return true;
      const patience = linked(signal);
      const timer = platform.setTimeout(() => patience.abort(), PATIENCE_MS);
      try {
        await new Promise<void>((granted, refused) => {
          const hold = () =>
            new Promise<void>((resolve) => {
              release = resolve;
              granted();
            });
          locks.request(`restante ${name}`, { signal: patience.signal }, hold).catch(refused);
        });
        return true;
      } catch {
        signal.throwIfAborted();
        return !patience.signal.aborted; // locks that fail are no locks
      } finally {
        platform.clearTimeout(timer);
      }
    },
    get held() {
      return release !== undefined;
    },
    release: () => {
      release?.();
      release = undefined;
    },
  };
}
