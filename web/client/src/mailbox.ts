import { Condition } from './condition.js';
import { checkDraft, checkDrafts } from './limits.js';
import { Subject, type Observable } from './observable.js';
import type { RestanteError } from './problem.js';
import type { Added, AllAdded, Draft, Frame, Message, MessageFrame, Messages, Mood, Occupant } from './schemas.js';
import type { Command, MailboxRecord } from './store.js';

/** An option of every call. */
export interface Abortable {
  /** Aborts the call. A command that was sent is done all the same. */
  signal?: AbortSignal | undefined;
}

/** Sends commands. @internal */
export interface Requests {
  do(kind: Command['kind'], method: string, path: string, signal?: AbortSignal, mailbox?: string, body?: string): Promise<unknown>;
}

/** What a mailbox needs of its session. @internal */
export interface Host extends Requests {
  readonly side: string | undefined;
  /** The mailbox is gone, and all of it was read. */
  drop(mailbox: Mailbox): void;
  /** Throws if another mailbox has the id of this one by now. */
  check(mailbox: Mailbox): void;
  save(): void;
}

/** A message that is not processed yet. */
interface Delivery {
  message: Message;
  done(): void;
}

/** A mailbox that is open. */
export class Mailbox {
  readonly id: string;
  /**
   * The sides that are, or were, in it; with a mood once they closed. If the session was told to ask for `presence`, each has a
   * `state`, and a `reason` while it is away; if for `receipts`, the position up to which it has `received` messages.
   */
  readonly sides: Observable<readonly Occupant[]>;
  /** How often it was told that a third side was refused: at most once a minute, if the session asks for `presence`. */
  readonly crowded: Observable<number>;
  /** Whether this session has it open, as far as is known. @internal */
  opened: boolean;
  /** It is retired, and after a reload its last frames have yet to come again. @internal */
  unfinished = false;
  /** A loop reads it. @internal */
  reading = false;
  /** @internal */
  readonly path: string;
  /** Notified when there may be something to read, or no more. @internal */
  readonly changed = new Condition();
  readonly #host: Host;
  readonly #record: MailboxRecord;
  readonly #sides: Subject<readonly Occupant[]>;
  readonly #crowded = new Subject(0);
  /** The sides of which frames have told in this session: what a reply says of them may be older. */
  readonly #news = new Set<string>();
  #deliveries: Delivery[] = [];
  #current: Delivery | undefined;
  /** It hands out no more: a close is under way, or it has ended. */
  #closing = false;
  #ended = false;
  #error: RestanteError | undefined;

  /** @internal */
  constructor(id: string, record: MailboxRecord, host: Host) {
    this.id = id;
    this.path = `/v1/mailboxes/${encodeURIComponent(id)}`;
    this.opened = record.sides.length > 0;
    this.#record = record;
    this.#host = host;
    this.sides = this.#sides = new Subject<readonly Occupant[]>(record.sides);
    this.crowded = this.#crowded;
  }

  /** The nameplate that leads here, as long as this side claims it. */
  get nameplate(): string | undefined {
    return this.#record.nameplate;
  }

  /** Why the mailbox is gone, if it is: no side was left in it, or nothing happened in it for too long. */
  get retired(): 'closed' | 'pruned' | undefined {
    return this.#record.retired;
  }

  /**
   * The messages of the others, each once and in order, beginning after the last one processed. A message counts as
   * processed when the next one is asked for or the loop is left. Ends when the mailbox is closed or retired; throws
   * when the session ends otherwise. Only one loop at a time.
   */
  async *messages({ signal }: Abortable = {}): AsyncGenerator<Message, void, undefined> {
    if (this.reading) throw new TypeError('the mailbox is being read');
    this.reading = true;
    try {
      for (let next = await this.#next(signal); next; next = await this.#next(signal)) {
        yield next;
        this.#processed();
      }
    } finally {
      this.#processed();
      this.reading = false;
    }
  }

