import type { Platform } from './platform.js';
import type { Handshake } from './schemas.js';
import type { Transport } from './transport.js';

/** How a session begins, or resumes. */
export interface Options {
  /** The server's address, for example `https://mail.example.org`. By default the origin of the page. */
  url?: string | URL;
  /** The application: both sides name the same one. */
  appId: string;
  /** The side to be in every mailbox. By default the server picks a random one. */
  side?: string;
  /** How frames are to arrive. By default (`auto`) by long-poll, and in a better way as soon as one has proven to work. */
  transport?: Transport | 'auto';
  /** Tells sessions of one page apart, if it has several. */
  name?: string;
  /** How long the server is to wait for a client that is silent, in milliseconds, if longer than it does by itself. */
  graceMs?: number;
  /**
   * Whether to be told in every mailbox if the other side is there, and that a third side was refused: see `Mailbox.sides` and
   * `Mailbox.crowded`.
   */
  presence?: boolean;
  /** Whether to be told in every mailbox up to which position the other side has processed the messages: see `Mailbox.sides`. */
  receipts?: boolean;
  /** For the server's operator: the name of the client, and anything else. */
  hello?: Pick<Handshake, 'clientVersion' | 'metadata'>;
  /**
   * Returns a token for a server that asks for them, from the application's own server: a JSON Web Token that has not expired. It
   * is called before each handshake, and each time that the server asks for a newer one. If it rejects, or takes more than 15 s, it
   * is called again later.
   */
  credential?: () => Promise<string>;
  /** Aborts connecting. A session that is connected is ended by `close` or `leave`. */
  signal?: AbortSignal;
  /** For tests. */
  platform?: Partial<Platform>;
}
