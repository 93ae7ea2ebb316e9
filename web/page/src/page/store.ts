import type { StateStore } from '../wormhole/index.js';

/** Keeps a conversation. */
export const store = place('restante conversation');

/** What one asks for: to send a note, or to join with a code. */
export type Intent = { note: string; code?: undefined } | { code: string; note?: undefined };

const intents = place('restante intent');

/** Returns what was asked for and has no conversation yet. */
export function loadIntent(): Intent | undefined {
  const kept = intents.load();
  return kept === undefined ? undefined : attempt(() => JSON.parse(kept) as Intent);
}

/** Keeps what is asked for, or forgets it. */
export function saveIntent(intent: Intent | undefined): void {
  if (intent) intents.save(JSON.stringify(intent));
  else intents.forget();
}

/** Returns a place in this tab, for something that is there after a reload. Where nothing may be kept, it stays empty. */
function place(name: string): StateStore {
  return {
    load: () => attempt(() => sessionStorage.getItem(name) ?? undefined),
    save: (state) => attempt(() => sessionStorage.setItem(name, state)),
    forget: () => attempt(() => sessionStorage.removeItem(name)),
  };
}

function attempt<T>(access: () => T): T | undefined {
  try {
    return access();
  } catch {
    return undefined;
  }
}