  /**
   * Calls `handle` with each message, and waits until it has returned. If it throws, so does this, and the message
   * does not count as processed: it comes again, next time.
   */
  async each(handle: (message: Message) => unknown, options?: Abortable): Promise<void> {
    for await (const message of this.messages(options)) {
      try {
        await handle(message);
      } catch (error) {
        if (this.#current) this.#deliveries.unshift(this.#current);
        this.#current = undefined;
        throw error;
      }
    }
  }

  /**
   * Adds a message. Resolves when it is on the server's disk. Rejects, and sends nothing, if the body has more than 65,536 bytes or
   * a text is cut inside a character. `id` is passed on, and nothing else is done with it.
   */
  async add(phase: string, body: string, { id, signal }: Abortable & { id?: string } = {}): Promise<Added> {
    const draft = checkDraft({ phase, body, ...(id !== undefined && { id }) });
    return (await this.#do('add', 'POST', `${this.path}/messages`, signal, draft)) as Added;
  }

  /**
   * Adds several messages, at most 100, one after the other: all of them, or none. Resolves to their positions, which have no
   * gaps, when they are on the server's disk. Otherwise as `add`.
   */
  async addAll(drafts: readonly Draft[], { signal }: Abortable = {}): Promise<number[]> {
    const list = checkDrafts(drafts);
    return ((await this.#do('add', 'POST', `${this.path}/messages`, signal, list)) as AllAdded).positions;
  }

  /** The whole log as the server has it, after position `after`, what this side added included. */
  async *history({ after = 0, signal }: Abortable & { after?: number } = {}): AsyncGenerator<Message, void, undefined> {
    for (;;) {
      const page = (await this.#host.do('query', 'GET', `${this.path}/messages?after=${after}`, signal)) as Messages;
      yield* page.messages;
      after = page.messages.at(-1)?.position ?? page.lastPosition;
      if (after >= page.lastPosition) return;
    }
  }

  /** Gives up the nameplate. Best done as soon as both sides are here. */
  async release({ signal }: Abortable = {}): Promise<void> {
    const { nameplate } = this.#record;
    if (nameplate === undefined) return;
    await this.#do('release', 'DELETE', `/v1/nameplates/${nameplate}`, signal);
  }

  /** Closes the mailbox for this side. What came and was not read is dropped. */
  async close({ mood = 'happy', signal }: Abortable & { mood?: Mood } = {}): Promise<void> {
    signal?.throwIfAborted();
    this.#host.check(this);
    this.#closing = true;
    this.changed.notify();
    await this.#do('close', 'DELETE', `${this.path}?mood=${mood}`, signal);
  }

  /** Sends a command, unless it would be about another mailbox. */
  async #do(kind: Command['kind'], method: string, path: string, signal?: AbortSignal, body?: string): Promise<unknown> {
    this.#host.check(this);
    return this.#host.do(kind, method, path, signal, this.id, body);
  }

  /** Whether a close is under way. When none is any more, `changed` is notified. @internal */
  get closing(): boolean {
    return this.#closing && !this.#ended;
  }

  /** A close was refused, or taken back: the mailbox is open as before. @internal */
  stay(): void {
    this.#closing = this.#ended;
    this.changed.notify();
  }

  /** Takes in a frame. @internal */
  take(frame: Frame, done: () => void): void {
    if (frame.type === 'message') {
      this.#deliver(frame, done);
      return;
    }
    if (frame.type === 'retired') this.retire(frame.reason, frame.seq + 1);
    else if (frame.type === 'opened') this.#hear(frame.side, { mood: undefined });
    else if (frame.type === 'closed') this.#hear(frame.side, { mood: frame.mood });
    else if (frame.type === 'presence') this.#hear(frame.side, { state: frame.state, reason: frame.reason });
    else if (frame.type === 'received') this.#hear(frame.side, { received: frame.position });
    else if (frame.type === 'crowded') this.#crowded.set(this.#crowded.value + 1);
    done();
  }

  /** Takes in the sides as a reply has them, but for those of which frames have told: these may have come before it. @internal */
  learnSides(sides: Occupant[]): void {
    this.opened = true;
    const known = this.#record.sides.filter(({ side }) => this.#news.has(side));
    this.#setSides([...sides.filter(({ side }) => !this.#news.has(side)), ...known]);
  }

  /** Another session takes the place of the one whose frames told of the sides: its first reply is newer. @internal */
  forgetNews(): void {
    this.#news.clear();
    this.opened = false;
    this.#record.since = undefined;
    this.#record.until = this.retired && 0;
    this.finish();
  }

  #hear(side: string, news: Omit<Occupant, 'side'>): void {
    const before = this.#record.sides.find((other) => other.side === side);
    this.#news.add(side);
    const now = { ...before, side, ...news };
    const { sides } = this.#record;
    this.#setSides(before ? sides.map((other) => (other === before ? now : other)) : [...sides, now]);
  }

  #setSides(sides: Occupant[]): void {
    this.#record.sides = sides;
    this.#sides.set(sides);
    this.changed.notify(); // there may be a log to read, too
  }

  /** The server has retired the mailbox. What came before can still be read; from frame `until` on, its id is of another one. @internal */
  retire(reason: 'closed' | 'pruned', until = 0): void {
    Object.assign(this.#record, { retired: reason, until });
    this.finish();
  }

  /** If the mailbox is retired, no more of its frames come. @internal */
  finish(): void {
    this.unfinished = false;
    this.changed.notify();
  }

  /** Ends the messages, for a reason if they did not end as they should. @internal */
  end(error?: RestanteError): void {
    if (this.#ended) return;
    this.#ended = this.#closing = true;
    this.#error = error;
    this.changed.notify();
  }

  /** What came and is not processed never will be: it is acknowledged, also what a handler is at, which may fail yet. @internal */
  discard(): void {
    const rest = [this.#current, ...this.#deliveries];
    this.#current = undefined;
    this.#deliveries = [];
    for (const delivery of rest) delivery?.done();
  }

  #deliver({ seq: _, type: __, mailbox: ___, ...message }: MessageFrame, done: () => void): void {
    const { position } = message;
    if (this.#ended || position <= this.#record.position) return done();
    // A session that took the place of another is sent again what was not processed: what comes twice stands side by side.
    let at = this.#deliveries.length;
    while (at > 0 && this.#deliveries[at - 1]!.message.position > position) at--;
    this.#deliveries.splice(at, 0, { message, done });
    this.changed.notify();
  }

  async #next(signal?: AbortSignal): Promise<Message | undefined> {
    for (;;) {
      signal?.throwIfAborted();
      await this.#catchUp(signal);
      this.#current = this.#closing ? undefined : this.#deliveries.shift();
      if (!this.#current) {
        if (this.#error) throw this.#error;
        const over = this.retired && !this.unfinished;
        if (over) this.#host.drop(this);
        if (this.#closing || over) return undefined;
        await this.changed.wait(signal);
      } else if (this.#current.message.position <= this.#record.position) {
        this.#current.done(); // it came twice
      } else if (this.#current.message.side === this.#host.side) {
        this.#processed(); // replayed: the application knows what it added
      } else return this.#current.message;
    }
  }

  /** Reads the next page of a log that was too long to be sent, before all that was sent. */
  async #catchUp(signal?: AbortSignal): Promise<void> {
    const { behind = 0, position } = this.#record;
    if (this.#closing || position >= behind || this.#deliveries[0]?.message.position! <= behind) return;
    const { messages } = (await this.#host.do('query', 'GET', `${this.path}/messages?after=${position}`, signal)) as Messages;
    for (const message of messages) this.#deliver(message as MessageFrame, this.#host.save);
  }

  #processed(): void {
    if (!this.#current) return;
    this.#record.position = this.#current.message.position;
    this.#current.done();
    this.#current = undefined;
  }
}

