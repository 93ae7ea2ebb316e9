import { connect, RestanteError, type Session } from '@restante/client';
import { store, type Ledger } from '../../../client/src/ledger.js';
import { Subject } from '../../../client/src/observable.js';
import { platform } from '../../../client/src/platform.js';
import { APP_ID } from '../wormhole/index.js';

const NAME = 'page';
/** How long the server is to wait for us: telephones stop pages while one tells somebody the code in another app. */
const GRACE_MS = 3_600_000;

/** The page's line to the server: one session, that all its conversations use. */
export class Line {
  /** The session, once there is one. */
  readonly session = new Subject<Session | undefined>(undefined);
  /** When something was last heard of the server. */
  heardAt = 0;
  #connecting: Promise<Session> | undefined;
  readonly #store = store(platform().storage, `restante ${location.origin} ${APP_ID} ${NAME}`);

  /** The session; another one if it is over. Rejects if there can be none. */
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
      heard();
      return response;
    };
    const options = { appId: APP_ID, name: NAME, platform: { fetch: fetching, WebSocket: Socket } };
    const session = await connect({ ...options, graceMs: GRACE_MS }).catch((error: unknown) => {
      if (error instanceof RestanteError && error.code === 'MALFORMED_HANDSHAKE') return connect(options); // it waits for nobody as long as that
      throw error;
    });
    this.session.set(session);
    return session;
  }

  /** What is kept of the session: its numbers, and its credential. */
  get ledger(): Ledger | undefined {
    return this.#store.ledger();
  }
}
