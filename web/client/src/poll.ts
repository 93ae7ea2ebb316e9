import { Condition, linked } from './condition.js';
import type { Connection } from './connection.js';
import { ConnectionLost } from './problem.js';
import type { Received } from './schemas.js';

/** How long a receive asks to be held, in seconds: as long as the server chooses, then less, if proxies have less patience. */
const HOLDS = [undefined, 12, 6];

/** What a session remembers of the patience of its network's proxies. */
export interface Patience {
  /** The hold that it asks for, as an index. */
  hold: number;
  /** How often in a row another receiver was ahead of this one. */
  behind: number;
}

/** After so many refusals in a row, no request of this page is late: the server knows more than this page does. */
const BEHIND = 3;

/** The statuses of proxies that do not wait for an answer any longer. */
const IMPATIENT = [408, 502, 504, 524];
/** A refusal that comes sooner is not about patience. */
const IDLE_MS = 4000;
/** How long frames may take to be processed before more are asked for, and how long to wait if the server does not say. */
const PACE_MS = 1000;

/**
 * Receives by long-poll until the connection is lost. Each request follows from the answer before it, never from a timer. What
 * the application has not processed by then is not asked for again. With `until`, the first receive is not held, and `poll`
 * returns the first value that `until` returns after an answer.
 */
export async function poll(connection: Connection, patience: Patience): Promise<never>;
export async function poll<T>(connection: Connection, patience: Patience, until: () => T | undefined): Promise<T>;
export async function poll<T>(connection: Connection, patience: Patience, until?: () => T | undefined): Promise<T> {
  const { platform, inbox, signal } = connection;
  let atOnce = until !== undefined;
  for (; ; atOnce = false) {
    const received = receive(connection, patience, atOnce);
    inbox.take(await (inbox.ack === inbox.next ? received : acknowledging(connection, received)));
    const found = until?.();
    if (found !== undefined) return found;
    await inbox.drained(signal, platform, PACE_MS);
  }
}

/** Acknowledges what is processed until a receive, which began before that, is answered. */
async function acknowledging<T>({ inbox, epoch, request, signal }: Connection, received: Promise<T>): Promise<T> {
  const over = linked(signal);
  const acknowledge = async (): Promise<never> => {
    for (let acknowledged = inbox.ack; ; ) {
      while (inbox.ack === acknowledged) await inbox.advanced.wait(over.signal);
      acknowledged = inbox.ack;
      const { error } = await request(over.signal, 'POST', '/v1/session/ack', JSON.stringify({ ack: acknowledged, epoch }));
      if (error) throw error;
    }
  };
  try {
    return await Promise.race([received, acknowledge()]);
  } finally {
    over.abort();
  }
}

/** Receives once. No frames mean that there are none, and that the server is there. */
async function receive(connection: Connection, patience: Patience, atOnce: boolean): Promise<Received['frames']> {
  const { platform, inbox, epoch, signal } = connection;
  const seconds = atOnce ? 0 : HOLDS[patience.hold];
  const wait = seconds === undefined ? '' : `&wait=${seconds}`;
  const path = `/v1/session/events?ack=${inbox.ack}&epoch=${epoch}${wait}`;
  const began = platform.now();
  try {
    const seen = inbox.next > inbox.ack ? inbox.next - 1 : undefined;
    const { error, body } = await connection.request(signal, 'GET', path, undefined, seen);
    patience.behind = error?.code === 'SUPERSEDED' ? patience.behind + 1 : 0;
    if (!error) return (body as Received).frames;
    if (error.action !== 'slow_down') throw error;
    if (patience.behind === BEHIND) throw new ConnectionLost('another receiver is ahead'); // a handshake tells what to do
    await new Condition().wait(signal, platform, Math.max(error.retryAfterMs!, PACE_MS));
  } catch (error) {
    const took = platform.now() - began;
    const impatient = error instanceof ConnectionLost && IMPATIENT.includes(error.status) && took > IDLE_MS;
    // Where the server should have answered in that time, and where none is asked to hold it for less, it is about the server.
    if (!impatient || took > 1000 * (seconds ?? Infinity) || patience.hold === HOLDS.length - 1) throw error;
    patience.hold++;
  }
  signal.throwIfAborted();
  return [];
}
