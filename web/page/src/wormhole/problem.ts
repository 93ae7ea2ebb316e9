import type { Problem as Refusal } from '@restante/client';

/** Why a conversation failed, and what to do next: the server's problem, the client's, or one of those below. */
export interface Problem {
  readonly code: string;
  readonly detail: string;
  readonly action: Refusal['action'];
}

/** A problem that we found ourselves. */
export function problem(code: keyof typeof details, detail: string = details[code]): Problem {
  return { code, detail, action: 'stop' };
}

const details = {
  MALFORMED_CODE: 'This is no code.',
  CROWDED: 'Two others already use this code. Ask for a new one.',
  RECLAIMED: 'This code was used here already. Ask for a new one.',
  RETIRED: 'The code has expired. Begin again with a new one.',
  LOST: 'This conversation is over here: another tab has it, or the server has forgotten this one.',
  UNSUPPORTED: 'The other side wants to send a file. Only text can be taken here.',
  PEER: 'The other side reports an error.',
};
