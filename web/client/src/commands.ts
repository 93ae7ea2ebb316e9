import { Condition } from './condition.js';
import type { Command, Store } from './store.js';

/** A command that is not answered yet. */
export interface Pending {
  readonly command: Command;
  readonly result: Promise<unknown>;
  readonly resolve: (result: unknown) => void;
  readonly reject: (error: unknown) => void;
  /** Whether the server may have it. */
  sent: boolean;
  /** Whether it was sent, also as a session that is over. */
  tried: boolean;
  /** How often a proxy has answered it with a page that is about it. */
  pages: number;
}

function pending(command: Command): Pending {
  let resolve!: Pending['resolve'];
  let reject!: Pending['reject'];
  const result = new Promise((...how) => ([resolve, reject] = how));
  result.catch(() => {}); // there may be no caller: after a reload, or a restart
  return { command, result, resolve, reject, sent: false, tried: false, pages: 0 };
}

/** The commands that are not answered, in order. The first is under way; the others wait for it. */
export class Commands {
  readonly #store: Store;
  readonly #added = new Condition();
  #queue: Pending[];

  constructor(store: Store, kept: Command[] = []) {
    this.#store = store;
    this.#queue = kept.map(pending);
  }

  get all(): readonly Pending[] {
    return this.#queue;
  }

  /** Waits until there is a command, and returns the first. */
  async first(signal: AbortSignal): Promise<Pending> {
    for (;;) {
      signal.throwIfAborted();
      const first = this.#queue[0];
      if (first) return first;
      await this.#added.wait(signal);
    }
  }

  /**
   * Appends a command, and returns what `then` makes of its result. If the signal aborts before it was sent, it never is, and
   * `onTakenBack` is called. If it aborts later, only the caller waits no longer.
   */
  async add<T>(what: Omit<Command, 'n'>, signal: AbortSignal | undefined, onTakenBack: () => void, then: (result: unknown) => T | Promise<T>): Promise<T> {
    signal?.throwIfAborted();
    const entry = this.#create(what, (this.#queue.at(-1)?.command.n ?? 0) + 1);
    this.#queue.push(entry);
    this.#added.notify();
    const done = entry.result.then(then);
    if (!signal) return done;
    let abort!: () => void;
    const aborted = new Promise<never>((_, reject) => {
      abort = () => {
        if (!entry.tried) {
          this.remove(entry);
          onTakenBack();
        }
        reject(signal.reason);
      };
      signal.addEventListener('abort', abort);
    });
    return Promise.race([done, aborted]).finally(() => signal.removeEventListener('abort', abort));
  }

  /** Puts a command before all others. */
  unshift(what: Omit<Command, 'n'>): void {
    this.#queue.unshift(this.#create(what, (this.#queue[0]?.command.n ?? 0) - 1));
    this.#added.notify();
  }

  /** Sets whether a command may have been done, and stores it as it is now. */
  setDoubtful({ command }: Pending, doubtful: boolean): void {
    command.doubtful = doubtful;
    this.#store.keep(command);
  }

  remove(entry: Pending): void {
    this.#queue = this.#queue.filter((other) => other !== entry);
    this.#store.forget(entry.command);
  }

  #create(what: Omit<Command, 'n'>, n: number): Pending {
    const entry = pending({ n, ...what });
    if (what.kind !== 'query') this.#store.keep(entry.command);
    return entry;
  }
}
