import type { Session } from '@restante/client';
import type { components } from '../../../client/src/contract.gen.js';
import { element, make, say } from './element.js';
import type { Line } from './line.js';

type View = components['schemas']['Session'];

const PACE_MS = 1000;
const ways = { poll: 'long-poll', sse: 'stream', socket: 'socket' };

let stop = () => {};

/** Shows a session as it is, while the panel is open: what the page knows of it, and what the server says. */
export function panel(session: Session | undefined, line: Line): void {
  stop();
  const details = element<HTMLDetailsElement>('session');
  details.hidden = session === undefined;
  if (!session) return;
  const look = async () => {
    if (!details.open || document.hidden) return;
    show(session, line, await ask(line));
  };
  const timer = setInterval(() => void look(), PACE_MS);
  const opened = () => void look();
  details.addEventListener('toggle', opened);
  stop = () => {
    clearInterval(timer);
    details.removeEventListener('toggle', opened);
  };
}

/** The session as the server sees it, unless that does not answer. */
async function ask({ ledger }: Line): Promise<View | undefined> {
  if (!ledger) return undefined;
  try {
    const response = await fetch('/v1/session', { headers: { Authorization: `Bearer ${ledger.sessionId}` } });
    return response.ok ? ((await response.json()) as View) : undefined;
  } catch {
    return undefined;
  }
}

function show(session: Session, { ledger, heardAt }: Line, view: View | undefined): void {
  const state = session.state.value;
  const beat = state.name === 'connected' ? `, every ${seconds(state.reply.heartbeatIntervalMs)} at least` : '';
  rows([
    ['State', state.name, view?.state],
    ['Frames arrive by', ways[session.transport.value], undefined],
    ['Last heard', heardAt ? `${seconds(Date.now() - heardAt)} ago${beat}` : undefined, undefined],
    ['Next command: Seq, Ack', ledger?.command, view?.nextExpectedSeq],
    ['Next frame: ack, seq', ledger?.frame, view?.nextFrameSeq],
    ['Oldest frame not acknowledged', undefined, view && (view.nextSentSeq < view.nextFrameSeq ? view.nextSentSeq : 'none')],
    ['Handshakes', ledger?.epoch, view?.epoch],
    ['Waits for a lost page', undefined, view && seconds(view.sessionDisconnectGraceMs)],
  ]);
}

function rows(list: [name: string, here: unknown, there: unknown][]): void {
  const body = element('session-rows');
  while (body.children.length < list.length) {
    body.append(make('tr', {}, make('th', { scope: 'row' }), make('td'), make('td')));
  }
  list.forEach((row, n) => [...body.children[n]!.children].forEach((cell, m) => say(cell as HTMLElement, String(row[m] ?? ''))));
}

function seconds(ms: number): string {
  return `${Math.round(ms / 1000)} s`;
}
