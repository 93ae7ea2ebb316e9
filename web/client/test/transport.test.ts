import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Mailbox, Options, Session, Transport } from '../src/index.js';
import type { Weather } from './page.js';
import { World, type Place } from './world.js';

/** Ada, over a network with this weather, and Bob, who adds what she hears. */
async function listening(transport: Options['transport'], weather: Weather = {}): Promise<{
  world: World;
  ada: Place;
  a: Session;
  ours: Mailbox;
  heard: string[];
  say: (text: string) => Promise<unknown>;
}> {
  const world = new World();
  const [ada, bob] = [world.place(1), world.place(2)];
  ada.network.weather = weather;
  const a = await ada.connect({ transport });
  const b = await bob.connect();
  const ours = await ada.done(a.open('box'));
  const theirs = await bob.done(b.open('box'));
  const heard: string[] = [];
  void ours.each(({ body }) => heard.push(body)).catch(() => {});
  return { world, ada, a, ours, heard, say: (text) => bob.done(theirs.add('talk', text)) };
}

const count = (place: Place, line: string) => place.network.sent.filter((sent) => sent.startsWith(line)).length;

for (const transport of ['sse', 'socket'] as const) {
  describe(`over ${transport}`, () => {
    test('messages come at once, each once and in order', async () => {
      const { world, ada, a, heard, say } = await listening(transport, { latencyMs: 10 });
      for (let i = 0; i < 50; i++) await say(`${i}`);
      await world.clock.pass(100);
      assert.deepEqual(heard, Array.from({ length: 50 }, (_, i) => `${i}`));
      assert.equal(a.transport.value, transport);
      assert.equal(count(ada, 'GET /v1/session/events'), transport === 'sse' ? 1 : 0);
    });

    test('heartbeats are answered, which keeps the session alive', async () => {
      const { world, ada, a } = await listening(transport);
      for (let i = 0; i < 20; i++) {
        await world.clock.pass(25_000);
        assert.ok(world.clock.now - ada.kept(a).seen <= 25_000);
      }
      assert.equal(ada.kept(a).epoch, 1);
    });

    test('what is processed is acknowledged, and what is not is kept', async () => {
      const { world, ada, a, heard, say } = await listening(transport);
      await say('one');
      await world.clock.pass(100);
      assert.equal(ada.kept(a).frames.length, 0);
      const other = await ada.done(a.open('other'));
      const bob = world.place(5);
      const theirs = await bob.done((await bob.connect()).open('other'));
      await bob.done(theirs.add('talk', 'not read'));
      await world.clock.pass(60_000);
      assert.deepEqual(ada.kept(a).frames.map(({ type }) => type), ['message']);
      assert.equal(other.id, 'other');
      await say('two');
      await world.clock.pass(100);
      assert.deepEqual(heard, ['one', 'two'], 'and nothing waits for it');
    });

    test('silence is noticed by the clock, and a new connection carries on', async () => {
      const { world, ada, a, heard, say } = await listening(transport);
      await world.clock.pass(1000);
      ada.kept(a).parked = undefined; // the server says nothing more on it
      world.clock.sleep(0);
      ada.network.weather = { swallow: 1 };
      await say('one');
      await world.clock.pass(0);
      ada.network.weather = {};
      const kept = ada.kept(a).epoch;
      assert.equal(heard.length, 0);
      ada.network.cut();
      await world.clock.until('it is heard', () => heard.length === 1);
      assert.ok(ada.kept(a).epoch > kept);
    });

    test('a connection that is cut is followed by another', async () => {
      const { world, ada, a, heard, say } = await listening(transport);
      for (let i = 0; i < 5; i++) {
        await say(`${i}`);
        ada.network.cut();
        await say(`${i}'`);
        await world.clock.pass(5000);
      }
      assert.deepEqual(heard, [0, 1, 2, 3, 4].flatMap((i) => [`${i}`, `${i}'`]));
      assert.equal(a.state.value.name, 'connected');
    });
  });
}

test('commands go over the socket once it has proven itself, and are the same commands as over HTTP', async () => {
  const { world, ada, a, ours } = await listening('socket');
  await world.clock.pass(1000);
  const before = ada.network.sent.length;
  assert.equal((await ada.done(ours.add('talk', 'one'))).position, 1);
  assert.equal(ada.network.sent.length, before, 'nothing went over HTTP');
  const kept = ada.kept(a);
  const lost = ours.add('talk', 'two');
  ada.network.cut();
  assert.equal((await ada.done(lost)).position, 2);
  assert.equal(kept.replies.length, 3);
  assert.deepEqual(world.model.mailboxes.get('box')?.messages.map(({ body }) => body), ['one', 'two']);
});

describe('where there is no socket', () => {
  class Forbidden {
    constructor() {
      throw new DOMException('The operation is insecure.', 'SecurityError');
    }
  }
  for (const [what, WebSocket] of [['missing', undefined], ['forbidden', Forbidden as never]] as const) for (const transport of ['socket', 'auto'] as const) {
    test(`as it is ${what}, ${transport} goes on another way`, async () => {
      const world = new World();
      const ada = world.place();
      ada.page.platform.WebSocket = WebSocket;
      const a = await ada.connect({ transport });
      const ours = await ada.done(a.open('box'));
      assert.equal((await ada.done(ours.add('talk', 'one'))).position, 1);
      await world.clock.pass(60_000);
      assert.deepEqual([a.state.value.name, a.transport.value], ['connected', transport === 'auto' ? 'sse' : 'poll']);
      assert.equal(count(ada, 'POST /v1/sessions'), 1);
    });
  }
});

