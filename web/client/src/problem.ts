import type { Code, Problem } from './schemas.js';

/** What a failure says of itself: the members of its problem document. */
export interface RestanteError extends Problem {}

/** Every failure of this library: of the server, and of the client itself. */
export class RestanteError extends Error {
  override readonly name = 'RestanteError';
  /** The problem document, as the server sent it; with status 0, or that of a proxy, if the client wrote it itself. */
  readonly problem: Problem;

  constructor(problem: Problem) {
    super(`${problem.title}: ${problem.detail}`);
    Object.assign(this, (this.problem = problem));
  }

  /**
   * Whether it is about the session, so that nothing else can go on in it. Any other refusal of what is sent on a socket or a
   * stream is about that connection.
   */
  get ofSession(): boolean {
    return ['restart', 'rehandshake', 'reauth'].includes(this.action) || (this.code === 'SUPERSEDED' && !this.retriable);
  }
}

/** A failure that the client finds itself. */
export function clientError(code: Code, detail: string, action: Problem['action'] = 'stop', status = 0): RestanteError {
  return new RestanteError({ type: 'about:blank', title: code, status, detail, code, retriable: action !== 'stop', action });
}

/** The failure of what is asked of a session that is closed. */
export function sessionLeft(): RestanteError {
  return clientError('LEFT', 'the session is closed');
}

/**
 * The connection is lost: there is no answer, or none from the server, but a proxy's page or silence. It stays inside the
 * client, which connects again.
 */
export class ConnectionLost extends Error {
  /** The status, if a proxy answered; `TRANSIENT` if the same request may well be answered when it is sent again. */
  readonly status: number;
  /** How long the proxy asks to wait before the next try. */
  readonly retryAfterMs: number;

  constructor(why: string, status = 0, retryAfterMs = 0) {
    super(why);
    this.status = status;
    this.retryAfterMs = retryAfterMs;
  }
}

export const TRANSIENT = 1;

/** Throws a failure as a caller is to see it. */
export function rethrow(error: unknown): never {
  throw error instanceof ConnectionLost ? clientError('UNREACHABLE', error.message, 'retry') : error;
}
