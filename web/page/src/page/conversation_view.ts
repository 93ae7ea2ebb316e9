import type { RestanteError, Session } from '@restante/client';
import type { Conversation, Note, Status } from '../wormhole/index.js';
import { complain, submitting, tooMuch } from './draft.js';
import { element, say } from './element.js';
import { Invitation } from './invitation.js';
import { Notes } from './notes.js';
import { connecting, connection, phrase, unreachable, type Phrase } from './phrase.js';

const BUSY = ['allocating', 'waiting', 'verifying'];

/** A conversation, as it is shown. */
export class ConversationView {
  readonly #section = element('talk');
  readonly #invitation = new Invitation();
  readonly #notes = new Notes();
  readonly #form = element<HTMLFormElement>('say');
  readonly #text = element<HTMLTextAreaElement>('line');
  readonly #leave = element('leave');
  readonly #again = element('again');
  #conversation: Conversation | undefined;
  #stop: (() => void)[] = [];
  /** When the connection was lost. */
  #lostAt = 0;
  #unreachable = false;

  constructor({ leave, retry }: { leave: () => void; retry: () => void }) {
    this.#leave.addEventListener('click', leave);
    this.#again.addEventListener('click', () => (this.#unreachable ? retry() : leave()));
    this.#form.addEventListener('submit', (event) => {
      event.preventDefault();
      const problem = tooMuch(this.#text.value);
      complain(this.#text, element('line-problem'), problem);
      if (problem !== '') return;
      this.#conversation?.say(this.#text.value);
      this.#form.reset();
    });
    submitting(this.#text);
  }

  /** There is no session yet. */
  connecting(): void {
    this.#reset();
    this.#say(connecting);
    element('busy').hidden = false;
    say(this.#leave, 'Cancel');
    element('headline').focus();
  }

  /** There is none to be had. */
  unreachable(error: RestanteError): void {
    const focused = document.activeElement;
    this.#reset();
    this.#unreachable = true;
    this.#say(unreachable(error));
    say(this.#again, 'Try again');
    say(this.#leave, 'Go back');
    this.#again.hidden = false;
    if (focused?.closest('[hidden]')) this.#again.focus();
  }

  show(conversation: Conversation, session: Session): void {
    this.#reset();
    this.#conversation = conversation;
    const motd = element('motd');
    say(motd, session.welcome?.error ?? session.welcome?.motd ?? '');
    motd.hidden = motd.textContent === '';
    const timer = setInterval(() => this.#connection(session), 1000);
    this.#stop = [
      conversation.status.subscribe(() => this.#show(conversation)),
      conversation.notes.subscribe(() => this.#show(conversation)),
      session.state.subscribe(({ name }) => {
        if (name === 'connected') this.#lostAt = 0;
        else this.#lostAt ||= Date.now();
        this.#connection(session);
      }),
      () => clearInterval(timer),
    ];
  }

  hide(): void {
    this.#reset();
    this.#section.hidden = true;
  }

  #reset(): void {
    for (const stop of this.#stop.splice(0)) stop();
    this.#conversation = undefined;
    this.#unreachable = false;
    this.#lostAt = 0;
    this.#form.reset();
    this.#notes.show([]);
    for (const id of ['busy', 'invitation', 'say', 'verify', 'again', 'motd']) element(id).hidden = true;
    element<HTMLDetailsElement>('verify').open = false;
    say(element('connection'), '');
    this.#section.hidden = false;
    this.#leave.hidden = false;
  }

  #show({ status: { value: status }, notes: { value: notes } }: Conversation): void {
    const focused = document.activeElement;
    this.#say(phrase(status, notes));
    this.#notes.show(notes);
    this.#invitation.show(status.name === 'waiting' && ours(notes) ? status.code : undefined);
    element('busy').hidden = !BUSY.includes(status.name);
    this.#form.hidden = status.name !== 'connected';
    this.#verifier(status);
    this.#leave.hidden = over(status);
    this.#again.hidden = !over(status);
    say(this.#leave, status.name === 'connected' ? 'Leave' : ours(notes) ? 'Take it back' : 'Cancel');
    say(this.#again, unread(notes) !== '' || ['scary', 'failed'].includes(status.name) ? 'Begin again' : 'Write another note');
    if (focused?.closest('[hidden]')) (over(status) ? this.#again : element('headline')).focus();
  }

  #verifier(status: Status): void {
    const verify = element('verify');
    verify.hidden = status.name !== 'connected';
    if (status.name === 'connected') say(element('verifier'), status.verifier.replace(/(.{4})(?=.)/g, '$1 '));
  }

  #say({ headline, explanation, alarm = false }: Phrase): void {
    element('status').hidden = alarm;
    element('alarm').hidden = !alarm;
    const shown = alarm ? 'alarm-headline' : 'headline';
    this.#section.setAttribute('aria-labelledby', shown);
    say(element(shown), headline);
    say(element(alarm ? 'alarm-explanation' : 'explanation'), explanation);
    document.title = `${headline} – Restante`;
  }

  #connection(session: Session): void {
    say(element('connection'), connection(session.state.value, Date.now() - (this.#lostAt || Date.now())));
  }
}

/** Whether nothing more comes of a conversation. */
export function over({ name }: Status): boolean {
  return ['scary', 'left', 'failed', 'closed'].includes(name);
}

/** What we wrote and was not read: it is worth keeping once a conversation is over. */
export function unread(notes: readonly Note[]): string {
  const left = notes.filter(({ mine, state }) => mine && state !== 'read');
  return left.map(({ text }) => text).join('\n\n');
}

function ours(notes: readonly Note[]): boolean {
  return notes.some(({ mine }) => mine);
}
