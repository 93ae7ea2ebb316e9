/**
 * What the client takes from the place it runs in. In a page these are the browser's own; tests put
 * others in their place.
 */
export interface Platform {
  fetch(url: string, init: RequestInit): Promise<Response>;
  /** Absent where there is none: then no socket is tried. */
  WebSocket?: (new (url: string, protocols?: string[]) => WebSocket) | undefined;
  /** Keeps a session over a reload. Absent: it lives as long as the page. */
  storage?: Pick<Storage, 'length' | 'key' | 'getItem' | 'setItem' | 'removeItem'> | undefined;
  /** The sessions of this page: two must not be kept in the same place. */
  sessions: Set<string>;
  /** Tells two tabs of one session apart. Absent where the page is not served over HTTPS. */
  locks?: Pick<LockManager, 'request'> | undefined;
  /** The target of the events `pagehide`, `pageshow`, `online` and `visibilitychange`. */
  page?: Pick<EventTarget, 'addEventListener' | 'removeEventListener'> | undefined;
  /** The wall clock, in milliseconds. It may jump, and goes on while a computer sleeps. */
  now(): number;
  /** A timer. Only time-outs depend on it: it may fire late, and in a hidden tab it does. */
  setTimeout(run: () => void, ms: number): unknown;
  clearTimeout(timer: unknown): void;
  /** A number from 0 up to 1, to spread retries with. */
  random(): number;
  /** A new secret of at least 128 random bits, of `A-Z a-z 0-9 _ -`. */
  id(): string;
}

const sessions = new Set<string>();

/** The platform of this page, with `parts` of it replaced. */
export function platform(parts: Partial<Platform> = {}): Platform {
  return {
    fetch: (url, init) => fetch(url, init),
    WebSocket: globalThis.WebSocket,
    storage: sessionStorageIfAllowed(),
    sessions,
    locks: globalThis.navigator?.locks,
    page: (globalThis.addEventListener as unknown) ? globalThis : undefined,
    now: Date.now,
    setTimeout: (run, ms) => setTimeout(run, ms),
    clearTimeout: (timer) => clearTimeout(timer as number),
    random: Math.random,
    id: mint,
    ...parts,
  };
}

/** Where storage is forbidden, a page that names it gets an exception. */
function sessionStorageIfAllowed(): Storage | undefined {
  try {
    return globalThis.sessionStorage;
  } catch {
    return undefined;
  }
}

function mint(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(24));
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}
