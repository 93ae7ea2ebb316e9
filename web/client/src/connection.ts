import type { Http } from './http.js';
import type { Inbox } from './inbox.js';
import type { Platform } from './platform.js';
import type { Reply } from './reply.js';

/**
 * Sends a request to the server as the session, and returns its reply. `seq` is the number of a command, or the last frame that
 * was received.
 */
export type Request = (signal: AbortSignal, method: string, path: string, body?: string, seq?: number) => Promise<Reply>;

/** What a receiver works with: a session that is connected, from one handshake to the loss of the connection. */
export interface Connection {
  platform: Platform;
  http: Http;
  inbox: Inbox;
  sessionId: string;
  epoch: number;
  /** Aborts when the connection is lost. */
  signal: AbortSignal;
  request: Request;
  /** The server has sent something that is no reply to `request`. */
  alive(): void;
}
