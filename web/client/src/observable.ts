/** A value that changes, and can be watched. Fits Svelte's store contract. */
export interface Observable<T> {
  readonly value: T;
  /** Calls `see` with the value now, and again whenever it changes. Returns a function that stops it. */
  subscribe(see: (value: T) => void): () => void;
}

/** An observable whose value can be set. */
export class Subject<T> implements Observable<T> {
  readonly #watchers = new Set<(value: T) => void>();
  #value: T;

  constructor(value: T) {
    this.#value = value;
  }

  get value(): T {
    return this.#value;
  }

  set(value: T): void {
    this.#value = value;
    for (const see of [...this.#watchers]) call(see, value);
  }

  subscribe(see: (value: T) => void): () => void {
    this.#watchers.add(see);
    call(see, this.#value);
    return () => this.#watchers.delete(see);
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
