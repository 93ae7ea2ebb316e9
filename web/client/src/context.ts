import { Backoff } from './backoff.js';
import { Condition } from './condition.js';
import { Http } from './http.js';
import type { Options } from './options.js';
import { platform, type Platform } from './platform.js';
import { sessionLeft, type RestanteError } from './problem.js';
import { newRecord, openStore, placeName, type SessionRecord, type Store } from './store.js';

/** What the parts of one session share: the place it runs in, its server, and what survives a reload. */
export class Context {
  readonly platform: Platform;
  readonly options: Options;
  readonly http: Http;
  readonly store: Store;
  readonly backoff = new Backoff();
  /** Notified when it may help to try again before a delay is over. */
  readonly wake = new Condition();
  record: SessionRecord;
  readonly #name: string;
  #closed: { error: RestanteError | undefined } | undefined;

  constructor(options: Options) {
    const here = (this.platform = platform(options.platform));
    const base = String(options.url ?? location.origin).replace(/\/$/, '');
    this.#name = placeName('restante', base, options.appId, options.name ?? '');
    if (here.storage && here.sessions.has(this.#name)) throw new TypeError('give this session another `name`');
    this.options = options;
    this.http = new Http(here, base);
    this.store = openStore(here.storage, this.#name);
    const stored = this.store.record();
    if (!stored) this.store.clear();
    this.record = stored ?? newRecord(here, options.appId, options.side);
    here.sessions.add(this.#name);
  }

  /** Stores the record as it is now. */
  save(): void {
    if (!this.#closed) this.store.save(this.record);
  }

  /** Throws if the session is closed. */
  throwIfClosed(): void {
    if (this.#closed) throw this.#closed.error ?? sessionLeft();
  }

  /** The session is closed, for a reason if it did not end as it should. With `keep`, what is stored stays. */
  close(error: RestanteError | undefined, keep: boolean): void {
    this.#closed = { error };
    this.platform.sessions.delete(this.#name);
    if (!keep) this.store.clear();
  }
}
