import { Bell } from './bell.js';
import type { Line } from './line.js';
import { Lost } from './problem.js';
import type { Received } from './wire.js';

/** For how long a receive asks to be held, in seconds: as the server likes, then less and less, if proxies have less patience. */
const HOLDS = [undefined, 12, 6];

/** What a session remembers of its network. */
export interface Patience {
  /** Which of the holds it has come down to. */
  hold: number;
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
 * a timer. While the application is busy with what came, it looks for more only now and then. With `until`, the first
 * receive only looks, and it returns the first that `until` has to say after an answer.
 */
export async function poll(line: Line, patience: Patience): Promise<never>;
export async function poll<T>(line: Line, patience: Patience, until: () => T | undefined): Promise<T>;
export async function poll<T>(line: Line, patience: Patience, until?: () => T | undefined): Promise<T> {
  const { platform, inbox, signal } = line;
  let look = until !== undefined;
  for (let pace = PACE_MS; ; look = false) {
    inbox.take(await receive(line, patience, look));
    const found = until?.();
    if (found !== undefined) return found;
    pace = (await inbox.drained(signal, platform, pace)) ? PACE_MS : Math.min(2 * pace, SLOWEST_PACE_MS);
  }
}

/** One receive. It answers no frames when there are none, which is how the server says that it is there. */
async function receive(line: Line, patience: Patience, look: boolean): Promise<Received['frames']> {
  const { platform, inbox, epoch, signal } = line;
  const seconds = look ? 0 : HOLDS[patience.hold];
  const wait = seconds === undefined ? '' : `&wait=${seconds}`;
  const path = `/v1/session/events?ack=${inbox.ack}&epoch=${epoch}${wait}`;
  const began = platform.now();
  try {
    const { error, body, retryAfterMs } = await line.ask(signal, 'GET', path);
    if (!error) return (body as Received).frames;
    if (error.action !== 'slow_down') throw error;
    await new Bell().heard(signal, platform, Math.max(retryAfterMs, PACE_MS));
  } catch (error) {
    const impatient = error instanceof Lost && IMPATIENT.includes(error.status) && platform.now() - began > IDLE_MS;
    if (!impatient) throw error;
    patience.hold = Math.min(patience.hold + 1, HOLDS.length - 1);
  }
  signal.throwIfAborted();
  return [];
}
