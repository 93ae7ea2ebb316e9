import { Commands } from './commands.js';
import { Context } from './context.js';
import { Credential } from './credential.js';
import { Handshakes } from './handshake.js';
import { Lifecycle } from './lifecycle.js';
import { checkId } from './limits.js';
import type { Abortable, Mailbox } from './mailbox.js';
import { Mailboxes } from './mailboxes.js';
import type { Observable } from './observable.js';
import type { Options } from './options.js';
import { rethrow, sessionLeft, type RestanteError } from './problem.js';
import type { Claim, Mood, Nameplates, SessionView, Welcome } from './schemas.js';
import { Sender } from './sender.js';
import type { State } from './state.js';
import type { Command } from './store.js';
import type { Transport } from './transport.js';

/**
 * Begins a session, or resumes the one that this tab had before it was reloaded. If that one was to be closed, and this was not
 * answered, it is ended first. Rejects if the server refuses, or cannot be reached in five tries; once connected, a session goes
 * on trying.
 */
export async function connect(options: Options): Promise<Session> {
  options.signal?.throwIfAborted();
  const session = new Session(options);
  if (await session.ready(options.signal)) return session;
  const next = new Session(options);
  if (!(await next.ready(options.signal))) throw sessionLeft();
  return next;
}

/** The numbers of a session as this client has them. */
export interface Progress {
  /** The number of the next command. */
  nextCommand: number;
  /** The next frame that is wanted. */
  nextFrame: number;
  /** The handshakes so far. */
  epoch: number;
}

/** A conversation with the server that outlives its connections, its transports and the page. */
export class Session {
  readonly appId: string;
  /** What the session does now. */
  readonly state: Observable<State>;
  /** How frames arrive now. */
  readonly transport: Observable<Transport>;
  /** The mailboxes that are open, by their ids. After a reload, those that were. */
  readonly mailboxes: ReadonlyMap<string, Mailbox>;
  /** Resolves when the session is over: with the reason, if it did not end as it should. */
  readonly closed: Promise<RestanteError | undefined>;

  readonly #context: Context;
  readonly #commands: Commands;
  readonly #handshakes: Handshakes;
  readonly #mailboxes: Mailboxes;
  readonly #lifecycle: Lifecycle;

