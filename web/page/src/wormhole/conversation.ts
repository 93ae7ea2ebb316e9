import { RestanteError, Subject, type Mailbox, type Mood, type Observable, type Session } from '@restante/client';
import { check, choose, nameplate, normal, WORDS } from './code.js';
import { Exchange, type WireMessage } from './exchange.js';
import { begin, load, type StateStore, type Kept } from './store.js';
import type { Note } from './note.js';
import { problem, type Problem } from './problem.js';
import type { Status } from './status.js';

/** An exchange of notes between two sides that share a code. */
export interface Conversation {
  readonly status: Observable<Status>;
  /** Of both sides, in order. */
  readonly notes: Observable<readonly Note[]>;
  /** Says something as soon as both are there. */
  say(text: string): void;
  /** Leaves, and forgets. Settles when the server knows. */
  close(): Promise<void>;
}

/** Begins: takes a nameplate, and picks words. */
export function offer(session: Session, store: StateStore, { words = WORDS }: { words?: number } = {}): Conversation {
  return new RunningConversation(session, store, begin(session.side, { words: choose(words) })).begin();
}

/** Joins with a code, as a person typed it. */
export function join(session: Session, store: StateStore, code: string): Conversation {
  const conversation = new RunningConversation(session, store, begin(session.side, { code: normal(code) }));
  const checked = check(code);
  return checked.ok ? conversation.begin() : conversation.refuse(problem('MALFORMED_CODE', checked.detail));
}

/** Goes on after a reload; undefined if nothing was kept. */
export function resume(session: Session, store: StateStore): Conversation | undefined {
  const kept = load(store);
  if (!kept) {
    store.forget();
    return undefined;
  }
  const conversation = new RunningConversation(session, store, kept);
  if (kept.end) return conversation;
  return kept.side === session.side ? conversation.resume() : conversation.refuse(problem('LOST'));
}

/** Returns how a conversation was when it was kept, as long as there is no session to resume it; undefined if nothing was kept. */
export function peek(store: StateStore, appId: string): Pick<Conversation, 'status' | 'notes'> | undefined {
  const kept = load(store);
  return kept && { status: new Subject(new Exchange(appId, kept).status), notes: new Subject(kept.notes.map(show)) };
}

/** Leaves what a session has open of a conversation that is not kept: it was left before there was a session. */
export function abandon(session: Session, store: StateStore): void {
  if (load(store)) return;
  for (const mailbox of session.mailboxes.values()) {
    mailbox.close({ mood: 'lonely' }).catch(() => {}); // the session is over: the server sees to it
  }
}

class RunningConversation implements Conversation {
  readonly status: Subject<Status>;
  readonly notes: Subject<readonly Note[]>;
  readonly #session: Session;
  readonly #store: StateStore;
  readonly #kept: Kept;
  readonly #exchange: Exchange;
  #running: Promise<void> = Promise.resolve();
  /** Once it is known what is ours in its log. */
  #mailbox: Mailbox | undefined;
  #released = false;
  /** We left, or cannot go on here. */
  #over = false;
  #leaving: Promise<void> | undefined;

