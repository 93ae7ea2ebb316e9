/** A value that changes, and can be watched. Fits Svelte's store contract. */
export interface Observable<T> {
  readonly value: T;
  /** Calls `see` with the value now, and again whenever it changes. Returns a function that stops it. */
  subscribe(see: (value: T) => void): () => void;
}

/** An observable whose value can be set. */
export class Subject<T> implements Observable<T> {
  readonly #watchers = new Set<(value: T) => void>();
  /** The values that are being told, in order: a watcher may set another one. */
  readonly #told: (() => void)[] = [];
  #value: T;

  constructor(value: T) {
    this.#value = value;
  }

  get value(): T {
    return this.#value;
  }

  set(value: T): void {
    this.#value = value;
    const watchers = [...this.#watchers];
    const tell = () => watchers.forEach((see) => this.#watchers.has(see) && see(value));
    if (this.#told.push(tell) > 1) return;
    for (const tell of this.#told) tell();
    this.#told.length = 0;
  }

  subscribe(see: (value: T) => void): () => void {
    const watcher = (value: T) => call(see, value);
    this.#watchers.add(watcher);
    watcher(this.#value);
    return () => this.#watchers.delete(watcher);
  }
}

/** Calls a watcher. Its exception is logged, and stops nothing else. */
function call<T>(see: (value: T) => void, value: T): void {
  try {
    see(value);
  } catch (error) {
    console.error(error);
  }
}
