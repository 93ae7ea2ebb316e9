import type { Context } from './context.js';
import type { Credential } from './credential.js';
import { HANDSHAKE } from './http.js';
import { clientError, ConnectionLost } from './problem.js';
import type { Handshake, HandshakeReply, Welcome } from './schemas.js';
import { feasible, work } from './work.js';

/** The version of this package. @internal */
export const VERSION = '1.0.0';

/** The handshakes of a session: each begins or resumes it, and tells both sides where the other one is. */
export class Handshakes {
  /** Of the last reply. */
  welcome: Welcome | undefined;
  /** Whether the first one resumed a session from before a reload. */
  resumed = false;
  readonly #context: Context;
  readonly #credential: Credential;

  constructor(context: Context, credential: Credential) {
    this.#context = context;
    this.#credential = credential;
  }

  /** Sends one, and takes its reply into the record. `underWay` says whether a command may have been sent and is not answered. */
  async send(signal: AbortSignal, underWay: boolean): Promise<HandshakeReply> {
    const metadata = await this.#credential.metadata(signal);
    signal.throwIfAborted();
    const { record, http, options } = this.#context;
    const request: Handshake = {
      protocolVersion: '1',
      sessionId: record.sessionId,
      appId: record.appId,
      side: record.side,
      epoch: record.epoch || undefined,
      replaces: record.replaces,
      expectedSessionState: { nextExpectedSeq: record.frame, nextSentSeq: record.command },
      clientVersion: ['restante-client', VERSION],
      graceMs: options.graceMs,
      ...options.hello,
      metadata,
    };
    this.#context.save(); // before it is sent: a session whose handshake was not answered must not be given up
    const send = (more?: Partial<Handshake>) => http.request(signal, 'POST', HANDSHAKE, JSON.stringify({ ...request, ...more }));
    let answer = await send();
    const asked = answer.error?.permissionRequired?.hashcash;
    if (asked && feasible(asked)) answer = await send({ permission: { method: 'hashcash', stamp: await work(asked, signal) } });
    const { error, body } = answer;
    this.#credential.answered(error);
    if (error) throw error;
    const reply = body as HandshakeReply;
    if (reply.sessionId !== record.sessionId || reply.appId !== record.appId) throw new ConnectionLost('the reply to another handshake');
    const { nextExpectedSeq } = reply;
    if (!this.welcome && nextExpectedSeq > record.command + Number(record.sent !== undefined)) {
      // The storage of the page before was full: a mailbox that it opened may be missing from the record.
      throw Object.assign(clientError('SESSION_STATE_MISMATCH', 'what is kept is older', 'restart'), { nextExpectedSeq });
    }
    http.identify(reply.clientTimeoutMs, record.sessionId);
    this.resumed ||= record.epoch > 0 && !this.welcome;
    this.welcome = reply.welcome;
    record.epoch = reply.epoch;
    record.side = reply.side;
    record.replaces = undefined;
    if (!underWay) {
      record.command = nextExpectedSeq;
      record.sent = undefined;
    }
    this.#context.save();
    return reply;
  }
}
