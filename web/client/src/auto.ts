import { linked } from './bell.js';
import type { Ask, Line } from './line.js';
import type { Platform } from './platform.js';
import { poll, type Patience } from './poll.js';
import { Lost, RestanteError } from './problem.js';
import { socket } from './socket.js';
import { stream } from './stream.js';

/** How frames arrive. */
export type Transport = 'poll' | 'sse' | 'socket';
type Live = Exclude<Transport, 'poll'>;

const YOUNG_MS = 60_000;
const DEATHS = 3;
const SOON_MS = 5000;
const LATER_MS = 600_000;
/** How long a live transport may take to prove itself, while nobody receives. */
const PATIENCE_MS = 4000;

/** What a session remembers of its network: how long its proxies wait, and how the live transports fared on it. */
export class Memory implements Patience {
  hold = 0;
  readonly sse = { deaths: 0, notBefore: 0 };
  readonly socket = { deaths: 0, notBefore: 0 };

  /** The transport to try now, if there is one. */
  next({ now, WebSocket }: Platform): Live | undefined {
    if (WebSocket && now() >= this.socket.notBefore) return 'socket';
    return now() >= this.sse.notBefore ? 'sse' : undefined;
  }

  /** One ended that was begun then. If it died young three times, it is not tried again for ten minutes. */
  died(kind: Live, began: number, { now }: Platform): void {
    const deaths = now() - began < YOUNG_MS ? this[kind].deaths + 1 : 0;
    this[kind].notBefore = now() + (deaths === DEATHS ? LATER_MS : deaths * SOON_MS);
    this[kind].deaths = deaths % DEATHS;
  }
}

/** Frames arrive in another way from now on, and commands may take it, too. */
export type Moved = (to: Transport, ask?: Ask) => void;

/** Receives in the way that the application chose. */
export async function receive(line: Line, way: Transport | 'auto', memory: Memory, moved: Moved): Promise<never> {
  if (way === 'auto') return auto(line, memory, moved);
  moved(way);
  return way === 'poll' ? poll(line, memory) : live[way](line, (ask?: Ask) => moved(way, ask));
}

const live = { sse: stream, socket };

/**
 * Begins with long-poll, which always works. Between two receives it tries another transport, stays with that if it
 * carries a heartbeat both ways in time, and comes back when it dies. To try again needs no timer: it follows an answer.
 */
async function auto(line: Line, memory: Memory, moved: Moved): Promise<never> {
  const { platform, signal } = line;
  for (;;) {
    moved('poll');
    const kind = await poll(line, memory, () => memory.next(platform));
    const began = platform.now();
    const trial = linked(signal);
    const timer = platform.setTimeout(() => trial.abort(new Lost('silence')), PATIENCE_MS);
    try {
      await live[kind]({ ...line, signal: trial.signal }, (ask?: Ask) => {
        platform.clearTimeout(timer);
        moved(kind, ask);
      });
    } catch (error) {
      signal.throwIfAborted();
      memory.died(kind, began, platform);
      if (!(error instanceof RestanteError)) continue;
      if (error.action === 'restart' || (error.code === 'SUPERSEDED' && !error.retriable)) throw error;
    } finally {
      trial.abort();
      platform.clearTimeout(timer);
    }
  }
}
