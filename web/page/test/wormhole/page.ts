import { connect, type Platform, type Session } from '@restante/client';
import { until } from '@restante/testing';
import { abandon, APP_ID, resume, type Conversation, type StateStore, type Status } from '../../src/wormhole/index.js';

export type Begin = (session: Session, store: StateStore) => Conversation;
type Parts = Partial<Platform>;

/** A tab of a browser, with a page in it that can be loaded again. */
export class Tab {
  /** Every status that was shown. */
  readonly seen: Status[] = [];
  readonly items: Map<string, string>;
  readonly #url: string;
  readonly #begin: Begin;
  readonly #parts: Parts;
  /** How often it has written, and at which of these its page goes, before it has. */
  writes = 0;
  fatal = -1;
  /** The status at which its page goes, once. */
  goesAt: Status['name'] | undefined;
  conversation!: Conversation;
  session!: Session;
  #page = begin();

  constructor(url: string, begin: Begin, parts: Parts = {}, items = new Map<string, string>()) {
    this.#url = url;
    this.#begin = begin;
    this.#parts = parts;
    this.items = items;
  }

  duplicate(): Tab {
    return new Tab(this.#url, this.#begin, this.#parts, new Map(this.items));
  }

  /** The page is gone, as in a crash, and loaded again. */
  async reload(): Promise<void> {
    this.crash();
    await this.load();
  }

  /** The page is gone: it writes and sends no more. */
  crash(): void {
    const page = this.#page;
    page.gone = true;
    queueMicrotask(() => page.over.abort());
  }

  /** Loads the page, again if it goes meanwhile. */
  async load(): Promise<void> {
    for (;;) {
      const page = (this.#page = begin());
      try {
        await this.#load(page);
        return;
      } catch (error) {
        if (!page.gone) throw error;
      }
    }
  }

  async #load(page: ReturnType<typeof begin>): Promise<void> {
    const write = (change: () => void) => {
      if (page.gone) return;
      if (this.writes++ !== this.fatal) change();
      else this.crash();
    };
    const { items } = this;
    const storage: NonNullable<Platform['storage']> = {
      get length() {
        return items.size;
      },
      key: (i) => [...items.keys()][i] ?? null,
      getItem: (key) => items.get(key) ?? null,
      setItem: (key, value) => write(() => items.set(key, value)),
      removeItem: (key) => write(() => items.delete(key)),
    };
    const via = this.#parts.fetch ?? fetch;
    const sending: Platform['fetch'] = async (url, init) => {
      if (page.gone) throw new TypeError('the page is gone');
      return via(url, init);
    };
    const platform = { sessions: new Set<string>(), ...this.#parts, storage, fetch: sending };
    const session = await connect({ url: this.#url, appId: APP_ID, platform, signal: page.over.signal });
    page.over.signal.addEventListener('abort', () => session.leave());
    this.session = session;
    const store: StateStore = {
      load: () => storage.getItem('note') ?? undefined,
      save: (state) => storage.setItem('note', state),
      forget: () => storage.removeItem('note'),
    };
    abandon(session, store);
    this.conversation = resume(session, store) ?? this.#begin(session, store);
    this.conversation.status.subscribe((status) => {
      if (page.gone) return;
      this.seen.push(status);
      if (status.name !== this.goesAt) return;
      this.goesAt = undefined;
      this.crash();
    });
  }

  get gone(): boolean {
    return this.#page.gone;
  }

  /** Waits until the conversation has stood so, if only for a moment. */
  async stands<Name extends Status['name']>(name: Name): Promise<Status & { name: Name }> {
    const found = () => this.seen.find((status) => status.name === name);
    await eventually(() => `it stands ${name}: ${JSON.stringify(this.seen)}`, () => found() !== undefined, [this]);
    return found() as Status & { name: Name };
  }

  names(): string[] {
    return this.seen.map(({ name }) => name);
  }

  async code(): Promise<string> {
    await eventually(() => 'there is a code', () => this.conversation.status.value.name !== 'allocating', [this]);
    return (this.conversation.status.value as { code: string }).code;
  }

  heard(): string[] {
    return this.conversation.notes.value.filter(({ mine }) => !mine).map(({ text }) => text);
  }

  said(): string[] {
    return this.conversation.notes.value.filter(({ mine }) => mine).map(({ text, state }) => `${text}: ${state}`);
  }
}

function begin(): { gone: boolean; over: AbortController } {
  return { gone: false, over: new AbortController() };
}

/** Waits until something holds, and loads the pages that are gone meanwhile. */
export async function eventually(what: () => string, holds: () => boolean, tabs: readonly Tab[] = []): Promise<void> {
  const load = async () => {
    for (const tab of tabs) if (tab.gone) await tab.load();
  };
  await until(what, () => !tabs.some(({ gone }) => gone) && holds(), load);
}
