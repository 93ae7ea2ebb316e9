import type { Commands, Pending } from './commands.js';
import type { Request } from './connection.js';
import type { Context } from './context.js';
import type { Mailboxes } from './mailboxes.js';
import { clientError, ConnectionLost, TRANSIENT } from './problem.js';
import type { Reply } from './reply.js';
import type { Added, AllAdded, Claim, Draft, Messages, Opened, SessionView } from './schemas.js';
import type { Command } from './store.js';

/** The refusals that use up the number of their command, as a success does. */
const FINAL = ['CROWDED', 'RECLAIMED', 'NOT_OPEN', 'NOT_FOUND', 'REPLY_FORGOTTEN'];
/** The pages of proxies, from 400 to 499, that are not about the command: to sign in, or to come again. */
const OTHERS = [401, 407, 408, 425, 429];
/** After so many other ones it is given up: it may be refused for its text, and so for ever. */
const PAGES = 3;

/** Sends the commands of a session, one after the other, each until it is answered, and takes in their results. */
export class Sender {
  readonly #context: Context;
  readonly #commands: Commands;
  readonly #mailboxes: Mailboxes;
  readonly #onEnd: () => void;
  #via: Request;

  /** `onEnd` is called when the server has ended the session, as it was asked to. */
  constructor(context: Context, commands: Commands, mailboxes: Mailboxes, onEnd: () => void) {
    this.#context = context;
    this.#commands = commands;
    this.#mailboxes = mailboxes;
    this.#onEnd = onEnd;
    this.#via = this.#overHttp;
  }

  readonly #overHttp: Request = (...request) => this.#context.http.request(...request);

  /** Sends later requests this way, or over HTTP. */
  use(way: Request | undefined): void {
    this.#via = way ?? this.#overHttp;
  }

  /** Sends commands until the connection is lost. */
  async run(signal: AbortSignal): Promise<never> {
    for (;;) {
      const entry = await this.#commands.first(signal);
      try {
        const known = await this.#known(entry, signal);
        if (!this.#commands.all.includes(entry)) continue; // it was taken back meanwhile
        await this.#answered(entry, known ?? (await this.#send(entry, signal)), signal);
      } catch (error) {
        const { status, message } = error as ConnectionLost;
        if (error instanceof ConnectionLost && status >= 400 && status < 500 && !OTHERS.includes(status) && ++entry.pages === PAGES) {
          const refused = clientError(status === 413 ? 'PAYLOAD_TOO_LARGE' : 'UNREACHABLE', message, 'stop', status);
          this.#settle(entry, { ack: 0, body: undefined, error: refused });
        }
        throw error; // the next handshake tells whether its number is used up
      }
    }
  }

  /** Sends a request, and once more if its answer was lost: the session does not notice, and one loss may be bad luck. */
  readonly request: Request = async (signal, ...request) => {
    const { backoff, wake, platform } = this.#context;
    for (;;) {
      try {
        const reply = await this.#via(signal, ...request);
        if (!reply.error?.retriable) backoff.succeed();
        return reply;
      } catch (error) {
        if (!(error instanceof ConnectionLost && error.status === TRANSIENT && backoff.fresh)) throw error;
        await wake.wait(signal, platform, backoff.fail(platform.random()));
      }
    }
  };

  async #send(entry: Pending, signal: AbortSignal): Promise<Reply> {
    const { record } = this.#context;
    const { kind, method, path, body, n } = entry.command;
    const seq = kind === 'query' ? undefined : record.command;
    if (seq !== undefined && !entry.sent) {
      entry.sent = entry.tried = true;
      record.sent = n;
      this.#context.save();
    }
    return this.request(signal, method, path, body, seq);
  }

