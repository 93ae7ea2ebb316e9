import { Bell } from './bell.js';
import type { Store } from './ledger.js';

/** A request that changes something, or (`look`) only asks. */
export interface Command {
  /** Its place in the queue. */
  n: number;
  kind: 'allocate' | 'claim' | 'open' | 'reopen' | 'add' | 'release' | 'close' | 'end' | 'look';
  method: string;
  path: string;
  /** JSON: byte for byte the same each time it is sent. */
  body?: string | undefined;
  /** The mailbox that it is about, if it is about one. */
  mailbox: string;
  /** It was sent as a session that is over, and may have been done. */
  doubtful?: boolean;
}

/** A command that waits for its answer. */
export interface Entry {
  readonly command: Command;
  readonly answered: Promise<unknown>;
  readonly resolve: (answer: unknown) => void;
  readonly reject: (error: unknown) => void;
  /** Whether the server may have it. */
  sent: boolean;
}

function waiting(command: Command): Entry {
  let resolve!: Entry['resolve'];
  let reject!: Entry['reject'];
  const answered = new Promise((...how) => ([resolve, reject] = how));
  answered.catch(() => {}); // nobody may be waiting: after a reload, or a restart
  return { command, answered, resolve, reject, sent: false };
}

/** The commands that are not answered, in order. The first is under way; the others wait for it. */
export class Commands {
  readonly #store: Store;
  readonly #bell = new Bell();
  #queue: Entry[];

  constructor(store: Store, kept: Command[] = []) {
    this.#store = store;
    this.#queue = kept.map(waiting);
  }

  get all(): readonly Entry[] {
    return this.#queue;
  }

  /** The first command, once there is one. */
  async first(signal: AbortSignal): Promise<Entry> {
    for (;;) {
      signal.throwIfAborted();
      const first = this.#queue[0];
      if (first) return first;
      await this.#bell.heard(signal);
    }
  }

  /** Appends a command, and answers with its answer. If the signal aborts before it is sent, it never is. */
  async add(what: Omit<Command, 'n'>, signal?: AbortSignal): Promise<unknown> {
    signal?.throwIfAborted();
    const entry = this.#put(what, (this.#queue.at(-1)?.command.n ?? 0) + 1);
    this.#queue.push(entry);
    this.#bell.ring();
    if (!signal) return entry.answered;
    const abort = () => {
      if (!entry.sent) this.remove(entry);
      entry.reject(signal.reason);
    };
    signal.addEventListener('abort', abort);
    return entry.answered.finally(() => signal.removeEventListener('abort', abort));
  }

  /** Puts a command before all others. */
  unshift(what: Omit<Command, 'n'>): void {
    this.#queue.unshift(this.#put(what, (this.#queue[0]?.command.n ?? 0) - 1));
    this.#bell.ring();
  }

  /** Notes whether a command may have been done. */
  doubt(entry: Entry, doubtful: boolean): void {
    entry.command.doubtful = doubtful;
    this.#store.keep(entry.command);
  }

  remove(entry: Entry): void {
    this.#queue = this.#queue.filter((other) => other !== entry);
    this.#store.forget(entry.command);
  }

  #put(what: Omit<Command, 'n'>, n: number): Entry {
    const entry = waiting({ n, ...what });
    if (what.kind !== 'look') this.#store.keep(entry.command);
    return entry;
  }
}
