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

  constructor(context: Context, commands: Commands, send: Host['do']) {
    this.#context = context;
    this.#commands = commands;
    this.do = send;
    for (const [id, record] of Object.entries(context.record.mailboxes)) {
      this.#add(id, record).unfinished = !!record.retired && (record.until ?? 0) > context.record.frame;
    }
  }

  /** Returns the mailbox with this id. If there is none, or it is retired, it makes one that begins after this position. */
  get(id: string, position = 0): Mailbox {
    const mailbox = this.all.get(id);
    if (mailbox && !mailbox.retired) return mailbox;
    mailbox?.finish();
    const { mailboxes, dropped } = this.#context.record;
    const since = mailboxes[id] ? mailboxes[id].until : dropped ? null : undefined;
    return this.#add(id, (mailboxes[id] = { position, added: 0, sides: [], since }));
  }

  #add(id: string, record: MailboxRecord): Mailbox {
    const mailbox = new Mailbox(id, record, this);
    this.all.set(id, mailbox);
    return mailbox;
  }

  /** Another session takes the place of the one whose frames came. */
  forgetNews(): void {
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

  /** Whether it has yet to be asked which frames are about the mailbox with this id. If there is none, it makes one. */
  unclear(id: string): boolean {
    if (!this.all.has(id)) this.get(id);
    return this.record(id)!.since === null;
  }

  /** The next frame has this number, and a mailbox is opened only then: those below it are about what had its id before. */
  begin(id: string, next: number): void {
    const { record } = this.#context;
    const mailbox = this.record(id);
    if (mailbox) mailbox.since = next;
    if (record.frame >= next) record.dropped = undefined; // all of them have come
    this.#context.save();
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

  /** Hands a frame to its mailbox, and reports whether that is being read. `done` is called when the frame is processed. */
  deliver(frame: Exclude<Frame, { type: 'rehandshake' }>, done: () => void): boolean {
    const { mailbox: id, seq } = frame;
    const { since = 0, until = Infinity } = this.record(id) ?? {};
    const mailbox = seq >= until ? this.get(id) : this.all.get(id); // a command opened it again
    if (mailbox && since !== null && seq >= since) mailbox.take(frame, done);
    else done(); // it was closed
    return !!mailbox?.reading;
  }

  /** What follows from it that a command was refused, or taken back before it was sent. */
  refused(command: Pick<Command, 'kind' | 'mailbox'>, error?: RestanteError): void {
    const { kind, mailbox: id } = command;
    const mailbox = this.all.get(id);
    if (kind === 'close') mailbox?.stay();
    else if (kind === 'reopen' && error?.code === 'NOT_FOUND') mailbox?.retire('pruned');
    else if (mailbox && (kind === 'reopen' || (kind === 'open' && !mailbox.opened && !this.#opening(id, command)))) this.drop(mailbox, error);
  }

  /** Whether the mailbox with this id is to be opened, by another command than this one. */
  #opening(id: string, than?: object): boolean {
    return this.#commands.all.some(({ command }) => command !== than && command.kind === 'open' && command.mailbox === id);
  }

  /** Throws if another mailbox has the id of this one by now. */
  check(mailbox: Mailbox): void {
    if ((this.all.get(mailbox.id) ?? mailbox) !== mailbox) throw clientError('NOT_OPEN', 'it has ended, and was opened again');
  }

  /** Forgets a mailbox, which ends its messages. If it is retired, and one with its id is being opened, that one takes its place. */
  drop(mailbox: Mailbox, error?: RestanteError): void {
    mailbox.end(error);
    mailbox.discard();
    if (this.all.get(mailbox.id) !== mailbox) return; // there is another one
    if (mailbox.retired && this.#opening(mailbox.id)) this.get(mailbox.id);
    else {
      this.all.delete(mailbox.id);
      delete this.#context.record.mailboxes[mailbox.id];
      this.#context.record.dropped = true;
    }
    this.#context.save();
  }
}
