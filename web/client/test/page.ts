import { storage, type Locks } from '@restante/testing';
import type { Platform } from '../src/platform.js';
import { seeded, type Clock } from './clock.js';
import { problem, type Call, type Kept, type Model, type Reply } from './model.js';

/** What a network does to what is sent over it, each from 0 (never) to 1 (always). */
export interface Weather {
  /** The request is lost, and the client is told. */
  loseRequest?: number;
  /** The server does what it is asked, and the answer is lost. */
  loseAnswer?: number;
  /** The answer breaks off in its body. */
  cutBody?: number;
  /** Nothing comes, and neither end is told. */
  swallow?: number;
  /** The request arrives a second time, later. */
  repeat?: number;
  /** How long a way takes, at most: what is sent later may arrive sooner. */
  latencyMs?: number;
  /** A proxy holds back what is not complete. */
  buffering?: boolean;
  /** A proxy knows no upgrades. */
  noUpgrades?: boolean;
  /** A proxy ends what lasts longer than this. */
  cutsLiveAfterMs?: number;
  /** What a proxy says instead of an answer that takes it longer than this. */
  proxy?: { status: number; afterMs: number };
}

/** A network to one server. */
export class Network {
  weather: Weather = {};
  /** The wire is cut: whatever is sent fails at once. */
  down = false;
  /** What sockets receive is no JSON. */
  garbles = false;
  /** What answers requests over HTTP: it may `pass` them on to the server. Absent: each is passed on. */
  gateway: ((call: Call, pass: () => Promise<Reply>) => Reply | Promise<Reply>) | undefined;
  /** What was sent, as `METHOD path`. */
  readonly sent: string[] = [];
  readonly clock: Clock;
  readonly model: Model;
  readonly random: () => number;
  readonly #exchanges = new Set<() => void>();

  constructor(clock: Clock, model: Model, seed = 1) {
    this.clock = clock;
    this.model = model;
    this.random = seeded(seed);
  }

