import { linked } from './bell.js';
import { Lost, LUCK, RestanteError } from './problem.js';
import type { Platform } from './platform.js';
import { watchdog, type Watchdog } from './watchdog.js';
import type { Problem } from './wire.js';

/** What the server answered. */
export interface Answer {
  /** The next command that the server wants; 0 if it did not say. */
  ack: number;
  /** How long it asks us to wait before we try again. */
  retryAfterMs: number;
  body: unknown;
  /** The answer is that. */
  error: RestanteError | undefined;
}

/** Talks to one server, over HTTP. */
export class Http {
  readonly #platform: Platform;
  /** Where the server is. */
  readonly base: string;
  readonly #watchdogs = new Set<Watchdog>();
  #headers: Record<string, string> = {};
  #timeoutMs = 0;

  constructor(platform: Platform, base: string) {
    this.#platform = platform;
    this.base = base;
  }

  /** As whom to ask from now on, and how long to wait for whole answers. */
  identify(timeoutMs: number, sessionId?: string): void {
    this.#timeoutMs = timeoutMs;
    this.#headers = sessionId === undefined ? {} : { Authorization: `Bearer ${sessionId}` };
  }

  /** Asks once. Whatever is not the server's own answer is `Lost`. */
  async ask(signal: AbortSignal, method: string, path: string, body?: string, seq?: number): Promise<Answer> {
    const headers: Record<string, string> = {};
    if (seq !== undefined) headers['Seq'] = String(seq);
    if (body !== undefined) headers['Content-Type'] = 'application/json';
    return this.open(signal, path, { method, body: body ?? null, headers }, async (response) => {
      const body: unknown = JSON.parse((await response.text()) || 'null');
      return {
        ack: Number(response.headers.get('Ack')),
        retryAfterMs: 1000 * Number(response.headers.get('Retry-After')) || 0,
        body,
        error: response.ok ? undefined : new RestanteError(body as Problem),
      };
    });
  }

  /** Sends a request and has its response read, all under the eye of a watchdog that `read` may feed. */
  async open<T>(
    signal: AbortSignal,
    path: string,
    init: RequestInit,
    read: (response: Response, dog: Watchdog) => Promise<T>,
  ): Promise<T> {
    signal.throwIfAborted();
    const giveUp = linked(signal);
    const dog = this.watch(() => giveUp.abort(new Lost('silence')));
    try {
      const headers = { ...this.#headers, ...init.headers };
      const response = await this.#platform.fetch(this.base + path, { ...init, headers, signal: giveUp.signal, cache: 'no-store' });
      const type = response.headers.get('Content-Type') ?? '';
      if (!response.ok && !type.startsWith('application/problem+json')) {
        throw new Lost(`status ${response.status}`, response.status);
      }
      return await read(response, dog);
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof Lost || error instanceof RestanteError) throw error;
      giveUp.signal.throwIfAborted();
      throw new Lost(String(error), LUCK);
    } finally {
      giveUp.abort(); // what was not read is not wanted
      this.unwatch(dog);
    }
  }

  /** A watchdog that bites when the server is silent for too long. */
  watch(bite: () => void): Watchdog {
    const dog = watchdog(this.#platform, this.#timeoutMs, bite);
    this.#watchdogs.add(dog);
    return dog;
  }

  /** The watchdog is not needed any more. */
  unwatch(dog: Watchdog): void {
    dog.stop();
    this.#watchdogs.delete(dog);
  }

  /** Compares all clocks now, with less patience: the page was woken, and timers may be late. */
  look(limitMs: number): void {
    for (const watchdog of [...this.#watchdogs]) watchdog.look(limitMs);
  }
}
