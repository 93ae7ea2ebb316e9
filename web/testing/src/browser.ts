/** As much of a `Storage` as the client uses. */
export function storage(items: Map<string, string>, gone = () => false): Storage {
  return {
    get length() {
      return items.size;
    },
    key: (i) => [...items.keys()][i] ?? null,
    getItem: (key) => items.get(key) ?? null,
    setItem: (key, value) => void (gone() || items.set(key, value)),
    removeItem: (key) => void (gone() || items.delete(key)),
    clear: () => void (gone() || items.clear()),
  };
}

/** The locks of a browser: each has one holder, and the others wait. */
export class Locks {
  readonly #queues = new Map<string, (() => void)[]>();

  request(name: string, { signal }: { signal?: AbortSignal }, held: () => Promise<void>): Promise<void> {
    const queue = this.#queues.get(name) ?? [];
    this.#queues.set(name, queue);
    return new Promise((resolve, reject) => {
      const next = () => {
        queue.shift();
        queue[0]?.();
      };
      const go = () => {
        signal?.removeEventListener('abort', leave);
        void held().then(resolve, reject).finally(next);
      };
      const leave = () => {
        queue.splice(queue.indexOf(go), 1);
        reject(signal?.reason);
      };
      signal?.addEventListener('abort', leave);
      if (queue.push(go) === 1) go();
    });
  }
}