  /** Breaks all connections there are. */
  cut(): void {
    for (const fail of [...this.#exchanges]) fail();
  }

  fetch(url: string, init: RequestInit): Promise<Response> {
    const { pathname, search } = new URL(url);
    const path = pathname + search;
    const headers = init.headers as Record<string, string>;
    const body = typeof init.body === 'string' ? init.body : undefined;
    const call = { method: init.method ?? 'GET', path, headers, body };
    this.sent.push(`${call.method} ${path}`);
    return new Promise((resolve, reject) => {
      const fail = () => finish(() => reject(new TypeError('Failed to fetch')));
      const aborted = () => finish(() => reject(init.signal?.reason));
      const finish = (how: () => void) => {
        this.#exchanges.delete(fail);
        init.signal?.removeEventListener('abort', aborted);
        how();
      };
      this.#exchanges.add(fail);
      if (init.signal?.aborted) return aborted();
      init.signal?.addEventListener('abort', aborted);
      if (this.down) return void this.clock.setTimeout(fail, 1);
      const { loseRequest = 0, loseAnswer = 0, cutBody = 0, swallow = 0, repeat = 0, proxy } = this.weather;
      if (this.#happens(swallow)) return undefined;
      if (this.#happens(loseRequest)) return void this.#later(fail);
      if (this.#happens(repeat)) this.#later(() => void this.model.handle(call));
      if (proxy) {
        const impatient = { status: proxy.status, headers: { 'Content-Type': 'text/html' }, body: '<h1>Bad gateway</h1>' };
        this.clock.setTimeout(() => finish(() => resolve(response(impatient))), proxy.afterMs);
      }
      if (headers['Accept'] === 'text/event-stream') {
        this.#later(() => this.#stream(call, (answer) => finish(() => resolve(answer)), fail, init.signal));
        return undefined;
      }
      this.#later(async () => {
        const pass = () => this.model.handle(call);
        const reply = await (this.gateway?.(call, pass) ?? pass());
        this.#later(() => {
          if (this.#happens(loseAnswer)) fail();
          else finish(() => resolve(response(reply, { cut: this.#happens(cutBody), clock: this.clock, signal: init.signal })));
        });
      });
      return undefined;
    });
  }

  /** A WebSocket over this network. */
  socket(gone: () => boolean): new (url: string) => WebSocket {
    const network = this;
    return class {
      readyState = 0;
      onopen?: () => void;
      onmessage?: (event: { data: string }) => void;
      onclose?: () => void;
      readonly #up = new Wire(network);
      readonly #down = new Wire(network);
      #leave: (() => void) | undefined;

      constructor(url: string) {
        network.sent.push(`SOCKET ${new URL(url).pathname}`);
        const { noUpgrades, loseRequest = 0, cutsLiveAfterMs } = network.weather;
        network.#exchanges.add(this.#fail);
        if (network.down || noUpgrades || network.#happens(loseRequest)) {
          network.clock.setTimeout(this.#fail, 1);
          return;
        }
        if (cutsLiveAfterMs) network.clock.setTimeout(this.#fail, cutsLiveAfterMs);
        this.#down.say(() => {
          this.readyState = 1;
          if (!gone()) this.onopen?.();
        });
      }

      send(text: string): void {
        if (gone()) return;
        this.#up.say(() => void this.#hear(text));
      }

      close(): void {
        this.readyState = 3;
        network.#exchanges.delete(this.#fail);
        this.#up.say(() => this.#leave?.());
      }

      readonly #fail = () => {
        if (this.readyState === 3) return;
        this.readyState = 3;
        network.#exchanges.delete(this.#fail);
        this.#leave?.();
        if (!gone()) this.onclose?.();
      };

      #tell(what: object): void {
        if (network.#happens(network.weather.cutBody ?? 0)) this.#fail();
        this.#down.say(() => this.readyState === 1 && !gone() && this.onmessage?.({ data: network.garbles ? '<html>' : JSON.stringify(what) }));
      }

      #session: Kept | undefined;

      async #hear(text: string): Promise<void> {
        const said = JSON.parse(text) as { sessionId?: string; epoch?: number; ack?: number; method?: string; path?: string; body?: unknown; id?: string; seq?: number };
        const { model } = network;
        if (text.length > model.maxRequest) {
          // A server that cannot read a message refuses the socket.
          this.#tell({ error: problem('PAYLOAD_TOO_LARGE').body });
          network.clock.setTimeout(this.#fail, 1);
          return;
        }
        const headers: Record<string, string> = { Authorization: `Bearer ${said.sessionId ?? this.#session?.id}` };
        if (said.seq !== undefined) headers['Seq'] = String(said.seq);
        if (said.sessionId !== undefined) {
          const first = await model.handle({ method: 'GET', path: '/v1/session', headers, body: undefined });
          this.#session = model.sessions.get(said.sessionId);
          const begun = first.status !== 200 ? first : model.live(this.#session!, said.epoch!, said.ack!, (name, data) => this.#tell({ [name]: data }));
          if (typeof begun === 'function') this.#leave = begun;
          else this.#tell({ error: begun.body });
        } else if (said.method !== undefined) {
          const body = /"body":(.*)}$/.exec(text)?.[1];
          const reply = await model.handle({ method: said.method, path: said.path ?? '', headers, body });
          this.#tell({ ack: this.#session?.wanted, id: said.id, seq: said.seq, reply: { status: reply.status, body: reply.body } });
        } else await model.handle({ method: 'POST', path: '/v1/session/ack', headers, body: JSON.stringify({ ack: said.ack }) });
      }
    } as unknown as new (url: string) => WebSocket;
  }

  #stream(call: Call, answer: (response: Response) => void, fail: () => void, signal: AbortSignal | null | undefined): void {
    const url = new URL(call.path, 'http://model');
    const session = this.model.sessions.get(call.headers['Authorization']?.replace('Bearer ', '') ?? '');
    const wire = new Wire(this);
    const chunks: (Uint8Array | undefined | Error)[] = [];
    let next: (() => void) | undefined;
    const push = (chunk: Uint8Array | undefined | Error) => {
      chunks.push(chunk);
      next?.();
    };
    const broken = () => push(new TypeError('network error'));
    const read = async (): Promise<{ done: boolean; value?: Uint8Array }> => {
      while (chunks.length === 0) await new Promise<void>((resolve) => (next = resolve));
      const chunk = chunks.shift();
      if (chunk instanceof Error) throw chunk;
      return chunk === undefined ? { done: true } : { done: false, value: chunk };
    };
    const head = { status: 200, headers: { 'Content-Type': 'text/event-stream' }, body: undefined };
    const give = () => {
      answer(Object.assign(response(head), { body: { getReader: () => ({ read }) } }));
      this.#exchanges.add(broken);
    };
    const { buffering, cutsLiveAfterMs } = this.weather;
    if (!session || session.ended !== undefined) {
      void this.model.handle(call).then((reply) => wire.say(() => answer(response(reply))));
      return;
    }
    const held: Uint8Array[] = [];
    const begun = this.model.live(session, Number(url.searchParams.get('epoch')), Number(url.searchParams.get('ack')), (name, data) => {
      const text = new TextEncoder().encode(`event: ${name}\ndata: ${JSON.stringify(data)}\n\n`);
      if (this.#happens(this.weather.cutBody ?? 0)) wire.say(broken);
      if (!buffering) wire.say(() => push(text));
      else held.push(text);
      if (name !== 'error') return;
      if (buffering) {
        give();
        held.forEach(push);
      }
      wire.say(() => push(undefined));
    });
    if (typeof begun !== 'function') {
      answer(response(begun));
      return;
    }
    if (!buffering) give();
    if (cutsLiveAfterMs) this.clock.setTimeout(buffering ? fail : broken, cutsLiveAfterMs);
    signal?.addEventListener('abort', () => {
      begun();
      broken();
      this.#exchanges.delete(broken);
    });
  }

  #happens(chance: number): boolean {
    return chance > 0 && this.random() < chance;
  }

  #later(what: () => void): void {
    const { latencyMs = 0 } = this.weather;
    if (latencyMs === 0) what();
    else this.clock.setTimeout(what, this.random() * latencyMs);
  }
}

/** One direction of a connection: what is said arrives in order. */
class Wire {
  #free = 0;
  constructor(readonly network: Network) {}

  say(what: () => void): void {
    const { clock, weather, random } = this.network;
    this.#free = Math.max(this.#free, clock.now + random() * (weather.latencyMs ?? 0));
    clock.setTimeout(what, this.#free - clock.now);
  }
}

/** What may happen to a body on its way. */
interface Way {
  cut: boolean;
  clock: Clock;
  signal: AbortSignal | null | undefined;
}

/** As much of a `Response` as the client uses. */
function response({ status, headers, body, pieces, redirected }: Reply, way?: Way): Response {
  const text = body === undefined ? '' : typeof body === 'string' ? body : JSON.stringify(body);
  const wire = new Map(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value]));
  let left = new TextEncoder().encode(text);
  const read = async (): Promise<{ done: boolean; value?: Uint8Array }> => {
    if (way?.cut) throw new TypeError('terminated');
    if (left.length === 0) return { done: true };
    const value = left.slice(0, pieces?.size);
    left = left.slice(value.length);
    if (pieces) {
      await new Promise<void>((resolve, reject) => {
        way?.clock.setTimeout(resolve, pieces.everyMs);
        way?.signal?.addEventListener('abort', () => reject(way.signal?.reason));
      });
    }
    return { done: false, value };
  };
  return {
    status,
    redirected: redirected !== undefined,
    url: redirected,
    ok: status >= 200 && status < 300,
    headers: { get: (name: string) => wire.get(name.toLowerCase()) ?? null },
    body: { getReader: () => ({ read }) },
    json: () => Promise.resolve(body),
  } as unknown as Response;
}

/** What a tab keeps: it survives its pages, and is copied when the tab is duplicated. */
export class Tab {
  readonly items: Map<string, string>;

  constructor(items = new Map<string, string>()) {
    this.items = items;
  }

  duplicate(): Tab {
    return new Tab(new Map(this.items));
  }
}

/** A page in a tab: all that the client takes from where it runs. When the page is gone, none of it does anything. */
export class Page {
  readonly platform: Platform;
  readonly #events = new EventTarget();
  readonly #network: Network;
  readonly #held: (() => void)[] = [];
  #gone = false;

  constructor(network: Network, tab = new Tab(), locks?: Locks) {
    const { clock } = network;
    const live = <T>(value: T, otherwise: T): T => (this.#gone ? otherwise : value);
    this.#network = network;
    this.platform = {
      fetch: (url, init) =>
        new Promise((resolve, reject) => {
          if (this.#gone) return;
          this.#network.fetch(url, init).then(
            (response) => this.#gone || resolve(response),
            (error: unknown) => this.#gone || reject(error),
          );
        }),
      WebSocket: network.socket(() => this.#gone),
      storage: storage(tab.items, () => this.#gone),
      sessions: new Set(),
      locks: locks && ({ request: (name: string, options: object, held: () => Promise<void>) => locks.request(name, options, this.#letGo(held)) } as never),
      page: this.#events,
      now: () => clock.now,
      setTimeout: (run, ms) => live(clock.setTimeout(() => this.#gone || run(), ms), 0),
      clearTimeout: (timer) => clock.clearTimeout(timer),
      random: network.random,
      id: () => Array.from({ length: 24 }, () => Math.floor(network.random() * 36).toString(36)).join(''),
    };
  }

  /** Something happens to the page. */
  tell(event: 'pagehide' | 'pageshow' | 'online' | 'visibilitychange'): void {
    this.#events.dispatchEvent(new Event(event));
  }

  /** The page is unloaded: it is told, and then there is nothing left of it. With `crash` it is not even told. */
  unload({ crash = false } = {}): void {
    if (!crash) this.tell('pagehide');
    this.#gone = true;
    for (const release of this.#held) release();
  }

  /** A lock is held until its holder lets go, or the page is gone. */
  #letGo(held: () => Promise<void>): () => Promise<void> {
    return () => this.#gone ? Promise.resolve() : Promise.race([held(), new Promise<void>((release) => this.#held.push(release))]);
  }
}