  constructor(session: Session, store: StateStore, kept: Kept) {
    this.#session = session;
    this.#store = store;
    this.#kept = kept;
    this.#exchange = new Exchange(session.appId, kept);
    this.status = new Subject(this.#exchange.status);
    this.notes = new Subject<readonly Note[]>(kept.notes.map(show));
  }

  begin(): this {
    this.#move();
    this.#running = this.#run(() => this.#enter());
    return this;
  }

  resume(): this {
    this.#running = this.#run(() => this.#enterAgain());
    return this;
  }

  /** It never begins. */
  refuse(why: Problem): this {
    this.#store.forget();
    this.#exchange.end({ name: 'failed', problem: why });
    this.#show();
    return this;
  }

  say(text: string): void {
    if (this.#over) return;
    this.#exchange.say(text);
    this.#move();
  }

  async close(): Promise<void> {
    this.#store.forget();
    if (!this.#over) {
      this.#over = true;
      if (!this.#kept.end) this.status.set({ name: 'closed' });
      this.#leave();
    }
    await this.#running;
    await this.#leaving;
  }

  /** From entering the mailbox to its end. */
  async #run(enter: () => Promise<Mailbox | undefined>): Promise<void> {
    try {
      const mailbox = (this.#mailbox = await enter());
      if (this.#over) this.#leave();
      else if (mailbox) await this.#read(mailbox);
      else this.#fail(problem('RETIRED'));
    } catch (error) {
      this.#lost(error);
    }
  }

  async #enter(): Promise<Mailbox> {
    const { code } = this.#kept;
    return code === undefined ? this.#session.allocate() : this.#session.claim(nameplate(code));
  }

  /** After a reload, the session has the mailbox, or its number but may not have opened it, or neither; or it is gone. */
  async #enterAgain(): Promise<Mailbox | undefined> {
    const { code, mailbox: id } = this.#kept;
    if (id === undefined) {
      const number = code === undefined ? undefined : nameplate(code);
      const claimed = [...this.#session.mailboxes.values()].find(
        ({ nameplate, retired }) => nameplate !== undefined && !retired && (number === undefined || nameplate === number),
      );
      return claimed ? this.#session.open(claimed.id) : this.#enter();
    }
    const mailbox = this.#session.mailboxes.get(id);
    if (!mailbox) return undefined;
    await this.#hearAll(mailbox);
    return mailbox;
  }

  async #read(mailbox: Mailbox): Promise<void> {
    this.#kept.code ??= `${mailbox.nameplate}-${this.#kept.words}`;
    this.#kept.mailbox = mailbox.id;
    this.#move();
    const unwatch = mailbox.sides.subscribe((sides) => {
      if (this.#over || this.#kept.end) return;
      const gone = sides.find(({ side, mood }) => side !== this.#kept.side && mood !== undefined);
      if (gone) void this.#part(mailbox, gone.mood!);
    });
    try {
      for await (const message of mailbox.messages()) {
        this.#exchange.receive(message);
        this.#move();
      }
    } finally {
      unwatch();
    }
    if (this.#over || this.#kept.end) return;
    if (mailbox.retired) this.#fail(problem('RETIRED'));
    else this.#stop(problem('LOST'));
  }

  /** Hears what is in the log, what was heard before and what is ours included. */
  async #hearAll(mailbox: Mailbox): Promise<void> {
    const log: WireMessage[] = [];
    for await (const message of mailbox.history()) log.push(message);
    this.#exchange.replay(log);
  }

  /** The other side left. What it said before may not have been heard yet. */
  async #part(mailbox: Mailbox, mood: string): Promise<void> {
    try {
      await this.#hearAll(mailbox);
      this.#exchange.left(mood);
      this.#move();
    } catch (error) {
      this.#lost(error);
    }
  }

  /** Shows and keeps what has changed, and does what follows from it. */
  #move(): void {
    const mailbox = this.#over ? undefined : this.#mailbox;
    const messages = mailbox ? this.#exchange.outgoing() : [];
    if (!this.#over) this.#save(); // before anything is sent
    for (const message of messages) void this.#add(mailbox!, message);
    if (mailbox && this.#exchange.met && !this.#released) {
      this.#released = true;
      mailbox.release().catch((error: unknown) => this.#lost(error));
    }
    this.#show();
    if (this.#kept.end) this.#leave();
  }

  #save(): void {
    try {
      this.#store.save(JSON.stringify(this.#kept));
    } catch {
      // It is full. What is kept there may be old; the log has what was said since.
    }
  }

  async #add(mailbox: Mailbox, { phase, body }: WireMessage): Promise<void> {
    try {
      await mailbox.add(phase, body);
      this.#exchange.markSent(phase);
      this.#move();
    } catch (error) {
      this.#lost(error);
    }
  }

  #show(): void {
    if (!this.#over) tell(this.status, this.#exchange.status);
    tell(this.notes, this.#kept.notes.map(show));
  }

  /** Leaves the mailbox, with what was said before. */
  #leave(): void {
    const mailbox = this.#mailbox;
    if (!mailbox || mailbox.retired || this.#leaving) return;
    this.#leaving = mailbox.close({ mood: this.#mood }).catch(() => {}); // the session is over: the server sees to it
  }

  get #mood(): Mood {
    const { end } = this.#kept;
    if (end?.name === 'scary') return 'scary';
    if (end?.name === 'failed') return 'errory';
    return this.#exchange.verified ? 'happy' : 'lonely';
  }

  #fail(why: Problem): void {
    this.#exchange.end({ name: 'failed', problem: why });
    this.#move();
  }

  /** It ends here; after a reload it may go on. */
  #stop(why: Problem): void {
    if (this.#over || this.#kept.end) return;
    const { state } = this.#session;
    if (state.value.name === 'closed' && !state.value.error) this.status.set({ name: 'closed' });
    else this.status.set({ name: 'failed', problem: why });
    this.#over = true;
  }

  #lost(error: unknown): void {
    if (this.#over || this.#kept.end) return;
    if (!(error instanceof RestanteError)) throw error;
    const { code, detail, action } = error;
    if (code === 'LEFT') return; // as when the page is loaded again
    if (code === 'NOT_FOUND') this.#fail(problem('RETIRED'));
    else if (this.#mailbox && this.#session.state.value.name !== 'closed') this.#fail({ code, detail, action });
    else this.#stop(code === 'CROWDED' || code === 'RECLAIMED' ? problem(code) : { code, detail, action });
  }
}

function show({ id, mine, text, state }: Note): Note {
  return { id, mine, text, state };
}

function tell<T>(subject: Subject<T>, value: T): void {
  if (JSON.stringify(value) !== JSON.stringify(subject.value)) subject.set(value);
}
