import type { Clock } from './clock.js';

/** A request as the server gets it. */
export interface Call {
  method: string;
  path: string;
  headers: Record<string, string>;
  body: string | undefined;
}

/** What it answers. */
export interface Reply {
  status: number;
  headers: Record<string, string>;
  body: unknown;
  /** How its body comes, if not at once: in pieces of so many bytes. */
  pieces?: { size: number; everyMs: number };
  /** Where it comes from, if the request was redirected. */
  redirected?: string;
}

interface Frame {
  seq: number;
  type: string;
  mailbox?: string;
  [more: string]: unknown;
}

/** The connection that receives. */
interface Seat {
  /** Ends it, with a refusal. */
  answer: (reply: Reply) => void;
  /** The first frame that it has not seen. */
  from?: number;
  /** Where a live transport is: the next frame it was not sent, and how it is sent one. */
  live?: { next: number; say: Said };
}

/** How a live transport is told something. */
export type Said = (name: 'heartbeat' | 'frame' | 'error', data: unknown) => void;

export interface Kept {
  id: string;
  app: string;
  side: string;
  epoch: number;
  wanted: number;
  next: number;
  frames: Frame[];
  replies: { request: string; reply: Reply }[];
  open: Set<string>;
  ended?: string;
  /** The timers of its token. */
  token: number[];
  seen: number;
  parked?: Seat | undefined;
}

export interface Log {
  messages: { position: number; side: string; phase: string; body: string; serverRx: number }[];
  sides: Map<string, string | undefined>;
}

const ACTIONS: Record<string, [number, string]> = {
  SESSION_UNKNOWN: [401, 'restart'],
  SESSION_ENDED: [410, 'restart'],
  SESSION_STATE_MISMATCH: [409, 'restart'],
  SIDE_TAKEN: [409, 'stop'],
  SEQ_GAP: [409, 'retry'],
  SEQ_REUSED: [409, 'stop'],
  CROWDED: [409, 'stop'],
  NOT_OPEN: [403, 'stop'],
  NOT_FOUND: [404, 'stop'],
  INVALID_REQUEST: [400, 'stop'],
  PAYLOAD_TOO_LARGE: [413, 'stop'],
  STORAGE_UNAVAILABLE: [503, 'retry'],
  QUOTA_EXCEEDED: [429, 'slow_down'],
  REJECTED_UNSUPPORTED_CLIENT: [403, 'stop'],
  TOKEN_REQUIRED: [403, 'reauth'],
};

/** A failure, as a problem document. */
export function problem(code: string, more: Record<string, unknown> = {}): Reply {
  const [status, action] = ACTIONS[code] ?? [409, String(more['action'])];
  const retriable = action !== 'stop';
  const body = { type: 'urn:restante:problem:x', title: code, status, detail: '', code, retriable, action, ...more };
  return { status, headers: { 'Content-Type': 'application/problem+json' }, body };
}

/**
 * The server as the contract has it: sessions with epochs, commands done once, frames kept until a later request
 * acknowledges them. What it cannot answer at once it holds.
 */
