import type { Commands } from './commands.js';
import type { Context } from './context.js';
import { Mailbox, type Host } from './mailbox.js';
import { clientError, type RestanteError } from './problem.js';
import type { Frame } from './schemas.js';
import type { Command, MailboxRecord } from './store.js';

/** The mailboxes that a session has open, or is opening. */
export class Mailboxes implements Host {
  /** By their ids. */
  readonly all = new Map<string, Mailbox>();
  /** Sends a command. */
  readonly do: Host['do'];
  readonly #context: Context;
  readonly #commands: Commands;
  /** The frame that comes next. */
  #next: number;

  constructor(context: Context, commands: Commands, send: Host['do']) {
    this.#context = context;
    this.#commands = commands;
    this.do = send;
    this.#next = context.record.frame;
    for (const [id, record] of Object.entries(context.record.mailboxes)) {
      this.#add(id, record).unfinished = !!record.retired && (record.since ?? 0) > this.#next;
    }
  }

  /** Returns the mailbox with this id. If there is none, or it is retired, it makes one that begins after this position. */
  get(id: string, position = 0): Mailbox {
    const mailbox = this.all.get(id);
    if (mailbox && !mailbox.retired) return mailbox;
    mailbox?.finish();
    const since = Math.max(this.#next, this.record(id)?.since ?? 0);
    return this.#add(id, (this.#context.record.mailboxes[id] = { position, added: 0, sides: [], since }));
  }

  #add(id: string, record: MailboxRecord): Mailbox {
    const mailbox = new Mailbox(id, record, this);
    this.all.set(id, mailbox);
    return mailbox;
  }

  /** Another session takes the place of the one whose frames came. */
  forgetNews(): void {
    this.#next = 0;
    for (const mailbox of this.all.values()) mailbox.forgetNews();
  }

  /** This side in every mailbox. */
  get side(): string | undefined {
    return this.#context.record.side;
  }

  /** Stores the record as it is now. */
  readonly save = (): void => this.#context.save();

  /** Returns what is stored of a mailbox. */
  record(id: string): MailboxRecord | undefined {
    return this.#context.record.mailboxes[id];
  }

  /** The path that opens a mailbox after what was processed of it. */
  openingPath({ id, path }: Mailbox): string {
    return this.openingAfter(path, this.record(id)?.position ?? 0);
  }

  /** The path that opens the mailbox at `path` after a position, and asks for what the application wants to be told. */
  openingAfter(path: string, position: number): string {
    const { presence, receipts } = this.#context.options;
    return `${path}?after=${position}${presence ? '&presence=true' : ''}${receipts ? '&receipts=true' : ''}`;
  }

  /** Hands a frame to its mailbox. `done` is called when it is processed. */
  deliver(frame: Exclude<Frame, { type: 'rehandshake' }>, done: () => void): void {
    const { mailbox: id, seq } = frame;
    const { retired, since = 0 } = this.record(id) ?? {};
    const earlier = seq < since;
    const mailbox = retired && !earlier ? this.get(id) : this.all.get(id); // a command opened it again
    this.#next = seq + 1;
    if (mailbox && (retired || !earlier)) mailbox.take(frame, done);
    else done(); // it was closed
  }

  /** What follows from it that a command was refused, or taken back before it was sent. */
  refused(command: Pick<Command, 'kind' | 'mailbox'>, error?: RestanteError): void {
    const { kind, mailbox: id } = command;
    const mailbox = this.all.get(id);
    const opening = () => this.#commands.all.some(({ command: other }) => other !== command && other.kind === 'open' && other.mailbox === id);
    if (kind === 'close') mailbox?.stay();
    else if (kind === 'reopen' && error?.code === 'NOT_FOUND') mailbox?.retire('pruned');
    else if (mailbox && (kind === 'reopen' || (kind === 'open' && !mailbox.opened && !opening()))) this.drop(mailbox, error);
  }

  /** Throws if another mailbox has the id of this one by now. */
  check(mailbox: Mailbox): void {
    if ((this.all.get(mailbox.id) ?? mailbox) !== mailbox) throw clientError('NOT_OPEN', 'it has ended, and was opened again');
  }

  /** Forgets a mailbox, which ends its messages. */
  drop(mailbox: Mailbox, error?: RestanteError): void {
    mailbox.end(error);
    if (this.all.get(mailbox.id) !== mailbox) return; // there is another one
    this.all.delete(mailbox.id);
    delete this.#context.record.mailboxes[mailbox.id];
    this.#context.save();
  }
}
