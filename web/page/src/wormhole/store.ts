import type { Note } from './note.js';
import type { Payload } from './payload.js';
import { secret } from './spake2.js';
import type { End } from './status.js';

/** Where a conversation is kept over a reload. If it cannot save, it may throw. */
export interface StateStore {
  load(): string | undefined;
  save(state: string): void;
  forget(): void;
}

/** All that a conversation needs to go on after a reload, beside what the log has. */
export interface Kept {
  version: typeof VERSION;
  /** Ours, in the mailbox. */
  side: string;
  /** Unknown until there is a nameplate. */
  code?: string;
  /** What follows the nameplate in a code that we offer. */
  words?: string;
  mailbox?: string;
  secret: string;
  /** The other side: its first message, once it came, and whether it has proven to have the same key. */
  peer?: { side: string; pake?: string; verified: boolean };
  /** What we say, by phase. */
  said: Payload[];
  /** The next phase wanted of the other side. */
  heard: number;
  notes: Entry[];
  end?: End;
}

/** A note, with the phase that we said it in. */
export interface Entry extends Note {
  state: Note['state'];
  phase?: number;
}

const VERSION = 1;

export function begin(side: string, what: Pick<Kept, 'code' | 'words'>): Kept {
  return { version: VERSION, side, ...what, secret: secret(), said: [], heard: 0, notes: [] };
}

/** What a store has, if it is one of ours. */
export function load(store: StateStore): Kept | undefined {
  try {
    const kept = JSON.parse(store.load() ?? '') as Kept;
    return kept.version === VERSION ? kept : undefined;
  } catch {
    return undefined;
  }
}
