import type { Answer, Http } from './http.js';
import type { Inbox } from './inbox.js';
import type { Platform } from './platform.js';

/** Asks the server, as a session. */
export type Ask = (signal: AbortSignal, method: string, path: string, body?: string, seq?: number) => Promise<Answer>;

/** What a receiver works with: one connection of one session. */
export interface Line {
  platform: Platform;
  http: Http;
  inbox: Inbox;
  sessionId: string;
  epoch: number;
  signal: AbortSignal;
  ask: Ask;
  /** Something was heard of the server that is no answer to `ask`. */
  heard(): void;
}
