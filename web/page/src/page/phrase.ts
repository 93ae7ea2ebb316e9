import type { RestanteError, State } from '@restante/client';
import type { Note, Problem, Status } from '../wormhole/index.js';

/** What the page says of something: what it is, and what that means or what to do. */
export interface Phrase {
  headline: string;
  explanation: string;
  /** The user should know at once. */
  alarm?: boolean;
}

export const connecting: Phrase = { headline: 'Connecting …', explanation: 'This takes a moment.' };

/** A conversation, in words. */
export function phrase(status: Status, notes: readonly Note[]): Phrase {
  const ours = notes.filter(({ mine }) => mine);
  const read = ours.filter(({ state }) => state === 'read').length;
  switch (status.name) {
    case 'allocating':
      return { headline: 'Getting a code …', explanation: 'This takes a moment.' };
    case 'waiting':
      if (ours.length === 0) {
        return { headline: 'Waiting for the other side', explanation: 'Nothing has been left under this code yet. Keep this page open; it goes on by itself.' };
      }
      return { headline: 'Waiting for the other side', explanation: 'Keep this page open, in the background if you like, until they have read your note.' };
    case 'verifying':
      return { headline: 'The other side is here', explanation: 'Finding out whether they have the same code.' };
    case 'connected':
      return connected(ours, read);
    case 'scary':
      return {
        headline: 'Wrong code: someone may have guessed',
        explanation: `Your code and the other side's were not the same, so nothing was given away. ${ours.length > 0 ? mistyped.theirs : mistyped.ours}`,
        alarm: true,
      };
    case 'left':
      return left(notes, ours, read);
    case 'failed':
      return { headline: 'This did not work', explanation: `${status.problem.detail} ${advice(status.problem)}`.trim(), alarm: true };
    case 'closed':
      return { headline: 'You left', explanation: '' };
  }
}

function connected(ours: readonly Note[], read: number): Phrase {
  if (ours.length === 0) return { headline: 'Connected', explanation: 'What they write appears here, and you can write back.' };
  if (read === ours.length) return { headline: wasRead(read), explanation: 'You can write more, as long as the other side is here.' };
  return { headline: 'Connected', explanation: 'Your note is on its way.' };
}

const mistyped = {
  theirs: 'If they did not mistype it, a third person has tried. Get a new code, and tell it so that no one else hears.',
  ours: 'If you did not mistype it, a third person has tried. Ask for a new code: this one is used up.',
};

function left(notes: readonly Note[], ours: readonly Note[], read: number): Phrase {
  if (ours.length > read) {
    return { headline: 'The other side left', explanation: 'They did not read all that you wrote. Begin again, with a new code.', alarm: true };
  }
  if (notes.length === 0) return { headline: 'The other side left', explanation: 'They took the note back. Ask them for another code.' };
  const headline = read > 0 ? `${wasRead(read)}, and the other side left` : 'The other side left';
  return { headline, explanation: 'This conversation is over, and its code is used up. What is here stays until you go on or close the page.' };
}

function wasRead(count: number): string {
  return count === 1 ? 'The note was read' : 'The notes were read';
}

/** What can be done about a problem, if it does not say so itself. */
function advice({ code, action }: Pick<Problem, 'code' | 'action'>): string {
  if (code === 'UNREACHABLE') return 'Is this device online? Then try again.';
  if (code === 'SUPERSEDED') return 'Go on there, or begin again here.';
  if (action === 'slow_down') return 'Wait a minute, then try again.';
  if (action === 'retry') return 'Try again.';
  return action === 'stop' ? '' : 'Begin again.';
}

/** No session was to be had. */
export function unreachable(error: RestanteError): Phrase {
  const headline = error.code === 'UNREACHABLE' ? 'The server cannot be reached' : 'This did not work';
  const detail = error.code === 'UNREACHABLE' ? '' : (error.detail ?? String(error));
  return { headline, explanation: `${detail} ${advice(error)}`.trim(), alarm: true };
}

/** What becomes of a note of ours. */
export const fate: Record<Note['state'], string> = {
  kept: 'Goes out when the other side is here',
  sending: 'On its way',
  sent: 'Sent',
  read: 'Read',
  refused: 'Not read',
};

/** The connection, if there is anything to say about it. */
export function connection(state: State, lostFor: number): string {
  if (state.name === 'connected' || state.name === 'closed' || lostFor < 1500) return '';
  return navigator.onLine ? 'The server does not answer. Trying again; nothing is lost.' : 'This device is offline. It goes on by itself when it is back.';
}
