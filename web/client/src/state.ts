import type { RestanteError } from './problem.js';
import type { HandshakeReply } from './schemas.js';

/**
 * A session as its client sees it. A transition is a method of the state that it starts from, so one that does not
 * exist does not type-check; it leaves its state, and leaving a state twice throws.
 *
 *     NoConnection → BackingOff → Connecting → Handshaking → Connected
 *          ▲             │             │            │            │
 *          └─────────────┴─ lose ──────┴────────────┴────────────┘      and from each: close → Closed
 */
export type State = NoConnection | BackingOff | Connecting | Handshaking | Connected | Closed;

abstract class Live {
  abstract readonly name: string;
  /** Until when the server waits for this client, as far as is known; null while it is connected, and before it ever was. */
  readonly graceUntil: number | null;
  readonly #left = new AbortController();

  constructor(graceUntil: number | null = null) {
    this.graceUntil = graceUntil;
  }

  /** Aborts when the state is left: what was begun in it ends with it. */
  get signal(): AbortSignal {
    return this.#left.signal;
  }

  /** Ends the session, for a reason if it did not end as it should. */
  close(error?: RestanteError): Closed {
    return this.leave(new Closed(error));
  }

  protected leave<Next>(next: Next): Next {
    this.signal.throwIfAborted();
    this.#left.abort(new Error(`${this.name} was left`));
    return next;
  }
}

/** Nothing is under way. */
export class NoConnection extends Live {
  readonly name = 'noConnection';

  /** Waits until `until` before the next try. */
  backOff(until: number): BackingOff {
    return this.leave(new BackingOff(this.graceUntil, until));
  }
}

abstract class Trying extends Live {
  /** The try failed. The grace goes on as it was. */
  lose(): NoConnection {
    return this.leave(new NoConnection(this.graceUntil));
  }
}

/** Waits before it tries, so that a server that comes back is not flooded. */
export class BackingOff extends Trying {
  readonly name = 'backingOff';
  /** When the next try begins, in milliseconds since 1970. */
  readonly until: number;

  constructor(graceUntil: number | null, until: number) {
    super(graceUntil);
    this.until = until;
  }

  connect(): Connecting {
    return this.leave(new Connecting(this.graceUntil));
  }
}

/** Makes sure that no other tab of this browser has the session. */
export class Connecting extends Trying {
  readonly name = 'connecting';

  handshake(): Handshaking {
    return this.leave(new Handshaking(this.graceUntil));
  }
}

/** Has sent its numbers, and waits for those of the server. */
export class Handshaking extends Trying {
  readonly name = 'handshaking';

  accept(reply: HandshakeReply): Connected {
    return this.leave(new Connected(reply));
  }
}

/** Receives, and sends what there is to send. */
export class Connected extends Live {
  readonly name = 'connected';
  /** The reply to the handshake. */
  readonly reply: HandshakeReply;

  constructor(reply: HandshakeReply) {
    super();
    this.reply = reply;
  }

  /** The connection is lost, as of `now`: from then on the server waits for so long. */
  lose(now: number): NoConnection {
    const { heartbeatIntervalMs, heartbeatsUntilDead, sessionDisconnectGraceMs } = this.reply;
    return this.leave(new NoConnection(now + heartbeatIntervalMs * heartbeatsUntilDead + sessionDisconnectGraceMs));
  }
}

/** The end. */
export class Closed {
  readonly name = 'closed';
  /** The reason, if it did not end as it should. */
  readonly error: RestanteError | undefined;

  constructor(error?: RestanteError) {
    this.error = error;
  }
}
