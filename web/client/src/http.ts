import { linked } from './condition.js';
import type { Platform } from './platform.js';
import { ConnectionLost, RestanteError, TRANSIENT } from './problem.js';
import { checkSuccess, refusal, type Reply } from './reply.js';
import { watchdog, type Watchdog } from './watchdog.js';

/** The path of handshakes. They name their session themselves. */
export const HANDSHAKE = '/v1/sessions';
/** How long the server may be silent in a handshake; its reply says how long otherwise. */
const HANDSHAKE_MS = 15_000;

/** The text of a response, as it comes. Each piece resets the watchdog. */
export async function* pieces(response: Response, dog: Watchdog): AsyncGenerator<string> {
  const reader = response.body?.getReader();
  const decoder = new TextDecoder();
  for (;;) {
    const { done = true, value } = (await reader?.read()) ?? {};
    if (done) return;
    dog.reset();
    yield decoder.decode(value, { stream: true });
  }
}

/** Sends requests to one server, over HTTP. */
export class Http {
  readonly #platform: Platform;
  /** The server's address. */
  readonly base: string;
  readonly #watchdogs = new Set<Watchdog>();
  #headers: Record<string, string> = {};
  #timeoutMs = HANDSHAKE_MS;

  constructor(platform: Platform, base: string) {
    this.#platform = platform;
    this.base = base;
  }

  /** Sets the session of later requests, but for handshakes, and how long they may be silent. */
  identify(timeoutMs: number, sessionId: string): void {
    this.#timeoutMs = timeoutMs;
    this.#headers = { Authorization: `Bearer ${sessionId}` };
  }

  /** Sends a request once. Throws `ConnectionLost` for whatever is not the server's own answer. */
  async request(signal: AbortSignal, method: string, path: string, body?: string, seq?: number): Promise<Reply> {
    const headers: Record<string, string> = {};
    if (seq !== undefined) headers[method === 'GET' ? 'Last-Event-ID' : 'Seq'] = String(seq);
    if (body !== undefined) headers['Content-Type'] = 'application/json';
    return this.open(signal, path, { method, body: body ?? null, headers }, async (response, dog) => {
      let text = '';
      for await (const piece of pieces(response, dog)) text += piece;
      const body: unknown = JSON.parse(text || 'null');
      if (response.ok) checkSuccess(method, path, response.status, body);
      return {
        ack: Number(response.headers.get('Ack')),
        body,
        error: response.ok ? undefined : refusal(this.#platform, body, response, response.headers.get('Retry-After')),
      };
    });
  }

  /** Sends a request and reads its response with `read`, both watched by a watchdog that `read` may reset. */
  async open<T>(
    signal: AbortSignal,
    path: string,
    init: RequestInit,
    read: (response: Response, dog: Watchdog) => Promise<T>,
  ): Promise<T> {
    signal.throwIfAborted();
    const giveUp = linked(signal);
    const dog = this.watch(() => giveUp.abort(new ConnectionLost('silence')), path === HANDSHAKE ? HANDSHAKE_MS : this.#timeoutMs);
    try {
      const headers = { ...(path !== HANDSHAKE && this.#headers), ...init.headers };
      const response = await this.#platform.fetch(this.base + path, { ...init, headers, signal: giveUp.signal, cache: 'no-store' });
      const type = response.headers.get('Content-Type') ?? '';
      if (!response.ok && !type.startsWith('application/problem+json')) {
        throw refusal(this.#platform, undefined, response, response.headers.get('Retry-After'));
      }
      return await read(response, dog);
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof ConnectionLost || error instanceof RestanteError) throw error;
      giveUp.signal.throwIfAborted();
      throw new ConnectionLost(String(error), TRANSIENT);
    } finally {
      giveUp.abort(); // what was not read is not wanted
      this.unwatch(dog);
    }
  }

  /** Returns a watchdog that calls `onSilence` when the server is silent for too long. */
  watch(onSilence: () => void, timeoutMs = this.#timeoutMs): Watchdog {
    const dog = watchdog(this.#platform, timeoutMs, onSilence);
    this.#watchdogs.add(dog);
    return dog;
  }

  /** Stops a watchdog. */
  unwatch(dog: Watchdog): void {
    dog.stop();
    this.#watchdogs.delete(dog);
  }

  /** Has all watchdogs check now, with less patience: the page was woken, and timers may be late. */
  check(limitMs: number): void {
    for (const dog of [...this.#watchdogs]) dog.check(limitMs);
  }
}
