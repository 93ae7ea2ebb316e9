import type { Commands } from './commands.js';
import type { Connection } from './connection.js';
import type { Context } from './context.js';
import type { Credential } from './credential.js';
import type { Handshakes } from './handshake.js';
import { inbox, type Inbox } from './inbox.js';
import type { Mailboxes } from './mailboxes.js';
import { Subject } from './observable.js';
import { clientError, ConnectionLost, RestanteError, sessionLeft } from './problem.js';
import type { Frame } from './schemas.js';
import type { Sender } from './sender.js';
import { NoConnection, type State } from './state.js';
import { newRecord, type SessionRecord } from './store.js';
import { tabLock } from './tablock.js';
import { receive, TransportHistory, type OnTransport, type Transport } from './transport.js';

/** The refusals that say that the session is another client's. */
const NOT_OURS = ['SESSION_IDENTITY_MISMATCH', 'SIDE_TAKEN', 'SUPERSEDED', 'SEQ_REUSED'];
const PAGE_EVENTS = ['pagehide', 'pageshow', 'online', 'visibilitychange'];

/** What a session is made of. */
interface Parts {
  handshakes: Handshakes;
  commands: Commands;
  mailboxes: Mailboxes;
  sender: Sender;
  credential: Credential;
}

/** The life of a session: it connects, again and again, until the session is closed. */
export class Lifecycle {
  readonly state = new Subject<State>(new NoConnection());
  readonly transport = new Subject<Transport>('poll');
  readonly #context: Context;
  readonly #parts: Parts;
  readonly #tabLock;
  readonly #over = new AbortController();
  #history = new TransportHistory();
  #inbox: Inbox;
  /** The page is in the back/forward cache, or about to be unloaded. */
  #suspended = false;
  /** What was stored then. */
  #stored: SessionRecord | undefined;

  constructor(context: Context, parts: Parts) {
    this.#context = context;
    this.#parts = parts;
    this.#tabLock = tabLock(context.platform);
    this.#inbox = this.#newInbox();
  }

  /** Begins, and listens to the page. */
  start(): void {
    for (const name of PAGE_EVENTS) this.#context.platform.page?.addEventListener(name, this.#onPage, { signal: this.#over.signal });
    void this.#run();
  }

  /** Closes the session, for a reason if it did not end as it should. With `keep`, what is stored stays. */
  end(error: RestanteError | undefined, keep = false): void {
    const state = this.state.value;
    if (state.name === 'closed') return;
    this.#over.abort();
    this.#tabLock.release();
    this.#context.close(error, keep);
    const closed = state.close(error);
    for (const entry of this.#parts.commands.all) entry.reject(error ?? sessionLeft());
    for (const mailbox of this.#parts.mailboxes.all.values()) mailbox.end(error);
    this.#enter(closed);
  }

  async #run(): Promise<void> {
    for (let delay = 0, asked = 0; ; ) {
      const state = this.state.value;
      if (state.name !== 'noConnection') return;
      let reason: unknown;
      try {
        await this.#attempt(state, delay, asked);
      } catch (error) {
        reason = error;
      }
      asked = (reason as Partial<ConnectionLost>).retryAfterMs ?? 0;
      delay = this.#onLost(reason);
    }
  }

  /** Connects after a delay, and after what the server asked for, and goes on until the connection is lost: it throws why. */
  async #attempt(idle: NoConnection, delay: number, asked: number): Promise<never> {
    const { platform, wake, options, http, backoff } = this.#context;
    const { handshakes, commands, sender } = this.#parts;
    while (this.#suspended) await wake.wait(idle.signal);
    const waiting = this.#enter(idle.backOff(platform.now() + Math.max(delay, asked)));
    await wake.pause(waiting.signal, platform, delay, asked);
    const connecting = this.#enter(waiting.connect());
    const acquire = () => this.#tabLock.acquire(this.#context.record.tab, connecting.signal);
    if (!(await acquire())) {
      this.#restartAsCopy();
      await acquire(); // so that a copy of this tab notices, too
    }
    const handshaking = this.#enter(connecting.handshake());
    const reply = await handshakes.send(handshaking.signal, commands.all[0]?.sent ?? false);
    const connected = this.#enter(handshaking.accept(reply));
    const connection: Connection = {
      platform,
      http,
      inbox: this.#inbox,
      sessionId: this.#context.record.sessionId,
      epoch: reply.epoch,
      signal: connected.signal,
      request: sender.request,
      alive: () => backoff.succeed(),
    };
    return Promise.race([
      sender.run(connected.signal),
      receive(connection, options.transport ?? 'auto', this.#history, this.#onTransport),
    ]);
  }

  readonly #onTransport: OnTransport = (transport, request) => {
    this.#parts.sender.use(request);
    if (transport !== this.transport.value) this.transport.set(transport);
  };

  /** Does what follows from the end of an attempt. Returns how long to wait before the next one. */
  #onLost(reason: unknown): number {
    const state = this.state.value;
    const { backoff, platform } = this.#context;
    if (state.name === 'closed' || state.name === 'noConnection') return 0; // the page has caused it
    const delay = backoff.fail(platform.random());
    const fatal = this.#fatal(reason);
    if (fatal) {
      this.end(fatal, this.#resumable(fatal));
      return 0;
    }
    if (reason instanceof RestanteError && reason.action === 'restart') this.#restart(reason);
    this.#enter(state.name === 'connected' ? state.lose(platform.now()) : state.lose());
    return delay;
  }

  /** Returns why the session cannot go on after this, if it cannot. */
  #fatal(reason: unknown): RestanteError | undefined {
    const hopeless = this.#context.backoff.exhausted && !this.#parts.handshakes.welcome;
    if (reason instanceof ConnectionLost) {
      return hopeless ? clientError('UNREACHABLE', reason.message, 'retry') : undefined;
    }
    if (!(reason instanceof RestanteError)) return clientError('INTERNAL', String(reason));
    // If no other tab can have the session, it was a handshake of this one that was taken for lost, and came late.
    if (reason.code === 'SUPERSEDED' && this.#tabLock.held) return undefined;
    if (reason.action === 'restart') return reason.reason === 'replaced' ? reason : undefined;
    return reason.retriable && !hopeless ? undefined : reason;
  }

  /** Whether another page may go on with what is stored. It may not if the session is another client's, or never began. */
  #resumable({ code, reason, status }: RestanteError): boolean {
    const { epoch, replaces } = this.#context.record;
    const neverBegan = status === 400 && epoch === 0 && replaces === undefined;
    return !neverBegan && reason !== 'replaced' && !NOT_OURS.includes(code);
  }