describe('auto', () => {
  const settles = async (weather: Weather): Promise<Transport> => {
    const { world, a, heard, say } = await listening('auto', weather);
    for (let i = 0; i < 30; i++) {
      const before = world.clock.now;
      await say(`${i}`);
      const took = await world.clock.until(`message ${i} is heard`, () => heard.length > i);
      assert.ok(took <= 5000, `message ${i} took ${took} ms`);
      await world.clock.pass(before + 10_000 - world.clock.now);
    }
    assert.deepEqual(heard, Array.from({ length: 30 }, (_, i) => `${i}`));
    return a.transport.value;
  };

  test('begins with long-poll and moves to a socket', async () => {
    const { world, ada, a } = await listening('auto', { latencyMs: 20 });
    const seen: Transport[] = [];
    a.transport.subscribe((transport) => seen.push(transport));
    await world.clock.pass(1000);
    assert.deepEqual(seen.slice(-1), ['socket']);
    assert.ok(count(ada, 'GET /v1/session/events') >= 1);
    assert.equal(count(ada, 'POST /v1/sessions'), 1, 'in one session, with one handshake');
  });

  test('takes a stream where upgrades are refused', async () => {
    assert.equal(await settles({ noUpgrades: true, latencyMs: 20 }), 'sse');
  });

  test('stays with long-poll where streams are swallowed, too, and each message still comes in seconds', async () => {
    assert.equal(await settles({ noUpgrades: true, buffering: true, latencyMs: 20 }), 'poll');
  });

  test('gives up what dies young three times, and comes back to it after ten minutes', async () => {
    const { world, ada, a } = await listening('auto', { noUpgrades: true, cutsLiveAfterMs: 3000 });
    await world.clock.pass(300_000);
    assert.equal(count(ada, 'SOCKET'), 3);
    assert.equal(a.transport.value, 'poll');
    const before = count(ada, 'POST /v1/sessions');
    ada.network.weather = {};
    await world.clock.pass(200_000);
    assert.equal(a.transport.value, 'poll');
    await world.clock.pass(400_000);
    assert.equal(a.transport.value, 'socket');
    assert.equal(count(ada, 'POST /v1/sessions'), before, 'without another handshake');
  });

  test('tries again at once on another network', async () => {
    const { world, ada, a } = await listening('auto', { noUpgrades: true, buffering: true });
    await world.clock.pass(200_000);
    ada.network.weather = {};
    ada.page.tell('online');
    await world.clock.pass(1000);
    assert.equal(a.transport.value, 'socket');
  });

  test('moves back to long-poll when a socket is cut, and loses and repeats nothing', async () => {
    const { world, ada, a, heard, say } = await listening('auto', { latencyMs: 5 });
    await world.clock.pass(70_000);
    assert.equal(a.transport.value, 'socket');
    const seen: Transport[] = [];
    a.transport.subscribe((transport) => seen.push(transport));
    for (let i = 0; i < 20; i++) {
      await say(`${i}`);
      if (i === 10) ada.network.cut();
    }
    await world.clock.pass(100);
    assert.deepEqual(heard, Array.from({ length: 20 }, (_, i) => `${i}`));
    assert.deepEqual(seen.slice(0, 2), ['socket', 'poll']);
    assert.equal(count(ada, 'POST /v1/sessions'), 1);
  });
});

test('a mailbox that nothing reads holds no other one up', async () => {
  for (const transport of ['poll', 'sse', 'socket'] as const) {
    const { world, ada, a, heard, say } = await listening(transport);
    await ada.done(a.open('unread'));
    const bob = world.place(5);
    const theirs = await bob.done((await bob.connect()).open('unread'));
    await world.clock.pass(10_000);
    await bob.done(theirs.add('talk', 'unread'));
    for (let i = 0; i < 5; i++) {
      await world.clock.pass(137);
      await say(`${i}`);
      const took = await world.clock.until(`message ${i} is heard`, () => heard.length > i);
      assert.ok(took <= 50, `message ${i} took ${took} ms by ${transport}`);
    }
    assert.equal(ada.kept(a).frames[0]?.['body'], 'unread', 'and it is not acknowledged');
  }
});

test('a receiver that the server is ahead of begins again, and misses nothing', async () => {
  for (const transport of ['poll', 'auto'] as const) {
    const { world, ada, a, heard, say } = await listening(transport);
    await world.clock.pass(1000);
    const kept = ada.kept(a);
    kept.parked = undefined;
    await say('one');
    kept.frames = []; // acknowledged, by a page that has gone
    ada.network.cut();
    await world.clock.until('it is heard', () => heard.length > 0);
    assert.deepEqual(heard, ['one']);
    assert.notEqual(ada.kept(a), kept, 'and it has not stayed in that session');
  }
});
