import { Lost } from './problem.js';
import type { Platform } from './platform.js';
import { Watchdog } from './watchdog.js';
import type { Problem } from './wire.js';

/** What the server answered. */
export interface Answer {
  /** The next command that the server wants. */
  ack: number | undefined;
  /** How long it asks us to wait before we try again. */
  retryAfterMs: number;
  body: unknown;
  problem: Problem | undefined;
}

/** Talks to one server, over HTTP. */
export class Http {
  readonly #platform: Platform;
  readonly #base: string;
  readonly #watchdogs = new Set<Watchdog>();
  #headers: Record<string, string> = {};
  #timeoutMs = 0;

  constructor(platform: Platform, base: string) {
    this.#platform = platform;
    this.#base = base;
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
      const text = await response.text();
      const ack = Number.parseInt(response.headers.get('Ack') ?? '', 10);
      const body: unknown = text === '' ? undefined : JSON.parse(text);
      const problem = response.ok ? undefined : (body as Problem);
      return {
        ack: Number.isNaN(ack) ? undefined : ack,
        retryAfterMs: 1000 * (Number.parseInt(response.headers.get('Retry-After') ?? '', 10) || 0),
        body,
        problem,
      };
    });
  }

  /** Sends a request and has its response read, all under the eye of a watchdog that `read` may feed. */
  async open<T>(
    signal: AbortSignal,
    path: string,
    init: RequestInit,
    read: (response: Response, watchdog: Watchdog) => Promise<T>,
  ): Promise<T> {
    signal.throwIfAborted();
    const giveUp = new AbortController();
    const leave = () => giveUp.abort(signal.reason);
    signal.addEventListener('abort', leave);
    const watchdog = new Watchdog(this.#platform, this.#timeoutMs, () => giveUp.abort(new Lost('the server is silent')));
    this.#watchdogs.add(watchdog);
    try {
      const headers = { ...this.#headers, ...init.headers };
      const response = await this.#platform.fetch(this.#base + path, { ...init, headers, signal: giveUp.signal, cache: 'no-store' });
      const type = response.headers.get('Content-Type') ?? '';
      if (!response.ok && !type.startsWith('application/problem+json')) {
        throw new Lost(`status ${response.status} from someone in between`, { status: response.status });
      }
      return await read(response, watchdog);
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof Lost) throw error;
      if (giveUp.signal.aborted) throw giveUp.signal.reason;
      throw new Lost('the connection was lost', { luck: true, cause: error });
    } finally {
      giveUp.abort(); // what was not read is not wanted
      watchdog.stop();
      this.#watchdogs.delete(watchdog);
      signal.removeEventListener('abort', leave);
    }
  }

  /** Compares all clocks now, with less patience: the page was woken, and timers may be late. */
  look(limitMs: number): void {
    for (const watchdog of [...this.#watchdogs]) watchdog.look(limitMs);
  }
}
