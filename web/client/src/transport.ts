import { linked } from './condition.js';
import type { Connection, Request } from './connection.js';
import type { Platform } from './platform.js';
import { poll, type Patience } from './poll.js';
import { ConnectionLost, RestanteError } from './problem.js';
import { socket } from './socket.js';
import { stream } from './stream.js';

/** How frames arrive. */
export type Transport = 'poll' | 'sse' | 'socket';
type Live = Exclude<Transport, 'poll'>;

const YOUNG_MS = 60_000;
const FAILURES = 3;
const SOON_MS = 5000;
const LATER_MS = 600_000;
/** How long a live transport may take to prove itself, while nothing is received. */
const PATIENCE_MS = 4000;

/** What a session remembers of its network: how long its proxies wait, and how the live transports fared on it. */
export class TransportHistory implements Patience {
  hold = 0;
  behind = 0;
  readonly sse = { failures: 0, notBefore: 0 };
  readonly socket = { failures: 0, notBefore: 0 };

  /** Returns the live transport to try now, if there is one. */
  next({ now, WebSocket }: Platform): Live | undefined {
    if (WebSocket && now() >= this.socket.notBefore) return 'socket';
    return now() >= this.sse.notBefore ? 'sse' : undefined;
  }

  /** Notes that a transport ended that began then. If it lasted less than a minute three times, it rests for ten minutes. */
  ended(kind: Live, began: number, { now }: Platform): void {
    const failures = now() - began < YOUNG_MS ? this[kind].failures + 1 : 0;
    this[kind].notBefore = now() + (failures === FAILURES ? LATER_MS : failures * SOON_MS);
    this[kind].failures = failures % FAILURES;
  }
}

/** Is called when frames arrive by another transport from now on, with the way to send requests over it, if it has one. */
export type OnTransport = (transport: Transport, request?: Request) => void;

/** Receives by the transport that the application chose, until the connection is lost. */
export async function receive(
  connection: Connection,
  choice: Transport | 'auto',
  history: TransportHistory,
  onTransport: OnTransport,
): Promise<never> {
  if (choice === 'auto') return auto(connection, history, onTransport);
  onTransport(choice);
  if (choice !== 'poll') {
    try {
      return await live[choice](connection, (request?: Request) => onTransport(choice, request));
    } catch (error) {
      if (!(error instanceof RestanteError) || error.ofSession || error.retriable) throw error;
      onTransport('poll'); // the server refuses this transport, not the session
    }
  }
  return poll(connection, history);
}

const live = { sse: stream, socket };

/**
 * Begins with long-poll, which always works. Between two receives it tries another transport, stays with that if it
 * carries a heartbeat both ways in time, and returns to long-poll when it ends. To try again needs no timer: it follows an answer.
 */
async function auto(connection: Connection, history: TransportHistory, onTransport: OnTransport): Promise<never> {
  const { platform, signal } = connection;
  for (;;) {
    onTransport('poll');
    const kind = await poll(connection, history, () => history.next(platform));
    const began = platform.now();
    const trial = linked(signal);
    const timer = platform.setTimeout(() => trial.abort(new ConnectionLost('silence')), PATIENCE_MS);
    try {
      await live[kind]({ ...connection, signal: trial.signal }, (request?: Request) => {
        platform.clearTimeout(timer);
        onTransport(kind, request);
      });
    } catch (error) {
      signal.throwIfAborted();
      history.ended(kind, began, platform);
      if (error instanceof RestanteError && error.ofSession) throw error;
    } finally {
      trial.abort();
      platform.clearTimeout(timer);
    }
  }
}
