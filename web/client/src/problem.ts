import type { Code, Problem } from './wire.js';

/** What a failure says of itself: the members of its problem document. */
export interface RestanteError extends Problem {}

/** Every failure of this library, the server's and the client's own. */
export class RestanteError extends Error {
  override readonly name = 'RestanteError';
  /** The problem document, as the server sent it; with status 0 if the client wrote it itself. */
  readonly problem: Problem;

  constructor(problem: Problem) {
    super(`${problem.title}: ${problem.detail}`);
    Object.assign(this, (this.problem = problem));
  }
}

/** A failure that the client finds itself. */
export function failure(code: Code, detail: string, action: Problem['action'] = 'stop'): RestanteError {
  return new RestanteError({ type: 'about:blank', title: code, status: 0, detail, code, retriable: action !== 'stop', action });
}

/** No answer, or none from the server: a lost connection, a proxy's page, silence. Stays inside: it means reconnect. */
export class Lost extends Error {
  /** The status, if a proxy answered; 1 if it may have been bad luck, and the same request may well be answered. */
  readonly status: number;

  constructor(why: string, status = 0) {
    super(why);
    this.status = status;
  }
}

/** The status of a loss that may be bad luck. */
export const LUCK = 1;