  /** The session is over on the server's side: another one takes its place, and goes on where it was. */
  #restart(over: RestanteError): void {
    const { platform, options, record } = this.#context;
    const { commands, handshakes, mailboxes } = this.#parts;
    const { sessionId, side, tab, command, sent } = record;
    const received = over.nextExpectedSeq;
    const first = commands.all[0];
    const unsure = !handshakes.welcome && sent === undefined; // if the storage was full, the record may not say that it was sent
    const maybeDone = (first?.sent || unsure) && (received === undefined || command < received);
    // To do any but an add again changes nothing; at worst a number is taken in vain.
    if (maybeDone && first?.command.kind === 'add') commands.setDoubtful(first, true);
    if (first) first.sent = false;
    this.#context.record = { ...newRecord(platform, options.appId, side), tab, mailboxes: record.mailboxes, replaces: sessionId };
    this.#inbox = this.#newInbox();
    const opening = new Set(commands.all.map((entry) => entry.command.kind === 'open' && entry.command.mailbox));
    mailboxes.forgetNews();
    for (const mailbox of mailboxes.all.values()) {
      if (mailbox.retired || opening.has(mailbox.id)) continue;
      commands.unshift({ kind: 'reopen', method: 'PUT', path: mailboxes.openingPath(mailbox), mailbox: mailbox.id });
    }
    this.#context.save();
  }

  /** Another tab has this session: this one is its copy, and begins one of its own. */
  #restartAsCopy(): void {
    const { platform, options, store } = this.#context;
    const { commands, mailboxes } = this.#parts;
    for (const entry of commands.all) {
      commands.remove(entry);
      entry.reject(sessionLeft()); // the other tab does it
    }
    for (const mailbox of [...mailboxes.all.values()]) mailboxes.drop(mailbox);
    mailboxes.forgetNews();
    store.clear();
    this.#context.record = newRecord(platform, options.appId, options.side);
    this.#inbox = this.#newInbox();
  }

  #newInbox(): Inbox {
    const { mailboxes } = this.#parts;
    const deliver = (frame: Frame, done: () => void): boolean => {
      if (frame.type !== 'rehandshake') return mailboxes.deliver(frame, done);
      this.#renew();
      done();
      return false;
    };
    return inbox(this.#context.record, deliver, () => this.#context.save());
  }

  /** The server asks for a newer token. */
  #renew(): void {
    const state = this.state.value;
    const { credential, sender } = this.#parts;
    if (state.name === 'connected') void credential.renew(state.signal, sender.request);
  }

  #enter<Next extends State>(next: Next): Next {
    this.state.set(next);
    return next;
  }

  readonly #onPage = (event: Event): void => {
    const { backoff, http, wake } = this.#context;
    if (event.type === 'pagehide') {
      this.#suspended = true;
      this.#stored = this.#context.store.record(); // where it could not be written, it is older than the record
      this.#interrupt();
      this.#tabLock.release();
      return;
    }
    if (event.type === 'pageshow') this.#resume();
    if (event.type === 'online') {
      this.#history = new TransportHistory();
      backoff.reset(); // what failed says nothing about this network
      this.#interrupt(); // what is under way, or waited for, is about another network
    }
    const state = this.state.value;
    if (state.name === 'connected') http.check(1.5 * state.reply.heartbeatIntervalMs);
    wake.notify();
  };

  #interrupt(): void {
    const state = this.state.value;
    if (state.name === 'connected') this.#enter(state.lose(this.#context.platform.now()));
    else if (state.name !== 'noConnection' && state.name !== 'closed') this.#enter(state.lose());
  }

  /** The page is back. If another page of this tab has gone on with the session meanwhile, this one stops. */
  #resume(): void {
    if (!this.#suspended) return;
    this.#suspended = false;
    const { store, record } = this.#context;
    const now = store.record();
    if (!now || [this.#stored, record].some((own) => own?.sessionId === now.sessionId && own.epoch === now.epoch)) return;
    this.end(clientError('SUPERSEDED', 'another page has it'), true);
  }
}
