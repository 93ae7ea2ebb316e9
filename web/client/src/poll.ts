import { Bell } from './bell.js';
import type { Answer } from './http.js';
import type { Inbox } from './inbox.js';
import type { Platform } from './platform.js';
import { Lost, RestanteError } from './problem.js';
import type { Received } from './wire.js';

/** What a receiver works with: one connection of one session. */
export interface Line {
  platform: Platform;
  /** Asks the server, as this session. */
  ask(path: string): Promise<Answer>;
  inbox: Inbox;
  epoch: number;
  signal: AbortSignal;}

/** For how long receives ask to be held, in seconds: as the server likes, then less and less, if proxies have less patience. */
export class Holds {
  static readonly #steps = [undefined, 12, 6];
  #step = 0;

  get seconds(): number | undefined {
    return Holds.#steps[this.#step];
  }

  shorten(): void {
    this.#step = Math.min(this.#step + 1, Holds.#steps.length - 1);
  }

  /** The network is another one. */
  reset(): void {
    this.#step = 0;
  }
}

/** What proxies say when an answer takes them too long. */
const IMPATIENT = [408, 502, 504, 524];
/** A refusal that comes sooner is not about patience. */
const IDLE_MS = 4000;
/** How long frames may take to be processed before others are asked for. */
const PACE_MS = 1000;
const SLOWEST_PACE_MS = 8000;

/**
 * Receives by long-poll until the connection is lost: each request follows from the answer before it, never from
 * a timer. While the application is busy with what came, it looks for more only now and then.
 */
export async function poll(line: Line, holds: Holds): Promise<never> {
  const { platform, inbox, signal } = line;
  for (let pace = PACE_MS; ; ) {
    const frames = await receive(line, holds);
    inbox.take(frames);
    await inbox.drained(signal, platform, pace);
    pace = inbox.ack === inbox.next ? PACE_MS : Math.min(2 * pace, SLOWEST_PACE_MS);
  }
}

/** One receive. It answers no frames when there are none, which is how the server says that it is there. */
async function receive(line: Line, holds: Holds): Promise<Received['frames']> {
  const { platform, inbox, epoch, signal } = line;
  const wait = holds.seconds === undefined ? '' : `&wait=${holds.seconds}`;
  const path = `/v1/session/events?ack=${inbox.ack}&epoch=${epoch}${wait}`;
  const began = platform.now();
  try {
    const { problem, body, retryAfterMs } = await line.ask(path);
    if (!problem) return (body as Received).frames;
    if (problem.action !== 'slow_down') throw new RestanteError(problem);
    await new Bell().heard(signal, { platform, ms: Math.max(retryAfterMs, PACE_MS) });
  } catch (error) {
    const impatient = error instanceof Lost && IMPATIENT.includes(error.status ?? 0) && platform.now() - began > IDLE_MS;
    if (!impatient) throw error;
    holds.shorten();
  }
  signal.throwIfAborted();
  return [];
}
