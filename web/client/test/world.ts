import { Locks } from '@restante/testing';
import { connect, type Options, type Session } from '../src/index.js';
import { Clock } from './clock.js';
import { Model, type Kept } from './model.js';
import { Network, Page, Tab } from './page.js';

/** A server, and people who use it from pages. */
export class World {
  readonly clock = new Clock();
  readonly model = new Model(this.clock);
  readonly locks = new Locks();

  /** Someone's place: a network, a tab, and the page in it. */
  place(seed = 1, tab = new Tab(), locks: Locks | undefined = this.locks): Place {
    return new Place(this, new Network(this.clock, this.model, seed), tab, locks);
  }
}

export class Place {
  page: Page;

  constructor(
    readonly world: World,
    readonly network: Network,
    readonly tab: Tab,
    readonly locks: Locks | undefined,
  ) {
    this.page = new Page(network, tab, locks);
  }

  /** Connects, and lets time pass until it is done. */
  async connect(options: Partial<Options> = {}): Promise<Session> {
    return this.done(this.connecting(options));
  }

  connecting(options: Partial<Options> = {}): Promise<Session> {
    return connect({ url: 'http://model', appId: 'app', platform: this.page.platform, transport: 'poll', ...options });
  }

  /** Lets time pass until a promise is settled. */
  async done<T>(promise: Promise<T>, withinMs?: number): Promise<T> {
    let settled = false;
    const set = () => {
      settled = true;
    };
    promise.then(set, set);
    await this.world.clock.until('the promise is settled', () => settled, withinMs);
    return promise;
  }

  /** The page is loaded again. */
  reload(how?: { crash: boolean }): void {
    this.page.unload(how);
    this.page = new Page(this.network, this.tab, this.locks);
  }

  /** Another tab, copied from this one. */
  duplicate(seed = 9): Place {
    return new Place(this.world, new Network(this.world.clock, this.world.model, seed), this.tab.duplicate(), this.locks);
  }

  /** A session as the server has it. */
  kept(session: Session): Kept {
    const found = [...this.world.model.sessions.values()].filter(({ side }) => side === session.side).at(-1);
    if (!found) throw new Error('the server has no such session');
    return found;
  }
}

/** What a promise is rejected with. */
export async function refused(promise: Promise<unknown>): Promise<{ code: string; name: string; message: string }> {
  try {
    await promise;
  } catch (error) {
    return error as { code: string; name: string; message: string };
  }
  throw new Error('it was not refused');
}
