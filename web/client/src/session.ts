import { Memory, receive, type Moved, type Transport } from './auto.js';
import { Bell } from './bell.js';
import { Budget } from './budget.js';
import { Commands, type Command, type Entry } from './commands.js';
import { Http, type Answer } from './http.js';
import { inbox, type Inbox } from './inbox.js';
import { begin, store, type Ledger, type Store } from './ledger.js';
import type { Ask } from './line.js';
import { Mailbox, type Abortable, type Host } from './mailbox.js';
import { Subject, type Observable } from './observable.js';
import { platform, type Platform } from './platform.js';
import { failure, Lost, LUCK, RestanteError } from './problem.js';
import { Connected, NoConnection, type State } from './state.js';
import { tab, type Tab } from './tab.js';
import type { Added, Claim, Frame, Handshake, HandshakeReply, Messages, Mood, Nameplates, Opened, Welcome } from './wire.js';

/** How a session is begun, or resumed. */
export interface Options {
  /** Where the server is, for example `https://mail.example.org`. By default where the page comes from. */
  url?: string | URL;
  /** The application: both sides name the same one. */
  appId: string;
  /** Who to be in every mailbox. By default the server picks a random one. */
  side?: string;
  /** How frames are to arrive. By default (`auto`) by long-poll, and in a better way as soon as one has proven to work. */
  transport?: Transport | 'auto';
  /** Tells sessions of one page apart, if it has several. */
  name?: string;
  /** How long the server is to wait for a client that went silent, if longer than it does by itself. */
  graceMs?: number;
  /** For the server's operator: who says hello, and anything else. */
  hello?: Pick<Handshake, 'clientVersion' | 'metadata'>;
  /** Aborts connecting. A session that is connected is ended by `close` or `leave`. */
  signal?: AbortSignal;
  /** For tests. */
  platform?: Partial<Platform>;
}

/** Of this package. @internal */
export const VERSION = '0.1.0';

/** How long a handshake may take; the server says how long anything else may. */
const HANDSHAKE_MS = 15_000;

/**
 * Begins a session, or resumes the one that this tab had before it was reloaded. Rejects if the server refuses, or
 * cannot be reached in five tries; once connected, a session goes on trying.
 */
export async function connect(options: Options): Promise<Session> {
  options.signal?.throwIfAborted();
  const session = new Session(options);
  await session.ready(options.signal);
  return session;
}

/** A conversation with the server that outlives its connections, its transports and the page. */
export class Session {
  readonly appId: string;
  /** What the session does at the moment. */
  readonly state: Observable<State>;
  /** How frames arrive at the moment. */
  readonly transport: Observable<Transport>;
  /** The mailboxes that are open, by their ids. After a reload, those that were. */
  readonly mailboxes: ReadonlyMap<string, Mailbox>;
  /** Settles when the session is over: with the reason, if it did not end as it should. */
  readonly closed: Promise<RestanteError | undefined>;

  readonly #platform: Platform;
  readonly #options: Options;
  readonly #http: Http;
  readonly #store: Store;
  readonly #commands: Commands;
  #budget = new Budget();
  readonly #tab: Tab;
  readonly #transport = new Subject<Transport>('poll');
  #memory = new Memory();
  readonly #overHttp: Ask = (...request) => this.#http.ask(...request);
  readonly #wake = new Bell();
  readonly #over = new AbortController();
  readonly #state: Subject<State> = new Subject<State>(new NoConnection());
  readonly #mailboxes = new Map<string, Mailbox>();
  readonly #key: string;
  #via = this.#overHttp;
  #ledger: Ledger;
  #inbox: Inbox;
  #welcome: Welcome | undefined;
  #resumed = false;
  #suspended = false;
  #retryAfterMs = 0;

