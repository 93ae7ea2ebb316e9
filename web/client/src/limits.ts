import { clientError } from './problem.js';
import type { Draft } from './schemas.js';

/** The most that the contract allows, in bytes of UTF-8. */
const LONGEST_BODY = 65_536;
const LONGEST_REQUEST = 262_144;
const TOO_LARGE = `the request must be at most ${LONGEST_REQUEST} bytes of UTF-8`;
const MOST_DRAFTS = 100;

/** Throws if a text cannot be encoded: it was cut inside a character, for example an emoji. */
export function checkText(name: string, text: unknown): void {
  if (/\p{Surrogate}/u.test(String(text))) throw clientError('INVALID_REQUEST', `${name} has half a character (a lone surrogate)`);
}

/** As `checkText`, for what becomes a part of a path: browsers leave these out, and ask for another path. */
export function checkId(name: string, id: string): void {
  checkText(name, id);
  if (/^\.{0,2}$/.test(id)) throw clientError('INVALID_REQUEST', `${name} must not be empty or dots`);
}

/** Throws if a message breaks a rule that the server would refuse it for. Returns its JSON. */
export function checkDraft(draft: Draft): string {
  for (const [name, text] of Object.entries(draft)) checkText(name, text);
  const json = JSON.stringify(draft);
  if (bytes(String(draft.body)) > LONGEST_BODY) throw clientError('INVALID_REQUEST', `body must be at most ${LONGEST_BODY} bytes of UTF-8`);
  if (bytes(json) > LONGEST_REQUEST) throw clientError('PAYLOAD_TOO_LARGE', TOO_LARGE);
  return json;
}

/** As `checkDraft`, for messages that are added together. */
export function checkDrafts(drafts: readonly Draft[]): string {
  const json = `[${drafts.map(checkDraft).join()}]`;
  if (!(drafts.length > 0 && drafts.length <= MOST_DRAFTS)) throw clientError('INVALID_REQUEST', `1 to ${MOST_DRAFTS} messages are added together`);
  if (bytes(json) > LONGEST_REQUEST) throw clientError('PAYLOAD_TOO_LARGE', TOO_LARGE);
  return json;
}

function bytes(text: string): number {
  return new TextEncoder().encode(text).length;
}
