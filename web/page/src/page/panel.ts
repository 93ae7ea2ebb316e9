import type { Session, SessionView } from '@restante/client';
import type { Connection } from './connection.js';
import { element, make, say } from './element.js';

const PACE_MS = 1000;
const transports = { poll: 'long-poll', sse: 'stream', socket: 'socket' };

let stop = () => {};

/** Shows a session as it is, while the panel is open: what the page knows of it, and what the server says. */
export function panel(session: Session | undefined, connection: Connection): void {
  stop();
  const details = element<HTMLDetailsElement>('session');
  details.hidden = session === undefined;
  if (!session) return;
  const look = async () => {
    if (!details.open || document.hidden) return;
    const view = await session.inspect().catch(() => undefined); // the server does not answer
    show(session, connection, view);
  };
  const timer = setInterval(() => void look(), PACE_MS);
  const opened = () => void look();
  details.addEventListener('toggle', opened);
  stop = () => {
    clearInterval(timer);
    details.removeEventListener('toggle', opened);
  };
}

function show({ state: { value: state }, transport, progress }: Session, { heardAt }: Connection, view: SessionView | undefined): void {
  const heartbeat = state.name === 'connected' ? `, every ${seconds(state.reply.heartbeatIntervalMs)} at least` : '';
  rows([
    ['State', state.name, view?.state],
    ['Frames arrive by', transports[transport.value], undefined],
    ['Last heard', heardAt ? `${seconds(Date.now() - heardAt)} ago${heartbeat}` : undefined, undefined],
    ['Next command: Seq, Ack', progress.nextCommand, view?.nextExpectedSeq],
    ['Next frame: ack, seq', progress.nextFrame, view?.nextFrameSeq],
    ['Oldest frame not acknowledged', undefined, view && (view.nextSentSeq < view.nextFrameSeq ? view.nextSentSeq : 'none')],
    ['Handshakes', progress.epoch, view?.epoch],
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