  /** @internal */
  constructor(options: Options) {
    const here = (this.#platform = platform(options.platform));
    const base = String(options.url ?? location.origin).replace(/\/$/, '');
    const key = `restante ${base} ${options.appId} ${options.name ?? ''}`;
    if (here.storage && here.sessions.has(key)) throw new TypeError('give this session another `name`');
    here.sessions.add(key);
    this.#key = key;
    this.#options = options;
    this.appId = options.appId;
    this.#http = new Http(here, base);
    this.#store = store(here.storage, key);
    this.#tab = tab(here);
    this.state = this.#state;
    this.transport = this.#transport;
    this.mailboxes = this.#mailboxes;
    this.closed = new Promise((resolve) =>
      this.#state.subscribe((state) => state.name === 'closed' && resolve(state.error)),
    );

    const stored = this.#store.ledger();
    if (!stored) this.#store.clear();
    this.#ledger = stored ?? begin(here, options.appId, options.side);
    this.#commands = new Commands(this.#store, this.#store.commands());
    const first = this.#commands.all[0];
    if (first && first.command.n === this.#ledger.sent) first.sent = true;
    else this.#ledger.sent = undefined; // its answer was taken in, and then the page crashed
    this.#inbox = this.#receiver();
    for (const id of Object.keys(this.#ledger.mailboxes)) this.#mailbox(id);

    for (const name of pageEvents) here.page?.addEventListener(name, this.#onPage, { signal: this.#over.signal });
    void this.#live();
  }

  /** Connected, with the answers to what was under way before a reload. @internal */
  async ready(signal?: AbortSignal): Promise<void> {
    const restored = this.#commands.all.map(({ command, answered }) => {
      const claimed = command.kind === 'allocate' || command.kind === 'claim';
      return (claimed ? this.#enter(answered) : answered).catch(() => {});
    });
    const connected = new Promise<void>((resolve) => this.#state.subscribe(({ name }) => name === 'connected' && resolve()));
    const stop = () => this.leave();
    signal?.addEventListener('abort', stop);
    await Promise.race([connected.then(() => Promise.all(restored)), this.closed]);
    signal?.removeEventListener('abort', stop);
    signal?.throwIfAborted();
    const state = this.#state.value;
    if (state.name === 'closed') throw state.error ?? left();
  }

  /** Who this session is in its mailboxes. */
  get side(): string {
    return this.#ledger.side ?? '';
  }
  /** Whether this is the session from before a reload. */
  get resumed(): boolean {
    return this.#resumed;
  }
  /** What the operator has to say: show `motd` and `error`, if they are there. */
  get welcome(): Welcome | undefined {
    return this.#welcome;
  }

  /** Takes a free number and opens the mailbox behind it. Tell the other side `mailbox.nameplate`. */
  async allocate({ ttlMs, signal }: Abortable & { ttlMs?: number } = {}): Promise<Mailbox> {
    return this.#enter(this.#do('allocate', 'POST', '/v1/nameplates', signal, undefined, JSON.stringify({ ttlMs })), signal);
  }

  /** Claims a number that the other side allocated, and opens the mailbox behind it. */
  async claim(nameplate: string, { ttlMs, signal }: Abortable & { ttlMs?: number } = {}): Promise<Mailbox> {
    const path = `/v1/nameplates/${encodeURIComponent(nameplate)}`;
    return this.#enter(this.#do('claim', 'PUT', path, signal, undefined, JSON.stringify({ ttlMs })), signal);
  }

  /** Opens a mailbox by an id that both sides know, beginning after the message at position `after`. */
  async open(id: string, { after = 0, ttlMs, signal }: Abortable & { after?: number; ttlMs?: number } = {}): Promise<Mailbox> {
    const mailbox = this.#mailbox(id, after);
    await this.#do('open', 'PUT', this.#opening(mailbox), signal, id, JSON.stringify({ ttlMs }));
    return mailbox;
  }

  /** The numbers that wait for a partner. */
  async list({ signal }: Abortable = {}): Promise<string[]> {
    const answer = (await this.#do('look', 'GET', '/v1/nameplates', signal)) as Nameplates;
    return answer.nameplates.map(({ id }) => id);
  }

  /** Ends the session, after all that was asked of it before, and leaves all mailboxes with this mood. */
  async close({ mood = 'happy', signal }: Abortable & { mood?: Mood } = {}): Promise<void> {
    await this.#do('end', 'DELETE', `/v1/session?mood=${mood}`, signal);
  }

  /** Stops at once, and tells nobody: the server waits for this tab to connect again. */
  leave(): void {
    this.#end(left(), true);
  }

  // ---------------------------------------------------------------- the life of a session

  /** Connects, again and again, until the session is closed. */
  async #live(): Promise<void> {
    for (let delay = 0; ; ) {
      const state = this.#state.value;
      if (state.name !== 'noConnection') return;
      let reason: unknown;
      try {
        await this.#attempt(state, delay);
      } catch (error) {
        reason = error;
      }
      delay = this.#lost(reason);
    }
  }

  /** From no connection to a connection, and to its end: it never returns otherwise than by throwing why. */
  async #attempt(idle: NoConnection, delay: number): Promise<never> {
    const { now } = this.#platform;
    while (this.#suspended) await this.#wake.heard(idle.signal);
    const waiting = this.#move(idle.backOff(now() + delay));
    if (delay > 0) await this.#wake.heard(waiting.signal, this.#platform, delay);
    const connecting = this.#move(waiting.connect());
    if (!(await this.#tab.hold(this.#ledger.tab, connecting.signal))) this.#restartAsCopy();
    const shaking = this.#move(connecting.handshake());
    const reply = await this.#shake(shaking.signal);
    const connected = this.#move(shaking.accept(reply));
    const line = {
      platform: this.#platform,
      http: this.#http,
      inbox: this.#inbox,
      sessionId: this.#ledger.sessionId,
      epoch: reply.epoch,
      signal: connected.signal,
      ask: this.#ask,
      heard: () => this.#budget.restore(),
    };
    return Promise.race([this.#send(connected), receive(line, this.#options.transport ?? 'auto', this.#memory, this.#moved)]);
  }

  /** What follows from the end of an attempt. Answers how long to wait before the next one. */
  #lost(reason: unknown): number {
    const state = this.#state.value;
    if (state.name === 'closed' || state.name === 'noConnection') return 0; // the page has seen to it
    const delay = Math.max(this.#budget.spend(this.#platform.random()), this.#retryAfterMs);
    this.#retryAfterMs = 0;
    const fatal = this.#fatal(reason);
    if (fatal) {
      this.#end(fatal, fatal.status === 403 || fatal.status === 0 || fatal.retriable);
      return 0;
    }
    if (reason instanceof RestanteError && reason.action === 'restart') this.#startOver(reason);
    this.#move(state.name === 'connected' ? state.lose(this.#platform.now()) : state.lose());
    return delay;
  }

  /** Whether there is no going on after this, and why. */
  #fatal(reason: unknown): RestanteError | undefined {
    const hopeless = this.#budget.empty && !this.#welcome;
    if (reason instanceof Lost) {
      return hopeless ? failure('UNREACHABLE', reason.message, 'retry') : undefined;
    }
    if (!(reason instanceof RestanteError)) return failure('INTERNAL', String(reason));
    // If nobody else can have the session, it was a handshake of our own that we took for lost, and that came late.
    if (reason.code === 'SUPERSEDED' && this.#tab.sole) return undefined;
    if (reason.action === 'restart') return reason.reason === 'replaced' ? reason : undefined;
    return reason.retriable && !hopeless ? undefined : reason;
  }

  async #shake(signal: AbortSignal): Promise<HandshakeReply> {
    const ledger = this.#ledger;
    const { hello, graceMs } = this.#options;
    const handshake: Handshake = {
      protocolVersion: '1',
      sessionId: ledger.sessionId,
      appId: ledger.appId,
      side: ledger.side,
      epoch: ledger.epoch || undefined,
      replaces: ledger.replaces,
      expectedSessionState: { nextExpectedSeq: ledger.frame, nextSentSeq: ledger.command },
      clientVersion: ['restante-client', VERSION],
      graceMs,
      ...hello,
    };
    this.#save(); // before it is sent: a session whose handshake was not answered must not be given up
    this.#http.identify(HANDSHAKE_MS);
    const { error, body, retryAfterMs } = await this.#http.ask(signal, 'POST', '/v1/sessions', JSON.stringify(handshake));
    this.#retryAfterMs = retryAfterMs;
    if (error?.action === 'reauth') Object.assign(error, { action: 'stop', retriable: false }); // we do no work
    if (error) throw error;
    const reply = body as HandshakeReply;
    this.#http.identify(reply.clientTimeoutMs, ledger.sessionId);
    this.#resumed ||= ledger.epoch > 0 && !this.#welcome;
    this.#welcome = reply.welcome;
    ledger.epoch = reply.epoch;
    ledger.side = reply.side;
    ledger.replaces = undefined;
    if (!this.#commands.all[0]?.sent) ledger.command = reply.nextExpectedSeq;
    this.#save();
    return reply;
  }

  /** The session is over on the server's side: another one takes its place, and goes on where it was. */
  #startOver(over: RestanteError): void {
    const { sessionId, side, tab, mailboxes, command } = this.#ledger;
    const received = over.nextExpectedSeq;
    this.#ledger = { ...begin(this.#platform, this.appId, side), tab, mailboxes, replaces: sessionId };
    this.#inbox = this.#receiver();
    const [first] = this.#commands.all;
    if (first?.sent) {
      first.sent = false;
      // To do any other command again changes nothing; at worst a number is taken in vain.
      if (first.command.kind === 'add') this.#commands.doubt(first, received === undefined || command < received);
    }
    const opening = new Set(this.#commands.all.map((entry) => entry.command.kind === 'open' && entry.command.mailbox));
    for (const mailbox of this.#mailboxes.values()) {
      if (mailbox.retired || opening.has(mailbox.id)) continue;
      this.#commands.unshift({ kind: 'reopen', method: 'PUT', path: this.#opening(mailbox), mailbox: mailbox.id });
    }
    this.#save();
  }

  /** Another tab has this session: this one is its copy, and begins one of its own. */
  #restartAsCopy(): void {
    for (const entry of this.#commands.all) {
      this.#commands.remove(entry);
      entry.reject(left()); // the other tab does it
    }
    for (const mailbox of [...this.#mailboxes.values()]) this.drop(mailbox);
    this.#store.clear();
    this.#ledger = begin(this.#platform, this.appId, this.#options.side);
    this.#inbox = this.#receiver();
  }

  #end(error: RestanteError | undefined, keep = false): void {
    const state = this.#state.value;
    if (state.name === 'closed') return;
    this.#over.abort();
    this.#tab.release();
    this.#platform.sessions.delete(this.#key);
    if (!keep) this.#store.clear();
    const closed = state.close(error);
    for (const entry of this.#commands.all) entry.reject(error ?? left());
    for (const mailbox of this.#mailboxes.values()) mailbox.end(error);
    this.#move(closed);
  }

  #move<Next extends State>(next: Next): Next {
    this.#state.set(next);
    return next;
  }

  #save(): void {
    if (this.#state.value.name !== 'closed') this.#store.save(this.#ledger);
  }

  // ---------------------------------------------------------------- the page

  readonly #onPage = (event: Event): void => {
    if (event.type === 'pagehide') {
      this.#suspended = true;
      this.#interrupt();
      this.#tab.release();
      return;
    }
    if (event.type === 'pageshow') this.#resume();
    if (event.type === 'online') {
      this.#memory = new Memory();
      this.#budget = new Budget(); // what failed says nothing of this network
      this.#interrupt(); // it was another network that the connection was made over
    }
    const state = this.#state.value;
    if (state.name === 'connected') this.#http.look(1.5 * state.reply.heartbeatIntervalMs);
    this.#wake.ring();
  };

  #interrupt(): void {
    const state = this.#state.value;
    if (state.name === 'connected') this.#move(state.lose(this.#platform.now()));
    else if (this.#suspended && state.name !== 'noConnection' && state.name !== 'closed') this.#move(state.lose());
  }

  /** The page is back. If another page of this tab has gone on with the session meanwhile, it is that one's. */
  #resume(): void {
    if (!this.#suspended) return;
    this.#suspended = false;
    const { sessionId, epoch } = this.#store.ledger() ?? this.#ledger;
    if (sessionId === this.#ledger.sessionId && epoch === this.#ledger.epoch) return;
    this.#end(failure('SUPERSEDED', 'another page has it'), true);
  }

  // ---------------------------------------------------------------- receiving

  readonly #moved: Moved = (to, ask) => {
    this.#via = ask ?? this.#overHttp;
    if (to !== this.#transport.value) this.#transport.set(to);
  };

  #receiver(): Inbox {
    const deliver = (frame: Frame, done: () => void) => {
      const mailbox = this.#mailboxes.get(frame.mailbox);
      if (mailbox) mailbox.take(frame, done);
      else done(); // it was closed
    };
    return inbox(this.#ledger, deliver, () => this.#save());
  }

  /** The handle of a mailbox, which is made if there is none. */
  #mailbox(id: string, position = 0): Mailbox {
    let mailbox = this.#mailboxes.get(id);
    if (!mailbox) {
      const held = (this.#ledger.mailboxes[id] ??= { position, added: 0, sides: [] });
      const host: Host = { side: () => this.#ledger.side, do: (...what) => this.#do(...what), drop: (m) => this.drop(m), save: () => this.#save() };
      mailbox = new Mailbox(id, held, host);
      this.#mailboxes.set(id, mailbox);
    }
    return mailbox;
  }

  /** @internal */
  drop(mailbox: Mailbox, error?: RestanteError): void {
    this.#mailboxes.delete(mailbox.id);
    delete this.#ledger.mailboxes[mailbox.id];
    mailbox.end(error);
    this.#save();
  }

  // ---------------------------------------------------------------- sending

  async #do(
    kind: Command['kind'],
    method: string,
    path: string,
    signal?: AbortSignal,
    mailbox = '',
    body?: string,
  ): Promise<unknown> {
    const state = this.#state.value;
    if (state.name === 'closed') throw state.error ?? left();
    return this.#commands.add({ kind, method, path, body, mailbox }, signal);
  }

  /** Sends the commands, one after the other, each until it is answered. */
  async #send({ signal }: Connected): Promise<never> {
    for (;;) {
      const entry = await this.#commands.first(signal);
      const { kind, method, path, body, doubtful } = entry.command;
      const known = kind === 'reopen' ? await this.#look(entry, signal) : doubtful ? await this.#find(entry, signal) : undefined;
      if (known) {
        await this.#answered(entry, known, signal);
        continue;
      }
      const seq = kind === 'look' ? undefined : this.#ledger.command;
      if (seq !== undefined && !entry.sent) {
        entry.sent = true;
        this.#ledger.sent = entry.command.n;
        this.#save();
      }
      const answer = await this.#ask(signal, method, path, body, seq);
      await this.#answered(entry, answer, signal);
    }
  }

  /** Asks, and once more if the answer was lost: a session does not notice connections, and one loss may be bad luck. */
  readonly #ask: Ask = async (signal, ...request) => {
    for (;;) {
      try {
        const answer = await this.#via(signal, ...request);
        this.#budget.restore();
        return answer;
      } catch (error) {
        if (!(error instanceof Lost && error.status === LUCK && this.#budget.full)) throw error;
        await this.#wake.heard(signal, this.#platform, this.#budget.spend(this.#platform.random()));
      }
    }
  };

  /** Looks before a mailbox is opened again, as to open one that is gone would make another. */
  async #look(entry: Entry, signal: AbortSignal): Promise<Answer | undefined> {
    const answer = await this.#ask(signal, 'GET', entry.command.path.replace(/\?.*/, ''));
    return answer.error && answer;
  }

  /**
   * Looks whether a message was added by a session that is over. If so, it is the first of ours after the last that
   * was answered, as commands are sent one at a time.
   */
  async #find(entry: Entry, signal: AbortSignal): Promise<Answer | undefined> {
    const held = this.#ledger.mailboxes[entry.command.mailbox];
    for (let after = held?.added ?? 0; ; ) {
      const answer = await this.#ask(signal, 'GET', `${entry.command.path}?after=${after}`);
      if (answer.error) return answer;
      const { messages, lastPosition } = answer.body as Messages;
      const ours = messages.find(({ side }) => side === this.side);
      if (ours) return { ...answer, body: { position: ours.position, serverRx: ours.serverRx } };
      after = messages.at(-1)?.position ?? lastPosition;
      if (after < lastPosition) continue;
      this.#commands.doubt(entry, false);
      return undefined;
    }
  }

  async #answered(entry: Entry, answer: Answer, signal: AbortSignal): Promise<void> {
    const { error, body, ack, retryAfterMs } = answer;
    if (error?.code === 'SEQ_GAP') error.action = 'restart'; // we miss none: the server has forgotten what it answered
    if (error && (error.code === 'SEQ_REUSED' || !['retry', 'slow_down', 'stop'].includes(error.action))) throw error;
    if (error?.retriable && error.code !== 'QUOTA_EXCEEDED' && error.code !== 'WINDOW_FULL') {
      await this.#wake.heard(signal, this.#platform, Math.max(this.#budget.spend(this.#platform.random()), retryAfterMs));
      return;
    }
    const held = this.#ledger.mailboxes[entry.command.mailbox];
    if (error?.code === 'WINDOW_FULL' && held) {
      const path = entry.command.path.replace(/\?.*/, '');
      const seen = await this.#ask(signal, 'GET', path);
      if (!seen.error) {
        held.behind = (seen.body as Opened).lastPosition;
        entry.command.path = `${path}?after=${held.behind}`;
        this.#save();
        this.#commands.doubt(entry, false); // which keeps it as it is now
        return; // and it is sent again
      }
    }
    this.#commands.remove(entry);
    if (entry.sent) {
      this.#ledger.command = ack || this.#ledger.command;
      this.#ledger.sent = undefined;
    }
    this.#apply(entry.command, body, error);
    this.#save();
    if (error) entry.reject(error);
    else entry.resolve(body);
  }

  /** What the session makes of an answer. */
  #apply({ kind, mailbox: id }: Command, body: unknown, error?: RestanteError): void {
    const mailbox = this.#mailboxes.get(id);
    const held = this.#ledger.mailboxes[id];
    if (error) {
      if (kind === 'reopen' && error.code === 'NOT_FOUND') mailbox?.retire('pruned');
      else if (mailbox && (kind === 'open' || kind === 'reopen')) this.drop(mailbox, error);
      return;
    }
    switch (kind) {
      case 'allocate':
      case 'claim': {
        const { mailbox, nameplate } = body as Claim;
        this.#mailbox(mailbox);
        this.#ledger.mailboxes[mailbox]!.nameplate = nameplate;
        break;
      }
      case 'open':
      case 'reopen': {
        const { sides, lastPosition } = body as Opened;
        if (held && kind === 'open') held.added = lastPosition;
        mailbox?.occupied(sides);
        break;
      }
      case 'add':
        if (held) held.added = (body as Added).position;
        break;
      case 'release':
        delete held?.nameplate;
        break;
      case 'close':
        if (mailbox) this.drop(mailbox);
        break;
      case 'end':
        this.#end(undefined);
    }
  }

  /** The path that opens a mailbox after what was processed of it. */
  #opening({ id, path }: Mailbox): string {
    return `${path}?after=${this.#ledger.mailboxes[id]?.position}`;
  }

  /** Opens the mailbox behind a number. */
  async #enter(claim: Promise<unknown>, signal?: AbortSignal): Promise<Mailbox> {
    return this.open(((await claim) as Claim).mailbox, { signal });
  }
}

const pageEvents = ['pagehide', 'pageshow', 'online', 'visibilitychange'];

function left(): RestanteError {
  return failure('LEFT', 'the session is closed');
}
