import type { Platform } from './platform.js';
import { ConnectionLost, RestanteError, TRANSIENT } from './problem.js';
import type { Problem } from './schemas.js';

/** What the server replied. */
export interface Reply {
  /** The next command that the server wants; 0 if it did not say. */
  ack: number;
  body: unknown;
  /** Set if the reply is a refusal. */
  error: RestanteError | undefined;
}

/** A member that the body of a success has, and a value of its type, by the request. Where there is none, the success is a 204. */
const MEMBERS: [request: RegExp, member?: string, like?: unknown][] = [
  [/^DELETE|^PUT \/v1\/session\/metadata/],
  [/^GET \/v1\/mailboxes\/.+\/messages/, 'messages', []],
  [/ \/v1\/mailboxes\/.+\/messages/, 'serverRx', 0],
  [/ \/v1\/mailboxes/, 'sides', []],
  [/^GET \/v1\/nameplates/, 'nameplates', []],
  [/ \/v1\/nameplates/, 'mailbox', ''],
  [/ \/v1\/session\/events/, 'frames', []],
  [/ \/v1\/session\/ack/, 'ack', 0],
  [/./, 'epoch', 0],
];

/** Throws `ConnectionLost` if a success is not one that this server gives to this request. */
export function checkSuccess(method: string, path: string, status: number, body: unknown): void {
  const [, member, like] = MEMBERS.find(([request]) => request.test(`${method} ${path}`))!;
  const found = (body as Record<string, unknown> | null)?.[member!];
  const right = member ? typeof found === typeof like && Array.isArray(found) === Array.isArray(like) : status === 204;
  if (!right) throw new ConnectionLost(`status ${status}, and not of the server`, TRANSIENT);
}

/** What the server says of a request that lost its method or its credential in a redirection. */
const CHANGED = ['METHOD_NOT_ALLOWED', 'SESSION_REQUIRED'];
/** The longest that a timer can wait. */
const LONGEST_MS = 2 ** 31 - 1;

/**
 * Returns the refusal that a problem document is, with what its header `Retry-After` says: seconds, or a date. Throws
 * `ConnectionLost` if it is not of the server, but of what is in between, or about what a redirection has made of the request.
 */
export function refusal(
  { now }: Platform,
  problem: unknown,
  { status = 0, redirected, url }: Partial<Pick<Response, 'status' | 'redirected' | 'url'>> = {},
  after: string | null = '',
): RestanteError {
  const { code, action, retryAfterMs = 1000 * Number(after) } = (problem ?? {}) as Partial<Problem>;
  const asked = Math.min(Math.max((isNaN(retryAfterMs) ? Date.parse(after!) - now() : retryAfterMs) || 0, 0), LONGEST_MS);
  if (typeof code !== 'string' || typeof action !== 'string' || (redirected && CHANGED.includes(code))) {
    throw new ConnectionLost(redirected ? `the address redirects to ${url}` : `status ${status}`, status, asked);
  }
  return Object.assign(new RestanteError(problem as Problem), { retryAfterMs: asked });
}
