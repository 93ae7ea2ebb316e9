import { Condition, linked } from './condition.js';
import type { Request } from './connection.js';
import type { Context } from './context.js';
import { ConnectionLost, type RestanteError } from './problem.js';
import type { Handshake } from './schemas.js';

/** How often in a row a server may refuse the tokens of handshakes before the session gives up. */
const REFUSALS = 3;
/** How long to wait before the next try to renew a token. */
const AGAIN_MS = 1000;
const LATEST_MS = 30_000;
/** How long the application may take for one. */
const PATIENCE_MS = 15_000;

/** The tokens of a session. The application has them; the server asks for them. */
export class Credential {
  readonly #context: Context;
  #refusals = 0;
  #renewing = false;

  constructor(context: Context) {
    this.#context = context;
  }

  /**
   * Returns the metadata for a handshake, with a token if the application has any. That it has none now, or none in time, is a
   * lost connection.
   */
  async metadata(signal: AbortSignal): Promise<Handshake['metadata']> {
    const { options, platform } = this.#context;
    const { credential, hello } = options;
    if (!credential) return hello?.metadata;
    const limit = linked(signal);
    try {
      const asked = credential(); // before the time runs: it may throw
      const late = new Condition().wait(limit.signal, platform, PATIENCE_MS).then(() => Promise.reject(new Error('it takes too long')));
      return { ...hello?.metadata, token: await Promise.race([asked, late]) };
    } catch (error) {
      throw new ConnectionLost(`no credential: ${String(error)}`);
    } finally {
      limit.abort();
    }
  }

  /** Takes in how a handshake went. A token may have expired on its way, so that it is refused says little until it has been a few times. */
  answered(error: RestanteError | undefined): void {
    if (error?.code !== 'TOKEN_REQUIRED') this.#refusals = 0;
    else if (this.#context.options.credential && ++this.#refusals < REFUSALS) return;
    // The client has no better token, and the server asks for more work than it does.
    if (error?.action === 'reauth') Object.assign(error, { action: 'stop', retriable: false });
  }

  /** Sends a newer token, as the server has asked for one, and tries until that is done or the connection is lost: a handshake brings one, too. */
  async renew(signal: AbortSignal, request: Request): Promise<void> {
    const { options, platform } = this.#context;
    if (this.#renewing || !options.credential) return;
    this.#renewing = true;
    try {
      for (let delay = AGAIN_MS; ; delay = Math.min(2 * delay, LATEST_MS)) {
        const body = await this.metadata(signal).catch(() => undefined);
        const reply = body && (await request(signal, 'PUT', '/v1/session/metadata', JSON.stringify(body)));
        if (reply && !reply.error) return;
        await new Condition().wait(signal, platform, delay);
      }
    } catch {
      // The connection is lost.
    } finally {
      this.#renewing = false;
    }
  }
}