  /** @internal */
  constructor(options: Options) {
    const context = (this.#context = new Context(options));
    const { store, record } = context;
    const commands = (this.#commands = new Commands(store, store.commands()));
    const first = commands.all[0];
    if (first && first.command.n === record.sent) first.sent = true; // otherwise its answer was taken in, and then the page crashed
    const credential = new Credential(context);
    const handshakes = (this.#handshakes = new Handshakes(context, credential));
    const mailboxes = (this.#mailboxes = new Mailboxes(context, commands, (...what) => this.#do(...what)));
    const sender = new Sender(context, commands, mailboxes, () => this.#lifecycle.end(undefined));
    this.#lifecycle = new Lifecycle(context, { handshakes, commands, mailboxes, sender, credential });
    this.appId = options.appId;
    this.state = this.#lifecycle.state;
    this.transport = this.#lifecycle.transport;
    this.mailboxes = mailboxes.all;
    this.closed = new Promise((resolve) => this.state.subscribe((state) => state.name === 'closed' && resolve(state.error)));
    this.#lifecycle.start();
  }

  /**
   * Waits until it is connected, and has the answers to what was under way before a reload. Reports whether it goes on: false if it
   * was to be closed then. @internal
   */
  async ready(signal?: AbortSignal): Promise<boolean> {
    const restored = this.#commands.all.map(({ command, result }) => {
      const claimed = command.kind === 'allocate' || command.kind === 'claim';
      return (claimed ? result.then(this.#openClaimed) : result).catch(() => {});
    });
    const connected = new Promise<void>((resolve) => this.state.subscribe(({ name }) => name === 'connected' && resolve()));
    const stop = () => this.leave();
    signal?.addEventListener('abort', stop);
    await Promise.race([connected.then(() => Promise.all(restored)), this.closed]);
    signal?.removeEventListener('abort', stop);
    signal?.throwIfAborted();
    const state = this.state.value;
    if (state.name === 'closed' && state.error) throw state.error;
    return state.name !== 'closed';
  }

  /** The side that this session is in its mailboxes. */
  get side(): string {
    return this.#context.record.side ?? '';
  }
  /** Whether this is the session from before a reload. */
  get resumed(): boolean {
    return this.#handshakes.resumed;
  }
  /** What the operator wants people to read: show `motd` and `error`, if they are there. */
  get welcome(): Welcome | undefined {
    return this.#handshakes.welcome;
  }
  /** The numbers of the session as this client has them. */
  get progress(): Progress {
    const { command, frame, epoch } = this.#context.record;
    return { nextCommand: command, nextFrame: frame, epoch };
  }

  /** Asks the server how it sees the session. Does not wait for commands, and rejects if there is no answer. */
  async inspect({ signal }: Abortable = {}): Promise<SessionView> {
    const { error, body } = await this.#context.http.request(signal ?? new AbortController().signal, 'GET', '/v1/session').catch(rethrow);
    if (error) throw error;
    return body as SessionView;
  }

  /** Allocates a nameplate and opens the mailbox behind it. Tell the other side `mailbox.nameplate`. */
  async allocate({ ttlMs, signal }: Abortable & { ttlMs?: number } = {}): Promise<Mailbox> {
    return this.#add({ kind: 'allocate', method: 'POST', path: '/v1/nameplates', mailbox: '', body: JSON.stringify({ ttlMs }) }, signal, this.#openClaimed);
  }

  /** Claims a nameplate that the other side allocated, and opens the mailbox behind it. */
  async claim(nameplate: string, { ttlMs, signal }: Abortable & { ttlMs?: number } = {}): Promise<Mailbox> {
    checkId('nameplate', nameplate);
    const path = `/v1/nameplates/${encodeURIComponent(nameplate)}`;
    return this.#add({ kind: 'claim', method: 'PUT', path, mailbox: '', body: JSON.stringify({ ttlMs }) }, signal, this.#openClaimed);
  }

  /** Opens a mailbox by an id that both sides know, beginning after the message at position `after`. */
  async open(id: string, { after = 0, ttlMs, signal }: Abortable & { after?: number; ttlMs?: number } = {}): Promise<Mailbox> {
    checkId('id', id);
    const before = this.#mailboxes.all.get(id);
    while (before?.closing) await before.changed.wait(signal); // what comes until then is not for the next one
    signal?.throwIfAborted();
    const { path } = this.#mailboxes.get(id, after);
    // Where it is open already, its position says nothing to the server: it may have been retired, and its log begins at 1 again.
    await this.#do('open', 'PUT', this.#mailboxes.openingAfter(path, after), signal, id, JSON.stringify({ ttlMs }));
    return this.#mailboxes.all.get(id)!;
  }

  /** Lists the nameplates that wait for a partner. */
  async list({ signal }: Abortable = {}): Promise<string[]> {
    const { nameplates } = (await this.#do('query', 'GET', '/v1/nameplates', signal)) as Nameplates;
    return nameplates.map(({ id }) => id);
  }

  /** Ends the session, after all that was asked of it before, and closes all mailboxes with this mood. */
  async close({ mood = 'happy', signal }: Abortable & { mood?: Mood } = {}): Promise<void> {
    await this.#do('end', 'DELETE', `/v1/session?mood=${mood}`, signal);
  }

  /** Stops at once, and does not tell the server, which waits for this tab to connect again. */
  leave(): void {
    this.#lifecycle.end(sessionLeft(), true);
  }

  async #do(kind: Command['kind'], method: string, path: string, signal?: AbortSignal, mailbox = '', body?: string): Promise<unknown> {
    return this.#add({ kind, method, path, body, mailbox }, signal, (result) => result);
  }

  async #add<T>(what: Omit<Command, 'n'>, signal: AbortSignal | undefined, then: (result: unknown) => T | Promise<T>): Promise<T> {
    this.#context.throwIfClosed();
    return this.#commands.add(what, signal, () => this.#mailboxes.refused(what), then);
  }

  /** Opens the mailbox behind a nameplate, also if the caller no longer waits for it. */
  readonly #openClaimed = (claim: unknown): Promise<Mailbox> => this.open((claim as Claim).mailbox);
}
