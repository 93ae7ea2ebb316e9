import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { clientError } from '../src/problem.js';
import { NoConnection, type BackingOff, type Closed, type Connected, type Connecting, type Handshaking } from '../src/state.js';
import type { HandshakeReply } from '../src/schemas.js';

const GRACE = 2 * 25_000 + 600_000;
const reply = { heartbeatIntervalMs: 25_000, heartbeatsUntilDead: 2, sessionDisconnectGraceMs: 600_000 } as HandshakeReply;

const none = (graceUntil: number | null = null) => new NoConnection(graceUntil);
const backingOff = (graceUntil: number | null = null) => none(graceUntil).backOff(10);
const connecting = (graceUntil: number | null = null) => backingOff(graceUntil).connect();
const handshaking = (graceUntil: number | null = null) => connecting(graceUntil).handshake();
const connected = () => handshaking().accept(reply);

describe('a transition', () => {
  test('leads through all states to a connection', () => {
    const names = [none(), backingOff(), connecting(), handshaking(), connected()].map((state) => state.name);
    assert.deepEqual(names, ['noConnection', 'backingOff', 'connecting', 'handshaking', 'connected']);
  });

  for (const [name, state] of Object.entries({ backingOff, connecting, handshaking })) {
    test(`leads from ${name} back to no connection when it is lost`, () => {
      assert.equal(state().lose().name, 'noConnection');
    });
  }

  test('leads from connected to no connection, and on to another connection', () => {
    const again = connected().lose(1000).backOff(0).connect().handshake().accept(reply);
    assert.equal(again.name, 'connected');
  });

  test('keeps when the next try begins', () => {
    assert.equal(none().backOff(4711).until, 4711);
  });
});

describe('the grace', () => {
  test('has no end before the first connection', () => {
    assert.equal(handshaking().lose().graceUntil, null);
  });

  test('begins when a connection is lost', () => {
    assert.equal(connected().lose(1000).graceUntil, 1000 + GRACE);
  });

  test('goes on, partially consumed, over tries that fail', () => {
    const lost = connected().lose(1000);
    const again = lost.backOff(2000).lose().backOff(3000).connect().lose().backOff(4000).connect().handshake().lose();
    assert.equal(again.graceUntil, 1000 + GRACE);
  });

  test('begins anew after another connection', () => {
    const again = connected().lose(1000).backOff(0).connect().handshake().accept(reply).lose(9000);
    assert.equal(again.graceUntil, 9000 + GRACE);
  });
});

describe('a state that was left', () => {
  const leaving: Record<string, { name: string; signal: AbortSignal; go: () => unknown; close: () => unknown }> = {};
  const put = <S extends { name: string; signal: AbortSignal; close: () => unknown }>(how: string, state: S, go: (state: S) => unknown) => {
    leaving[how] = { name: state.name, signal: state.signal, go: () => go(state), close: () => state.close() };
  };
  put('by backing off', none(), (state) => state.backOff(0));
  put('by connecting', backingOff(), (state) => state.connect());
  put('by giving up the wait', backingOff(), (state) => state.lose());
  put('by shaking hands', connecting(), (state) => state.handshake());
  put('as connecting failed', connecting(), (state) => state.lose());
  put('as it was accepted', handshaking(), (state) => state.accept(reply));
  put('as the handshake failed', handshaking(), (state) => state.lose());
  put('as the connection was lost', connected(), (state) => state.lose(0));

  for (const [how, { name, signal, go, close }] of Object.entries(leaving)) {
    test(`${how}: ${name} ends what was begun in it, and cannot be left or closed again`, () => {
      assert.equal(signal.aborted, false);
      go();
      assert.equal(signal.aborted, true);
      assert.throws(go, /was left/);
      assert.throws(close, /was left/);
    });
  }
});

describe('closing', () => {
  for (const [name, state] of Object.entries({ none, backingOff, connecting, handshaking, connected })) {
    test(`ends ${name}, for good`, () => {
      const before = state();
      const error = clientError('LEFT', 'on purpose');
      const closed = before.close(error);
      assert.equal(closed.name, 'closed');
      assert.equal(closed.error, error);
      assert.equal(before.signal.aborted, true);
      assert.throws(() => before.close(), /was left/);
    });
  }
});

/** None of these exists. It is never run: that it type-checks is the test, as an expected error that does not come is one. */
export function illegal(a: NoConnection, b: BackingOff, c: Connecting, d: Handshaking, e: Connected, f: Closed): void {
  // @ts-expect-error without waiting
  a.connect();
  // @ts-expect-error
  a.handshake();
  // @ts-expect-error
  a.accept(reply);
  // @ts-expect-error there is nothing to lose
  a.lose(0);
  // @ts-expect-error twice
  b.backOff(0);
  // @ts-expect-error
  b.handshake();
  // @ts-expect-error
  b.accept(reply);
  // @ts-expect-error
  c.backOff(0);
  // @ts-expect-error twice
  c.connect();
  // @ts-expect-error without a handshake
  c.accept(reply);
  // @ts-expect-error
  d.backOff(0);
  // @ts-expect-error
  d.connect();
  // @ts-expect-error twice
  d.handshake();
  // @ts-expect-error
  e.backOff(0);
  // @ts-expect-error
  e.connect();
  // @ts-expect-error
  e.handshake();
  // @ts-expect-error twice
  e.accept(reply);
  // @ts-expect-error without saying when
  e.lose();
  // @ts-expect-error
  f.backOff(0);
  // @ts-expect-error
  f.connect();
  // @ts-expect-error
  f.lose(0);
  // @ts-expect-error twice
  f.close();
  // @ts-expect-error one state is not another
  a = b;
  // @ts-expect-error
  c = d;
}