export class Model {
  heartbeatMs = 25_000;
  /** What handshakes are refused with, if they are. */
  refuses: Reply | undefined;
  /** How long tokens live, if they are asked for: in the middle of that, the client is asked for a newer one. */
  tokenMs: number | undefined;
  /** The tokens that are taken. */
  readonly tokens = new Set<unknown>();
  /** The bytes that a request may have. */
  maxRequest = 262_144;
  /** What commands are refused with, if they are. */
  refusesCommands: Reply | undefined;
  readonly sessions = new Map<string, Kept>();
  readonly mailboxes = new Map<string, Log>();
  readonly nameplates = new Map<string, string>();
  readonly owners = new Map<string, string>();
  readonly #clock: Clock;
  #made = 0;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Answers a request, sooner or later. */
  handle(call: Call): Promise<Reply> {
    if ((call.body?.length ?? 0) > this.maxRequest) return Promise.resolve(problem('PAYLOAD_TOO_LARGE'));
    if (call.path === '/v1/sessions') return Promise.resolve(this.#handshake(JSON.parse(call.body ?? '{}')));
    const session = this.sessions.get(call.headers['Authorization']?.replace('Bearer ', '') ?? '');
    if (!session) return Promise.resolve(problem('SESSION_UNKNOWN'));
    if (session.ended !== undefined) {
      if (session.ended === 'deleted' && call.path.startsWith('/v1/session?')) return Promise.resolve(ok(204, undefined));
      return Promise.resolve(problem('SESSION_ENDED', { reason: session.ended, nextExpectedSeq: session.wanted }));
    }
    if (call.path === '/v1/session/metadata') return Promise.resolve(this.#renew(session, JSON.parse(call.body ?? '{}')));
    session.seen = this.#clock.now;
    const url = new URL(call.path, 'http://model');
    if (url.pathname === '/v1/session/events') return this.#receive(session, url, call.headers['Last-Event-ID']);
    if (call.method === 'GET' && url.pathname === '/v1/session') {
      return Promise.resolve(ok(200, { epoch: session.epoch, nextExpectedSeq: session.wanted, nextFrameSeq: session.next }));
    }
    const reply = call.method === 'GET' ? this.#look(session, url) : this.#command(session, call, url);
    return Promise.resolve({ ...reply, headers: { ...reply.headers, Ack: String(session.wanted) } });
  }

  /** Begins a stream, or a socket that has said who it is. Answers how to end it, or a refusal. */
  live(session: Kept, epoch: number, ack: number, say: Said): Reply | (() => void) {
    const refused = this.#enter(session, epoch, ack);
    if (refused) return refused;
    const stop = () => {
      this.#clock.clearTimeout(timer);
      if (session.parked === seat) session.parked = undefined;
    };
    const beat = () => {
      say('heartbeat', { ack: session.wanted, nextWaitMs: this.heartbeatMs, serverTime: this.#clock.now });
      timer = this.#clock.setTimeout(beat, this.heartbeatMs);
    };
    const answer = (reply: Reply) => {
      stop();
      say('error', reply.body);
    };
    const seat: Seat = { answer, live: { next: ack, say } };
    let timer = 0;
    session.parked = seat;
    beat();
    this.#wake(session);
    return stop;
  }

  /** Ends a session. */
  end(session: Kept, reason: string): void {
    session.ended = reason;
    session.parked?.answer(problem('SESSION_ENDED', { reason, nextExpectedSeq: session.wanted }));
    session.parked = undefined;
  }

  /** Forgets that a session ever was, and who had its side. */
  forget(session: Kept): void {
    session.parked?.answer(problem('SESSION_UNKNOWN'));
    this.sessions.delete(session.id);
    if (this.owners.get(session.side) === session.id) this.owners.delete(session.side);
  }

  /** A mailbox is gone, as nothing happened in it for too long. */
  prune(mailbox: string): void {
    const log = this.mailboxes.get(mailbox);
    this.mailboxes.delete(mailbox);
    for (const session of this.sessions.values()) {
      if (session.open.delete(mailbox)) {
        this.#frame(session, { type: 'retired', mailbox, reason: 'pruned', lastPosition: log?.messages.length ?? 0 });
      }
    }
  }

  #handshake(hello: {
    sessionId: string;
    appId: string;
    side?: string;
    epoch?: number;
    replaces?: string;
    metadata?: { token?: string };
    expectedSessionState: { nextExpectedSeq: number; nextSentSeq: number };
  }): Reply {
    if (this.refuses) return this.refuses;
    if (this.tokenMs && !this.tokens.has(hello.metadata?.token)) return problem('TOKEN_REQUIRED');
    const { nextExpectedSeq: frame, nextSentSeq: command } = hello.expectedSessionState;
    const held = this.sessions.get(hello.sessionId);
    if (held?.ended !== undefined) {
      return problem('SESSION_STATE_MISMATCH', { reason: held.ended, nextExpectedSeq: held.wanted });
    }
    if (held) {
      const kept = held.frames[0]?.seq ?? held.next;
      if (command > held.wanted || frame < kept || frame > held.next) return problem('SESSION_STATE_MISMATCH');
      held.frames = held.frames.filter(({ seq }) => seq >= frame);
      held.epoch++;
      held.seen = this.#clock.now;
      held.parked?.answer(problem('SUPERSEDED', { status: 409, action: 'stop', retriable: false }));
      held.parked = undefined;
      this.#live(held);
      return this.#welcome(held, 200, frame);
    }
    if (frame > 0 || command > 0 || hello.epoch) return problem('SESSION_STATE_MISMATCH');
    const side = hello.side ?? `side-${++this.#made}`;
    const owner = this.owners.get(side);
    if (owner !== undefined && owner !== hello.replaces) return problem('SIDE_TAKEN');
    const old = this.sessions.get(hello.replaces ?? '');
    if (old && old.ended === undefined) this.end(old, 'replaced');
    const session: Kept = {
      ...{ id: hello.sessionId, app: hello.appId, side, epoch: 1, wanted: 0, next: 0, seen: this.#clock.now },
      ...{ frames: [], replies: [], open: new Set(), token: [] },
    };
    this.sessions.set(session.id, session);
    this.owners.set(side, session.id);
    this.#live(session);
    return this.#welcome(session, 201, 0);
  }

  #renew(session: Kept, { token }: { token?: string }): Reply {
    if (this.tokenMs && !this.tokens.has(token)) return problem('TOKEN_REQUIRED');
    this.#live(session);
    return ok(204, undefined);
  }

  /** The session has a new token. */
  #live(session: Kept): void {
    if (!this.tokenMs) return;
    for (const timer of session.token) this.#clock.clearTimeout(timer);
    const tokenExpiresAt = this.#clock.now + this.tokenMs;
    session.token = [
      this.#clock.setTimeout(() => this.#frame(session, { type: 'rehandshake', tokenExpiresAt }), this.tokenMs / 2),
      this.#clock.setTimeout(() => this.end(session, 'unauthorized'), this.tokenMs),
    ];
  }

  #welcome(session: Kept, status: number, from: number): Reply {
    return ok(status, {
      ...{ sessionId: session.id, appId: session.app, side: session.side, resumed: status === 200, epoch: session.epoch },
      ...{ nextExpectedSeq: session.wanted, nextSentSeq: from, heartbeatIntervalMs: this.heartbeatMs, heartbeatsUntilDead: 2 },
      ...{ sessionDisconnectGraceMs: 600_000, clientTimeoutMs: 2.4 * this.heartbeatMs, nextWaitMs: this.heartbeatMs },
      ...{ serverTime: this.#clock.now, welcome: { yourAddress: '192.0.2.1', addressId: 'addr-test' } },
    });
  }

  #receive(session: Kept, url: URL, seen?: string): Promise<Reply> {
    const ack = Number(url.searchParams.get('ack'));
    const from = Math.max(ack, Number(seen ?? -1) + 1);
    const epoch = Number(url.searchParams.get('epoch'));
    const wait = Math.min(Number(url.searchParams.get('wait') ?? Infinity) * 1000, this.heartbeatMs);
    const refused = this.#enter(session, epoch, ack, from);
    if (refused) return Promise.resolve(refused);
    return new Promise((resolve) => {
      const answer = (reply: Reply) => {
        this.#clock.clearTimeout(timer);
        resolve(reply);
      };
      const parked: Seat = { answer, from };
      const timer = this.#clock.setTimeout(() => {
        if (session.parked === parked) session.parked = undefined;
        resolve(this.#received(session, from));
      }, wait);
      session.parked = parked;
      this.#wake(session);
    });
  }

  /** Lets a receiver begin, and answers the one before it; or returns why it may not. */
  #enter(session: Kept, epoch: number, ack: number, from = ack): Reply | undefined {
    const superseded = (action: string) => problem('SUPERSEDED', { status: 409, action, retriable: action !== 'stop' });
    if (epoch < session.epoch) return superseded('stop');
    if (ack > session.next) return problem('SESSION_STATE_MISMATCH');
    if (from < (session.frames[0]?.seq ?? session.next)) return superseded('slow_down');
    session.frames = session.frames.filter(({ seq }) => seq >= ack);
    session.parked?.answer(superseded('slow_down'));
    return undefined;
  }

  #wake(session: Kept): void {
    const live = session.parked?.live;
    if (live) {
      for (const frame of session.frames.filter(({ seq }) => seq >= live.next)) live.say('frame', frame);
      live.next = session.next;
      return;
    }
    const { answer, from = 0 } = session.parked ?? {};
    if (!answer || from >= session.next) return;
    session.parked = undefined;
    answer(this.#received(session, from));
  }

  #received(session: Kept, from: number): Reply {
    session.seen = this.#clock.now;
    const frames = session.frames.filter(({ seq }) => seq >= from).slice(0, 100);
    const heartbeat = frames.length === 0;
    return ok(200, { ack: session.wanted, heartbeat, frames, nextWaitMs: this.heartbeatMs, serverTime: this.#clock.now });
  }

  #command(session: Kept, call: Call, url: URL): Reply {
    if (url.pathname === '/v1/session/ack') {
      const { ack, epoch = session.epoch } = JSON.parse(call.body ?? '{}') as { ack: number; epoch?: number };
      if (ack > session.next) return problem('SESSION_STATE_MISMATCH');
      if (epoch === session.epoch) session.frames = session.frames.filter(({ seq }) => seq >= ack);
      return ok(200, { ack: session.wanted, nextSentSeq: session.frames[0]?.seq ?? session.next });
    }
    const seq = Number(call.headers['Seq']);
    const request = `${call.method} ${call.path} ${call.body ?? ''}`;
    if (seq > session.wanted) return problem('SEQ_GAP', { expectedSeq: session.wanted });
    const before = session.replies[seq];
    if (before) {
      if (before.request !== request) return problem('SEQ_REUSED');
      return { ...before.reply, headers: { ...before.reply.headers, Replayed: 'true' } };
    }
    const reply = this.refusesCommands ?? this.#do(session, call, url);
    if (![400, 429, 503].includes(reply.status)) {
      session.wanted++;
      session.replies[seq] = { request, reply };
    }
    return reply;
  }

  #do(session: Kept, call: Call, url: URL): Reply {
    const [, , noun, id, more] = url.pathname.split('/').map(decodeURIComponent);
    if (noun === 'session') {
      for (const mailbox of this.mailboxes.keys()) this.#close(session, mailbox, url.searchParams.get('mood') ?? 'happy');
      this.end(session, 'deleted');
      return ok(204, undefined);
    }
    if (noun === 'nameplates') {
      if (call.method === 'DELETE') return ok(204, undefined);
      const nameplate = id ?? String(this.nameplates.size + 1);
      const mailbox = this.nameplates.get(nameplate) ?? `box-${++this.#made}`;
      this.nameplates.set(nameplate, mailbox);
      const refused = this.#come(session, mailbox);
      return refused ?? ok(id === undefined ? 201 : 200, { nameplate, mailbox });
    }
    const mailbox = id ?? '';
    if (more === 'messages') {
      if (!session.open.has(mailbox)) return problem('NOT_OPEN');
      type Draft = { phase: string; body: string };
      const drafts = JSON.parse(call.body ?? '{}') as Draft | Draft[];
      const log = this.mailboxes.get(mailbox)!;
      const serverRx = this.#clock.now;
      const positions = [drafts].flat().map(({ phase, body }) => {
        const message = { position: log.messages.length + 1, side: session.side, phase, body, serverRx };
        log.messages.push(message);
        this.#tell(session, { type: 'message', mailbox, ...message });
        return message.position;
      });
      return ok(201, Array.isArray(drafts) ? { positions, serverRx } : { position: positions[0], serverRx });
    }
    if (call.method === 'DELETE') {
      this.#close(session, mailbox, url.searchParams.get('mood') ?? 'happy');
      return ok(204, undefined);
    }
    const after = Number(url.searchParams.get('after'));
    if (after > (this.mailboxes.get(mailbox)?.messages.length ?? 0)) return problem('INVALID_REQUEST');
    const refused = this.#come(session, mailbox);
    if (refused) return refused;
    const log = this.mailboxes.get(mailbox)!;
    if (!session.open.has(mailbox)) {
      session.open.add(mailbox);
      for (const message of log.messages.slice(after)) this.#frame(session, { type: 'message', mailbox, ...message });
      this.#tell(session, { type: 'opened', mailbox, side: session.side });
    }
    return ok(200, this.#seen(mailbox, log));
  }

  #look(session: Kept, url: URL): Reply {
    const [, , noun, mailbox, more] = url.pathname.split('/').map(decodeURIComponent);
    if (noun === 'nameplates') return ok(200, { nameplates: [...this.nameplates.keys()].map((id) => ({ id })) });
    const log = this.mailboxes.get(mailbox ?? '');
    if (!log?.sides.has(session.side) || log.sides.get(session.side) !== undefined) return problem('NOT_FOUND');
    if (more !== 'messages') return ok(200, this.#seen(mailbox ?? '', log));
    const after = Number(url.searchParams.get('after'));
    return ok(200, { messages: log.messages.slice(after, after + 100), lastPosition: log.messages.length });
  }

  #seen(mailbox: string, log: Log): unknown {
    const sides = [...log.sides].map(([side, mood]) => (mood === undefined ? { side } : { side, mood }));
    return { mailbox, sides, lastPosition: log.messages.length };
  }

  #come(session: Kept, mailbox: string): Reply | undefined {
    const log = this.mailboxes.get(mailbox) ?? { messages: [], sides: new Map<string, string | undefined>() };
    if (!log.sides.has(session.side) && log.sides.size === 2) return problem('CROWDED');
    log.sides.set(session.side, undefined);
    this.mailboxes.set(mailbox, log);
    return undefined;
  }

  #close(session: Kept, mailbox: string, mood: string): void {
    const log = this.mailboxes.get(mailbox);
    if (!log?.sides.has(session.side)) return;
    log.sides.set(session.side, mood);
    session.open.delete(mailbox);
    this.#tell(session, { type: 'closed', mailbox, side: session.side, mood });
    if ([...log.sides.values()].every((left) => left !== undefined)) this.mailboxes.delete(mailbox);
  }

  /** A frame for every other session that has the mailbox open. */
  #tell(from: Kept, what: Omit<Frame, 'seq'>): void {
    for (const session of this.sessions.values()) {
      if (session !== from && session.ended === undefined && session.open.has(String(what['mailbox']))) this.#frame(session, what);
    }
  }

  #frame(session: Kept, what: Omit<Frame, 'seq'>): void {
    session.frames.push({ seq: session.next++, ...what } as Frame);
    this.#wake(session);
  }
}

function ok(status: number, body: unknown): Reply {
  return { status, headers: { 'Content-Type': 'application/json' }, body };
}
