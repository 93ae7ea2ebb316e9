import type { Commands } from './commands.js';
import type { Context } from './context.js';
import { Mailbox, type Requests } from './mailbox.js';
import type { RestanteError } from './problem.js';
import type { Frame } from './schemas.js';
import type { Command, MailboxRecord } from './store.js';

/** The mailboxes that a session has open, or is opening. */
export class Mailboxes {
  /** By their ids. */
  readonly all = new Map<string, Mailbox>();
  readonly #context: Context;
  readonly #commands: Commands;
  readonly #requests: Requests;

  constructor(context: Context, commands: Commands, requests: Requests) {
    this.#context = context;
    this.#commands = commands;
    this.#requests = requests;
    for (const id of Object.keys(context.record.mailboxes)) this.get(id);
  }

  /** Returns the mailbox with this id. If there is none, it makes one that begins after this position. */
  get(id: string, position = 0): Mailbox {
    let mailbox = this.all.get(id);
    if (!mailbox) {
      const record = (this.#context.record.mailboxes[id] ??= { position, added: 0, sides: [] });
      const host = {
        side: () => this.#context.record.side,
        drop: (mailbox: Mailbox) => this.drop(mailbox),
        save: () => this.#context.save(),
      };
      mailbox = new Mailbox(id, record, { ...host, ...this.#requests });
      this.all.set(id, mailbox);
    }
    return mailbox;
  }

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
    if (kind === 'close') mailbox?.stay();
    else if (kind === 'reopen' && error?.code === 'NOT_FOUND') mailbox?.retire('pruned');
    else if (mailbox && (kind === 'reopen' || (kind === 'open' && !mailbox.opened && !this.#opening(command)))) this.drop(mailbox, error);
  }

  /** Whether another command opens the mailbox of this one. */
  #opening(one: Pick<Command, 'kind' | 'mailbox'>): boolean {
    return this.#commands.all.some(({ command }) => command !== one && command.kind === 'open' && command.mailbox === one.mailbox);
  }

  /** Forgets a mailbox, which ends its messages. */
  drop(mailbox: Mailbox, error?: RestanteError): void {
    this.all.delete(mailbox.id);
    delete this.#context.record.mailboxes[mailbox.id];
    mailbox.end(error);
    this.#context.save();
  }
}
