import type { Command } from './commands.js';
import type { Platform } from './platform.js';
import type { Occupant } from './wire.js';

/** All that a session needs to go on after whatever happened, but for its commands. */
export interface Ledger {
  appId: string;
  /** The credential. */
  sessionId: string;
  /** Ours in every mailbox; unknown until the first handshake is answered, unless the application chose it. */
  side?: string | undefined;
  /** Of the last handshake that was answered; 0 before the first. */
  epoch: number;
  /** The next frame wanted: all below it are processed. */
  frame: number;
  /** Frames above `frame` that are processed already, as another mailbox's reader was faster. */
  done: number[];
  /** The number of the next command. */
  command: number;
  /** Whether that one may have reached the server. */
  sent: boolean;
  /** The session that this one is to end and whose side it takes, until its handshake is answered. */
  replaces?: string | undefined;
  /** The name of the lock that tells this tab from a copy of it. */
  tab: string;
  mailboxes: Record<string, Held>;
}

/** A mailbox that this session has open, or is opening. */
export interface Held {
  /** The last message processed. */
  position: number;
  /** All that this side added up to here is known to be in the log. */
  added: number;
  sides: Occupant[];
  nameplate?: string | undefined;
  /** Why it is gone, if it is. */
  retired?: 'closed' | 'pruned' | undefined;
}

/** A ledger that begins a session. */
export function begin(platform: Platform, appId: string, side?: string): Ledger {
  const blank = { epoch: 0, frame: 0, done: [], command: 0, sent: false, mailboxes: {} };
  return { appId, sessionId: platform.id(), side, tab: platform.id(), ...blank };
}

/** Keeps a ledger and its commands where they survive a reload. Where that fails they live as long as the page. */
export class Store {
  readonly #storage: Platform['storage'];
  readonly #prefix: string;

  constructor(storage: Platform['storage'], prefix: string) {
    this.#storage = storage;
    this.#prefix = prefix;
  }

  ledger(): Ledger | undefined {
    return this.#read('') as Ledger | undefined;
  }

  commands(): Command[] {
    const found = this.#keys().map((key) => this.#read(key.slice(this.#prefix.length)) as Command | undefined);
    return found.filter((command) => command !== undefined).sort((a, b) => a.n - b.n);
  }

  save(ledger: Ledger): void {
    this.#write('', ledger);
  }

  keep(command: Command): void {
    this.#write(`#${command.n}`, command);
  }

  forget(command: Command): void {
    this.#storage?.removeItem(`${this.#prefix}#${command.n}`);
  }

  clear(): void {
    for (const key of this.#keys()) this.#storage?.removeItem(key);
    this.#storage?.removeItem(this.#prefix);
  }

  #keys(): string[] {
    const all = Array.from({ length: this.#storage?.length ?? 0 }, (_, i) => this.#storage?.key(i) ?? '');
    return all.filter((key) => key.startsWith(`${this.#prefix}#`));
  }

  #read(key: string): unknown {
    try {
      return JSON.parse(this.#storage?.getItem(this.#prefix + key) ?? '') as unknown;
    } catch {
      return undefined; // nothing, or nothing of ours
    }
  }

  #write(key: string, value: unknown): void {
    try {
      this.#storage?.setItem(this.#prefix + key, JSON.stringify(value));
    } catch {
      // It is full. What is kept there may be old, and the server will say so.
    }
  }
}