  /** Returns the reply of a command that needs not be sent. */
  async #known(entry: Pending, signal: AbortSignal): Promise<Reply | undefined> {
    const { kind } = entry.command;
    if (kind === 'reopen') return this.#gone(entry, signal);
    if (kind === 'open') return this.#begin(entry, signal);
    return entry.command.doubtful ? this.#find(entry, signal) : undefined;
  }

  /** Returns the refusal if a mailbox that is to be opened again is gone: to open it would make another. */
  async #gone({ command }: Pending, signal: AbortSignal): Promise<Reply | undefined> {
    const reply = await this.request(signal, 'GET', command.path.replace(/\?.*/, ''));
    return reply.error && reply;
  }

  /** Asks which frames are about a mailbox that is to be opened, if that is not clear. Returns the refusal if that is refused. */
  async #begin({ command: { mailbox }, sent }: Pending, signal: AbortSignal): Promise<Reply | undefined> {
    if (sent || !this.#mailboxes.unclear(mailbox)) return undefined;
    const reply = await this.request(signal, 'GET', '/v1/session');
    if (reply.error) return reply;
    this.#mailboxes.begin(mailbox, (reply.body as SessionView).nextFrameSeq);
    return undefined;
  }

  /**
   * Looks whether a message was added by a session that is over. If so, it is the first of this side after the last that
   * was answered, as commands are sent one at a time; one of another text was added by another page. Messages that were added
   * together follow it.
   */
  async #find(entry: Pending, signal: AbortSignal): Promise<Reply | undefined> {
    const { command } = entry;
    const draft = [JSON.parse(command.body!) as Draft | Draft[]].flat()[0]!;
    for (let after = this.#mailboxes.record(command.mailbox)?.added ?? 0; ; ) {
      const reply = await this.request(signal, 'GET', `${command.path}?after=${after}`);
      if (reply.error) return reply;
      const { messages, lastPosition } = reply.body as Messages;
      const found = messages.find(({ side, phase, body }) => side === this.#context.record.side && phase === draft.phase && body === draft.body);
      if (found) return { ...reply, body: addReply(command, found) };
      after = messages.at(-1)?.position ?? lastPosition;
      if (after < lastPosition) continue;
      this.#commands.setDoubtful(entry, false);
      return undefined;
    }
  }

  async #answered(entry: Pending, reply: Reply, signal: AbortSignal): Promise<void> {
    const { backoff, wake, platform } = this.#context;
    const { error } = reply;
    if (error?.code === 'SEQ_GAP') error.action = 'restart'; // no command is missing here: the server has forgotten what it answered
    if (error && (error.code === 'SEQ_REUSED' || !['retry', 'slow_down', 'stop'].includes(error.action))) throw error;
    if (error?.retriable && error.code !== 'QUOTA_EXCEEDED' && error.code !== 'WINDOW_FULL') {
      await wake.pause(signal, platform, backoff.fail(platform.random()), error.retryAfterMs);
      return;
    }
    if (error?.code === 'WINDOW_FULL' && (await this.#openLater(entry, signal))) return;
    this.#settle(entry, reply);
  }

  /** Takes in the end of a command, and tells its caller. */
  #settle(entry: Pending, { error, body, ack }: Reply): void {
    const { record } = this.#context;
    try {
      if (error) this.#mailboxes.refused(entry.command, error);
      else this.#done(entry.command, body);
      if (entry.sent) {
        record.command = ack || record.command + Number(!error || FINAL.includes(error.code));
        record.sent = undefined;
      }
      this.#commands.remove(entry); // before the record is kept: what is kept, and does not count as sent, is sent
      this.#context.save();
    } catch (failure) {
      entry.reject(clientError('INTERNAL', String(failure)));
      throw failure;
    }
    if (error) entry.reject(error);
    else entry.resolve(body);
    if (entry.command.kind === 'end' && !error) this.#onEnd();
  }

  /** Has a mailbox whose log is too long to be sent opened after its last message. Reports whether that can be tried. */
  async #openLater(entry: Pending, signal: AbortSignal): Promise<boolean> {
    const { command } = entry;
    const mailbox = this.#mailboxes.record(command.mailbox);
    if (!mailbox) return false;
    const path = command.path.replace(/\?.*/, '');
    const view = await this.request(signal, 'GET', path);
    if (view.error) return false;
    mailbox.behind = (view.body as Opened).lastPosition;
    command.path = this.#mailboxes.openingAfter(path, mailbox.behind);
    this.#context.save();
    this.#commands.setDoubtful(entry, false); // which stores it as it is now
    return true;
  }

  /** What the session makes of a result. */
  #done({ kind, mailbox: id }: Command, result: unknown): void {
    const mailbox = this.#mailboxes.all.get(id);
    const stored = this.#mailboxes.record(id);
    switch (kind) {
      case 'allocate':
      case 'claim': {
        const { mailbox, nameplate } = result as Claim;
        this.#mailboxes.get(mailbox);
        this.#mailboxes.record(mailbox)!.nameplate = nameplate;
        break;
      }
      case 'open':
      case 'reopen': {
        const { sides, lastPosition } = result as Opened;
        const opened = kind === 'open' ? this.#mailboxes.get(id) : mailbox; // it may have been retired meanwhile
        if (kind === 'open') this.#mailboxes.record(id)!.added = lastPosition;
        opened?.learnSides(sides);
        break;
      }
      case 'add':
        if (stored) stored.added = (result as Added).position ?? (result as AllAdded).positions.at(-1);
        break;
      case 'release':
        delete stored?.nameplate;
        break;
      case 'close':
        if (mailbox) this.#mailboxes.drop(mailbox);
    }
  }
}

/** The reply to a command that added messages, of which this is the first. */
function addReply({ body }: Command, { position, serverRx }: Added): Added | AllAdded {
  const drafts = JSON.parse(body!) as Draft | Draft[];
  return Array.isArray(drafts) ? { positions: drafts.map((_, i) => position + i), serverRx } : { position, serverRx };
}
