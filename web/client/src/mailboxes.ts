import type { Commands } from './commands.js';
import type { Context } from './context.js';
import { Mailbox, type Host } from './mailbox.js';
import type { RestanteError } from './problem.js';
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
    for (const id of Object.keys(context.record.mailboxes)) this.get(id);
  }

  /** Returns the mailbox with this id. If there is none, it makes one that begins after this position. */
  get(id: string, position = 0): Mailbox {
    let mailbox = this.all.get(id);
    if (!mailbox) {
      const record = (this.#context.record.mailboxes[id] ??= { position, added: 0, sides: [] });
      mailbox = new Mailbox(id, record, this);
      this.all.set(id, mailbox);
    }
    return mailbox;
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
    const mailbox = this.all.get(frame.mailbox);
    if (mailbox) mailbox.take(frame, done);
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

  /** Forgets a mailbox, which ends its messages. */
  drop(mailbox: Mailbox, error?: RestanteError): void {
    this.all.delete(mailbox.id);
    delete this.#context.record.mailboxes[mailbox.id];
    mailbox.end(error);
    this.#context.save();
  }
}
