import type { Code, Problem } from './wire.js';

/** Every failure of this library, the server's and the client's own. */
export class RestanteError extends Error {
  override readonly name = 'RestanteError';
  /** The problem document, as the server sent it; with status 0 if the client wrote it itself. */
  readonly problem: Problem;

  constructor(problem: Problem, options?: ErrorOptions) {
    super(`${problem.title}: ${problem.detail}`, options);
    this.problem = problem;
  }

  /** What happened, for programs. */
  get code(): Code {
    return this.problem.code;
  }
  /** The HTTP status; 0 if there was no answer. */
  get status(): number {
    return this.problem.status;
  }
  /** What to do next. */
  get action(): Problem['action'] {
    return this.problem.action;
  }
  /** Whether trying on, as `action` says, can help. */
  get retriable(): boolean {
    return this.problem.retriable;
  }
}

/** A failure that the client finds itself. */
export function failure(code: Code, title: string, detail: string, action: Problem['action'] = 'stop'): RestanteError {
  const type = `urn:restante:problem:${code.toLowerCase().replace(/_/g, '-')}`;
  return new RestanteError({ type, title, status: 0, detail, code, retriable: action !== 'stop', action });
}

/** No answer, or none from the server: a lost connection, a proxy's page, silence. Stays inside: it means reconnect. */
export class Lost extends Error {
  /** The status, if a proxy answered. */
  readonly status: number | undefined;
  /** Whether it may have been bad luck, and the same request may well be answered. */
  readonly luck: boolean;

  constructor(why: string, { status, luck = false, cause }: { status?: number; luck?: boolean; cause?: unknown } = {}) {
    super(why, { cause });
    this.status = status;
    this.luck = luck;
  }
}
