import { Bell } from './bell.js';
import type { Command } from './commands.js';
import type { Held } from './ledger.js';
import { Subject, type Observable } from './observable.js';
import type { RestanteError } from './problem.js';
import type { Added, Frame, Message, MessageFrame, Messages, Mood, Occupant } from './wire.js';

/** What every call may be given. */
export interface Abortable {
  /** Aborts the call. A command that was sent is done all the same. */
  signal?: AbortSignal | undefined;
}

/** What a mailbox needs of its session. @internal */
export interface Host {
  side(): string | undefined;
  do(kind: Command['kind'], method: string, path: string, signal?: AbortSignal, mailbox?: string, body?: string): Promise<unknown>;
  /** The mailbox is gone, and all of it was read. */
  drop(mailbox: Mailbox): void;
  save(): void;
}

interface Arrival {
  message: Message;
  done(): void;
}

/** A mailbox that is open. */
export class Mailbox {
  readonly id: string;
  /** Who is, or was, in it; with a mood once they closed. */
  readonly sides: Observable<readonly Occupant[]>;
  /** @internal */
  readonly path: string;
  readonly #host: Host;
  readonly #held: Held;
  readonly #sides: Subject<readonly Occupant[]>;
  readonly #bell = new Bell();
  #arrivals: Arrival[] = [];
  #current: Arrival | undefined;
  #reading = false;
  #ended = false;
  #error: RestanteError | undefined;

  /** @internal */
  constructor(id: string, held: Held, host: Host) {
    this.id = id;
    this.path = `/v1/mailboxes/${encodeURIComponent(id)}`;
    this.#held = held;
    this.#host = host;
    this.sides = this.#sides = new Subject<readonly Occupant[]>(held.sides);
  }

  /** The number that leads here, as long as this side claims it. */
  get nameplate(): string | undefined {
    return this.#held.nameplate;
  }

  /** Why the mailbox is gone, if it is: no side was left in it, or nothing happened in it for too long. */
  get retired(): 'closed' | 'pruned' | undefined {
    return this.#held.retired;
  }

  /**
   * The messages of the others, each once and in order, beginning after the last one processed. A message counts as
   * processed when the next one is asked for or the loop is left. Ends when the mailbox is closed or retired; throws
   * when the session ends otherwise. Only one loop at a time.
   */
  async *messages({ signal }: Abortable = {}): AsyncGenerator<Message, void, undefined> {
    if (this.#reading) throw new TypeError('the mailbox is being read');
    this.#reading = true;
    try {
      for (let next = await this.#next(signal); next; next = await this.#next(signal)) {
        yield next;
        this.#processed();
      }
    } finally {
      this.#processed();
      this.#reading = false;
    }
  }

  /**
   * Hands each message to `handle`, and waits until it has returned. If it throws, so does this, and the message
   * counts as not processed: it comes again, next time.
   */
  async each(handle: (message: Message) => unknown, options?: Abortable): Promise<void> {
    for await (const message of this.messages(options)) {
      try {
        await handle(message);
      } catch (error) {
        if (this.#current) this.#arrivals.unshift(this.#current);
        this.#current = undefined;
        throw error;
      }
    }
  }

  /** Adds a message. Answers once it is on the server's disk. `id` is passed on, and nothing else is done with it. */
  async add(phase: string, body: string, { id, signal }: Abortable & { id?: string } = {}): Promise<Added> {
    const draft = { phase, body, id };
    return (await this.#host.do('add', 'POST', `${this.path}/messages`, signal, this.id, JSON.stringify(draft))) as Added;
  }

  /** The whole log as the server has it, after position `after`, what this side added included. */
  async *history({ after = 0, signal }: Abortable & { after?: number } = {}): AsyncGenerator<Message, void, undefined> {
    for (;;) {
      const page = (await this.#host.do('look', 'GET', `${this.path}/messages?after=${after}`, signal)) as Messages;
      yield* page.messages;
      after = page.messages.at(-1)?.position ?? page.lastPosition;
      if (after >= page.lastPosition) return;
    }
  }

  /** Gives up the nameplate. Best done as soon as both sides are here. */
  async release({ signal }: Abortable = {}): Promise<void> {
    const { nameplate } = this.#held;
    if (nameplate === undefined) return;
    await this.#host.do('release', 'DELETE', `/v1/nameplates/${nameplate}`, signal, this.id);
  }

  /** Leaves the mailbox. What came and was not read is dropped. */
  async close({ mood = 'happy', signal }: Abortable & { mood?: Mood } = {}): Promise<void> {
    this.end();
    await this.#host.do('close', 'DELETE', `${this.path}?mood=${mood}`, signal, this.id);
  }

  /** Takes in a frame. @internal */
  take(frame: Frame, done: () => void): void {
    if (frame.type === 'message') {
      this.#arrive(frame, done);
      return;
    }
    if (frame.type === 'retired') this.retire(frame.reason);
    else if (frame.type === 'opened' || frame.type === 'closed') {
      const { side, mood } = frame as Occupant;
      this.occupied([...this.#held.sides.filter((other) => other.side !== side), { side, mood }]);
    }
    done();
  }

  /** @internal */
  occupied(sides: Occupant[]): void {
    this.#held.sides = sides;
    this.#sides.set(sides);
    this.#bell.ring(); // there may be a log to read, too
  }

  /** The server says it is gone. What came before is still to be read. @internal */
  retire(reason: 'closed' | 'pruned'): void {
    this.#held.retired = reason;
    this.#bell.ring();
  }

  /** There is no more to read, for a reason if it did not end as it should. @internal */
  end(error?: RestanteError): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#error = error;
    const dropped = this.#arrivals;
    this.#arrivals = [];
    if (!error) for (const arrival of dropped) arrival.done();
    this.#bell.ring();
  }

  #arrive({ seq: _, type: __, mailbox: ___, ...message }: MessageFrame, done: () => void): void {
    const { position } = message;
    if (this.#ended || position <= this.#held.position) return done();
    // A session that took the place of another is sent again what was not processed: what comes twice stands side by side.
    this.#arrivals.push({ message, done });
    this.#arrivals.sort((a, b) => a.message.position - b.message.position);
    this.#bell.ring();
  }

  async #next(signal?: AbortSignal): Promise<Message | undefined> {
    for (;;) {
      signal?.throwIfAborted();
      await this.#catchUp(signal);
      this.#current = this.#arrivals.shift();
      if (!this.#current) {
        if (this.#error) throw this.#error;
        if (this.retired) this.#host.drop(this);
        if (this.#ended || this.retired) return undefined;
        await this.#bell.heard(signal);
      } else if (this.#current.message.position <= this.#held.position) {
        this.#current.done(); // it came twice
      } else if (this.#current.message.side === this.#host.side()) {
        this.#processed(); // replayed: the application knows what it added
      } else return this.#current.message;
    }
  }

  /** Of a log that was too long to be sent, takes in the next page, before all that was sent. */
  async #catchUp(signal?: AbortSignal): Promise<void> {
    const { behind = 0, position } = this.#held;
    if (this.#ended || position >= behind || this.#arrivals[0]?.message.position! <= behind) return;
    const { messages } = (await this.#host.do('look', 'GET', `${this.path}/messages?after=${position}`, signal)) as Messages;
    for (const message of messages) this.#arrive(message as MessageFrame, this.#host.save);
  }

  #processed(): void {
    if (!this.#current) return;
    this.#held.position = this.#current.message.position;
    this.#current.done();
    this.#current = undefined;
  }
}

