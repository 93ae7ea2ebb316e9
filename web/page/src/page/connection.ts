import { connect, RestanteError, Subject, type Session } from '@restante/client';
import { APP_ID } from '../wormhole/index.js';
import { server } from './server.js';

const NAME = 'page';
/** How long the server waits for this page: phones stop pages while people tell the code in another app. */
const GRACE_MS = 3_600_000;
/** What the panel asks the server: its answers are no news. */
const INSPECTION = '/v1/session';

/** The page's connection to the server: one session, which all its conversations use. */
export class Connection {
  /** The session, once there is one. */
  readonly session = new Subject<Session | undefined>(undefined);
  /** When something last came from the server, in milliseconds since 1970; 0 before. */
  heardAt = 0;
  #connecting: Promise<Session> | undefined;

  /** Returns the session, or another one if it is over. Rejects if there can be none. */
  connect(): Promise<Session> {
    const { value } = this.session;
    if (value && value.state.value.name !== 'closed') return Promise.resolve(value);
    return (this.#connecting ??= this.#begin().finally(() => (this.#connecting = undefined)));
  }

  async #begin(): Promise<Session> {
    const heard = () => (this.heardAt = Date.now());
    class Socket extends WebSocket {
      constructor(url: string, protocols?: string[]) {
        super(url, protocols);
        this.addEventListener('message', heard);
      }
    }
    const fetching = async (url: string, init: RequestInit) => {
      const response = await fetch(url, init);
      if (!url.endsWith(INSPECTION)) heard();
      return response;
    };
    const options = { appId: APP_ID, name: NAME, url: server, platform: { fetch: fetching, WebSocket: Socket } };
    const session = await connect({ ...options, graceMs: GRACE_MS }).catch((error: unknown) => {
      if (error instanceof RestanteError && error.code === 'MALFORMED_HANDSHAKE') return connect(options); // its limit is lower
      throw error;
    });
    this.session.set(session);
    return session;
  }
}
