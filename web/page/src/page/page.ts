import type { RestanteError, Session } from '@restante/client';
import { abandon, APP_ID, check, join, normal, offer, peek, resume, type Conversation } from '../wormhole/index.js';
import { element } from './element.js';
import { loadIntent, saveIntent, store, type Intent } from './store.js';
import { Connection } from './connection.js';
import { panel } from './panel.js';
import { Start } from './start.js';
import { over, unread, ConversationView } from './conversation_view.js';

/** The page at /: a start, where one writes a note or gives a code, and one conversation after another. */
class Page {
  readonly #connection = new Connection();
  readonly #start = new Start({ write: (text) => this.#write(text), read: (code) => this.#read(code) });
  readonly #view = new ConversationView({ leave: () => this.#leave(), retry: () => void this.#retry?.() });
  readonly #other = element('other');
  #conversation: Conversation | undefined;
  #retry: (() => Promise<void>) | undefined;
  /** What the page is about to show, as soon as it is connected. */
  #turn: object | undefined;
  /** What was asked for and has no conversation yet. */
  #intent: Intent | undefined;

  constructor() {
    addEventListener('hashchange', () => this.#follow(this.#linked()));
    this.#connection.session.subscribe((session) => {
      panel(session, this.#connection);
      if (session) abandon(session, store);
    });
    const code = this.#linked();
    const intent = loadIntent();
    if (store.load() !== undefined) void this.#converse((session) => resume(session, store), code);
    else if (intent) this.#begin(intent, code);
    else if (code !== undefined) this.#read(code);
    else this.#start.show();
  }

  #write(note: string): void {
    this.#begin({ note });
  }

  #read(code: string): void {
    const checked = check(code);
    if (checked.ok) this.#begin({ code });
    else this.#start.refuse(code, checked.detail);
  }

  /** Begins a conversation as soon as there is a session. What is asked for is kept until then, also over a reload. */
  #begin(intent: Intent, other?: string): void {
    this.#intend(intent);
    void this.#converse((session) => {
      const { note, code } = intent;
      const conversation = code === undefined ? offer(session, store) : join(session, store, code);
      if (note !== undefined) conversation.say(note);
      this.#intend(undefined);
      return conversation;
    }, other);
  }

  #intend(intent: Intent | undefined): void {
    this.#intent = intent;
    saveIntent(intent);
  }

  /** Shows a conversation, as soon as there is a session for it. */
  async #converse(begin: (session: Session) => Conversation | undefined, other?: string): Promise<void> {
    const turn = (this.#turn = {});
    this.#start.hide();
    this.#view.connecting();
    try {
      const session = await this.#connection.connect();
      if (turn !== this.#turn) return; // it was cancelled
      this.#conversation = begin(session);
      if (!this.#conversation) this.#leave();
      else this.#view.show(this.#conversation, session);
      if (other !== undefined) this.#follow(other);
    } catch (error) {
      if (turn !== this.#turn) return;
      this.#retry = () => this.#converse(begin, other);
      this.#view.unreachable(error as RestanteError);
    }
  }

  /** Leaves the conversation, and forgets it. What was written and not read is there to be sent again, as is a code. */
  #leave(): void {
    const { note = unread(this.#known?.notes.value ?? []), code = '' } = this.#intent ?? {};
    this.#intend(undefined);
    this.#turn = undefined;
    void this.#conversation?.close();
    this.#conversation = undefined;
    store.forget();
    this.#other.hidden = true;
    this.#view.hide();
    this.#start.again(note, code);
  }

  /** The conversation, or what is kept of it as long as there is no session. */
  get #known(): Pick<Conversation, 'status' | 'notes'> | undefined {
    return this.#conversation ?? peek(store, APP_ID);
  }

  /** The code in the address, which is not kept there: the browser's history is no place for it. */
  #linked(): string | undefined {
    const { hash, pathname } = location;
    if (hash.length < 2) return undefined;
    history.replaceState(null, '', pathname);
    try {
      return decodeURIComponent(hash.slice(1));
    } catch {
      return hash.slice(1);
    }
  }

  /** Another link was followed than the one that the page was opened with. */
  #follow(code: string | undefined): void {
    const status = this.#known?.status.value;
    if (code === undefined || (status && 'code' in status && status.code === normal(code))) return;
    const join = () => {
      this.#leave();
      this.#read(code);
    };
    if (!status || over(status)) {
      join();
      return;
    }
    this.#other.querySelector('span')!.textContent = `You followed a link with the code ${code}. This is another conversation.`;
    this.#other.querySelector('button')!.onclick = join;
    this.#other.hidden = false;
  }
}

new Page();
