import type { Platform } from '../src/platform.js';
import { seeded, type Clock } from './clock.js';
import type { Model, Reply } from './model.js';

/** What a network does to what is sent over it, each from 0 (never) to 1 (always). */
export interface Weather {
  /** The request is lost, and the client is told. */
  loseRequest?: number;
  /** The server does what it is asked, and the answer is lost. */
  loseAnswer?: number;
  /** The answer breaks off in its body. */
  cutBody?: number;
  /** Nothing comes, and nobody is told. */
  swallow?: number;
  /** The request arrives a second time, later. */
  repeat?: number;
  /** How long a way takes, at most: what is sent later may arrive sooner. */
  latencyMs?: number;
  /** What a proxy says instead of an answer that takes it longer than this. */
  proxy?: { status: number; afterMs: number };
}

/** A network to one server. */
export class Network {
  weather: Weather = {};
  /** The wire is cut: whatever is sent fails at once. */
  down = false;
  /** What was sent, as `METHOD path`. */
  readonly sent: string[] = [];
  readonly clock: Clock;
  readonly model: Model;
  readonly random: () => number;
  readonly #exchanges = new Set<() => void>();

  constructor(clock: Clock, model: Model, seed = 1) {
    this.clock = clock;
    this.model = model;
    this.random = seeded(seed);
  }

  /** Breaks all connections there are. */
  cut(): void {
    for (const fail of [...this.#exchanges]) fail();
  }

  fetch(url: string, init: RequestInit): Promise<Response> {
    const { pathname, search } = new URL(url);
    const path = pathname + search;
    const headers = init.headers as Record<string, string>;
    const body = typeof init.body === 'string' ? init.body : undefined;
    const call = { method: init.method ?? 'GET', path, headers, body };
    this.sent.push(`${call.method} ${path}`);
    return new Promise((resolve, reject) => {
      const fail = () => finish(() => reject(new TypeError('Failed to fetch')));
      const aborted = () => finish(() => reject(init.signal?.reason));
      const finish = (how: () => void) => {
        this.#exchanges.delete(fail);
        init.signal?.removeEventListener('abort', aborted);
        how();
      };
      this.#exchanges.add(fail);
      if (init.signal?.aborted) return aborted();
      init.signal?.addEventListener('abort', aborted);
      if (this.down) return void this.clock.setTimeout(fail, 1);
      const { loseRequest = 0, loseAnswer = 0, cutBody = 0, swallow = 0, repeat = 0, proxy } = this.weather;
      if (this.#happens(swallow)) return undefined;
      if (this.#happens(loseRequest)) return void this.#later(fail);
      if (this.#happens(repeat)) this.#later(() => void this.model.handle(call));
      if (proxy) {
        const impatient = { status: proxy.status, headers: { 'Content-Type': 'text/html' }, body: '<h1>Bad gateway</h1>' };
        this.clock.setTimeout(() => finish(() => resolve(response(impatient, false))), proxy.afterMs);
      }
      this.#later(async () => {
        const reply = await this.model.handle(call);
        this.#later(() => {
          if (this.#happens(loseAnswer)) fail();
          else finish(() => resolve(response(reply, this.#happens(cutBody))));
        });
      });
      return undefined;
    });
  }

  #happens(chance: number): boolean {
    return chance > 0 && this.random() < chance;
  }

  #later(what: () => void): void {
    const { latencyMs = 0 } = this.weather;
    if (latencyMs === 0) what();
    else this.clock.setTimeout(what, this.random() * latencyMs);
  }
}

/** As much of a `Response` as the client uses. */
function response({ status, headers, body }: Reply, cut: boolean): Response {
  const text = body === undefined ? '' : typeof body === 'string' ? body : JSON.stringify(body);
  const wire = new Map(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]));
  return {
    status,
    ok: status >= 200 && status < 300,
    headers: { get: (name: string) => wire.get(name.toLowerCase()) ?? null },
    text: () => (cut ? Promise.reject(new TypeError('terminated')) : Promise.resolve(text)),
  } as unknown as Response;
}

/** What a tab keeps: it survives its pages, and is copied when the tab is duplicated. */
export class Tab {
  readonly items: Map<string, string>;

  constructor(items = new Map<string, string>()) {
    this.items = items;
  }

  duplicate(): Tab {
    return new Tab(new Map(this.items));
  }
}

/** The locks of a browser: one holder each, the others wait. */
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

/** A page in a tab: all that the client takes from where it runs. When the page is gone, none of it does anything. */
export class Page {
  readonly platform: Platform;
  readonly #events = new EventTarget();
  readonly #network: Network;
  readonly #held: (() => void)[] = [];
  #gone = false;

  constructor(network: Network, tab = new Tab(), locks?: Locks) {
    const { clock } = network;
    const live = <T>(value: T, otherwise: T): T => (this.#gone ? otherwise : value);
    this.#network = network;
    this.platform = {
      fetch: (url, init) =>
        new Promise((resolve, reject) => {
          if (this.#gone) return;
          this.#network.fetch(url, init).then(
            (response) => this.#gone || resolve(response),
            (error: unknown) => this.#gone || reject(error),
          );
        }),
      WebSocket: undefined,
      storage: {
        getItem: (key) => tab.items.get(key) ?? null,
        setItem: (key, value) => void (this.#gone || tab.items.set(key, value)),
        removeItem: (key) => void (this.#gone || tab.items.delete(key)),
        key: (i) => [...tab.items.keys()][i] ?? null,
        get length() {
          return tab.items.size;
        },
      },
      locks: locks && ({ request: (name: string, options: object, held: () => Promise<void>) => locks.request(name, options, this.#letGo(held)) } as never),
      page: this.#events,
      now: () => clock.now,
      setTimeout: (run, ms) => live(clock.setTimeout(() => this.#gone || run(), ms), 0),
      clearTimeout: (timer) => clock.clearTimeout(timer),
      random: network.random,
      id: () => Array.from({ length: 24 }, () => Math.floor(network.random() * 36).toString(36)).join(''),
    };
  }

  /** Something happens to the page. */
  tell(event: 'pagehide' | 'pageshow' | 'online' | 'visibilitychange'): void {
    this.#events.dispatchEvent(new Event(event));
  }

  /** The page is unloaded: it is told, and then there is nothing left of it. With `crash` it is not even told. */
  unload({ crash = false } = {}): void {
    if (!crash) this.tell('pagehide');
    this.#gone = true;
    for (const release of this.#held) release();
  }

  /** A lock is held until its holder lets go, or the page is gone. */
  #letGo(held: () => Promise<void>): () => Promise<void> {
    return () => this.#gone ? Promise.resolve() : Promise.race([held(), new Promise<void>((release) => this.#held.push(release))]);
  }
}
