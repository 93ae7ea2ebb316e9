import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { RestanteError, type Mailbox, type Message, type Session } from '../src/index.js';
import { settle } from './clock.js';
import { problem } from './model.js';
import { Page } from './page.js';
import { refused, World, type Place } from './world.js';

/** Two who have met in a mailbox. */
async function met(): Promise<{ world: World; ada: Place; bob: Place; a: Session; b: Session; ours: Mailbox; theirs: Mailbox }> {
  const world = new World();
  const [ada, bob] = [world.place(1), world.place(2)];
  const [a, b] = [await ada.connect(), await bob.connect()];
  const ours = await ada.done(a.allocate());
  const theirs = await bob.done(b.claim(ours.nameplate ?? ''));
  return { world, ada, bob, a, b, ours, theirs };
}

/** Reads a mailbox in the background. */
function read(mailbox: Mailbox): string[] {
  const heard: string[] = [];
  void (async () => {
    for await (const message of mailbox.messages()) heard.push(message.body);
    heard.push('.');
  })().catch((error: RestanteError) => heard.push(error.code));
  return heard;
}

const polls = (place: Place) => place.network.sent.filter((line) => line.startsWith('GET /v1/session/events'));
const handshakes = (place: Place) => place.network.sent.filter((line) => line === 'POST /v1/sessions').length;

describe('two people', () => {
  test('meet by a number, and exchange messages', async () => {
    const { ada, bob, ours, theirs } = await met();
    const [heard, answers] = [read(theirs), read(ours)];
    assert.deepEqual(await ada.done(ours.add('talk', 'Tea at four?')), { position: 1, serverRx: ada.world.clock.now });
    await bob.done(theirs.add('talk', 'With cake.'));
    await settle();
    assert.deepEqual([heard, answers], [['Tea at four?'], ['With cake.']]);
  });

  test('see each other come and go', async () => {
    const { bob, ours, b, theirs } = await met();
    const seen: unknown[] = [];
    ours.sides.subscribe((sides) => seen.push(sides.map(({ side, mood }) => [side === b.side, mood])));
    await bob.done(theirs.close({ mood: 'lonely' }));
    await settle();
    assert.deepEqual(seen, [[[false, undefined], [true, undefined]], [[false, undefined], [true, 'lonely']]]);
  });

  test('find numbers that wait, and read the whole log', async () => {
    const { ada, a, ours, theirs, bob } = await met();
    assert.deepEqual(await ada.done(a.list()), ['1']);
    for (let i = 0; i < 130; i++) await bob.done(theirs.add('talk', `${i}`));
    await ada.done(ours.add('talk', 'mine'));
    const all: Message[] = [];
    await ada.done((async () => {
      for await (const message of ours.history({ after: 3 })) all.push(message);
    })());
    assert.deepEqual(all.map(({ position }) => position), Array.from({ length: 128 }, (_, i) => i + 4));
    assert.equal(all.at(-1)?.body, 'mine');
  });

  test('end their sessions, with all that was asked before done', async () => {
    const { world, ada, a, ours, theirs } = await met();
    const heard = read(theirs);
    void ours.add('talk', 'one last thing');
    await ada.done(a.close({ mood: 'happy' }));
    assert.equal(a.state.value.name, 'closed');
    assert.equal(await a.closed, undefined);
    assert.equal(ada.tab.items.size, 0);
    await settle();
    assert.deepEqual(heard, ['one last thing']);
    assert.equal((await refused(a.allocate())).code, 'LEFT');
    const sent = ada.network.sent.length;
    await world.clock.pass(600_000);
    assert.equal(ada.network.sent.length, sent, 'a session that is closed says nothing more');
  });
});

describe('receiving', () => {
  test('goes on with each answer, and needs no timer', async () => {
    const { world, ada } = await met();
    const before = polls(ada).length;
    await world.clock.pass(250_000);
    assert.equal(polls(ada).length - before, 10, 'one receive a heartbeat');
    assert.equal(handshakes(ada), 1);
  });

  test('acknowledges a message when its reader asks for the next one, not before', async () => {
    const { world, ada, bob, a, ours, theirs } = await met();
    const reader = ours.messages();
    void bob.done(theirs.add('talk', 'one'));
    await ada.done(reader.next());
    await world.clock.pass(10_000);
    const { frames } = ada.kept(a);
    assert.deepEqual(frames.map(({ type }) => type), ['message'], 'the server keeps it');
    void reader.next();
    await world.clock.pass(10_000);
    assert.deepEqual(ada.kept(a).frames, []);
  });

  test('hands a message over again whose handler failed', async () => {
    const { bob, ours, theirs, ada } = await met();
    await bob.done(theirs.add('talk', 'one'));
    const failing = ours.each(() => Promise.reject(new Error('no room')));
    assert.equal((await refused(ada.done(failing))).message, 'no room');
    const reader = ours.messages();
    assert.equal((await ada.done(reader.next())).value?.body, 'one');
  });

  test('takes a message as processed whose loop was left', async () => {
    const { bob, ours, theirs, ada } = await met();
    await bob.done(theirs.add('talk', 'one'));
    await bob.done(theirs.add('talk', 'two'));
    for (const expected of ['one', 'two']) {
      for await (const message of ours.messages()) {
        assert.equal(message.body, expected);
        break;
      }
    }
    assert.equal(ada.world.model.mailboxes.size, 1);
  });

  test('lets one loop read a mailbox at a time', async () => {
    const { ours } = await met();
    void ours.messages().next();
    await assert.rejects(ours.messages().next(), TypeError);
  });

  test('is not held up for all by a mailbox that no application reads', async () => {
    const { world, ada, bob, a, b, theirs } = await met();
    const other = await ada.done(a.open('other'));
    const theirOther = await bob.done(b.open('other'));
    await bob.done(theirs.add('talk', 'unread'));
    await world.clock.pass(60_000);
    const heard = read(other);
    await bob.done(theirOther.add('talk', 'read'));
    const took = await world.clock.until('it is heard', () => heard.length > 0);
    assert.ok(took <= 1000, `after ${took} ms`);
    for (let i = 0; i < 150; i++) await bob.done(theirs.add('talk', `more than an answer holds: ${i}`));
    await bob.done(theirOther.add('talk', 'read, too'));
    await world.clock.until('it is heard', () => heard.length > 1);
    assert.deepEqual(heard, ['read', 'read, too']);
    const before = polls(ada).length;
    await world.clock.pass(80_000);
    assert.ok(polls(ada).length - before <= 4, 'and what it has is not asked for again');
  });

  test('acknowledges what is processed while it waits for more', async () => {
    const { world, ada, bob, a, ours, theirs } = await met();
    await bob.done(theirs.add('talk', 'one'));
    await bob.done(theirs.add('talk', 'two'));
    await world.clock.pass(5000); // by now, more is asked for
    const before = polls(ada).length;
    const heard = read(ours);
    await settle();
    await world.clock.pass(1000);
    assert.deepEqual(heard, ['one', 'two']);
    assert.equal(ada.kept(a).frames.length, 0, 'the server has forgotten them');
    assert.equal(polls(ada).length, before, 'without another receive');
  });

  test('goes on past what no application reads also when the clock is set back', async () => {
    const world = new World();
    const [ada, bob] = [world.place(1), world.place(2)];
    let setBackMs = 0;
    ada.page.platform.now = () => world.clock.now - setBackMs;
    const [a, b] = [await ada.connect(), await bob.connect()];
    await ada.done(a.open('box'));
    const theirs = await bob.done(b.open('box'));
    const other = await ada.done(a.open('other'));
    const theirOther = await bob.done(b.open('other'));
    await bob.done(theirs.add('talk', 'unread'));
    await world.clock.pass(100);
    setBackMs = 3_600_000;
    const heard = read(other);
    await bob.done(theirOther.add('talk', 'read'));
    const took = await world.clock.until('it is heard', () => heard.length > 0);
    assert.ok(took <= 16_000, `after ${took} ms`);
  });

  test('ends the loop when the mailbox is retired, after all that came before', async () => {
    const { world, ada, bob, a, ours, theirs } = await met();
    await bob.done(theirs.add('talk', 'one'));
    world.model.prune(ours.id);
    await settle();
    assert.deepEqual(a.mailboxes.size, 1, 'there is something to read yet');
    const heard = read(ours);
    await settle();
    assert.deepEqual(heard, ['one', '.']);
    assert.equal(ours.retired, 'pruned');
    assert.equal(a.mailboxes.size, 0);
    assert.equal((await refused(ada.done(ours.add('talk', 'hello?')))).code, 'NOT_OPEN');
  });

  test('stops when the reader aborts', async () => {
    const { ours } = await met();
    const stop = new AbortController();
    const next = ours.messages({ signal: stop.signal }).next();
    stop.abort(new Error('enough'));
    assert.equal((await refused(next)).message, 'enough');
    void ours.messages().next(); // and another may read
  });

  test('takes a gap for a broken connection', async () => {
    const { world, bob, ours, theirs, ada, a } = await met();
    const heard = read(ours);
    await world.clock.pass(10);
    const kept = ada.kept(a);
    const answer = kept.parked?.answer;
    await bob.done(theirs.add('talk', 'one'));
    await world.clock.pass(1000);
    assert.ok(answer);
    const { frames } = kept;
    kept.frames = [];
    kept.parked?.answer({ status: 200, headers: {}, body: { frames: [{ seq: kept.next + 1, type: 'message', mailbox: ours.id }] } });
    kept.parked = undefined;
    kept.frames = frames;
    await bob.done(theirs.add('talk', 'two'));
    await world.clock.pass(1000);
    assert.deepEqual(heard, ['one', 'two']);
    assert.equal(kept.epoch, 2);
  });

  test('skips what it does not know', async () => {
    const { world, bob, ours, theirs, ada, a } = await met();
    const kept = ada.kept(a);
    kept.frames.push({ seq: kept.next++, type: 'gossip', mailbox: ours.id });
    const heard = read(ours);
    await bob.done(theirs.add('talk', 'one'));
    await world.clock.pass(1000);
    assert.deepEqual(heard, ['one']);
  });
});

describe('a lost connection', () => {
  test('is followed by a handshake, and nothing else is noticed', async () => {
    const { world, ada, bob, a, ours, theirs } = await met();
    const heard = read(ours);
    const states: string[] = [];
    a.state.subscribe(({ name }) => states.push(name));
    ada.network.down = true;
    ada.network.cut();
    await bob.done(theirs.add('talk', 'one'));
    await world.clock.pass(200);
    ada.network.down = false;
    await world.clock.until('it is heard', () => heard.length === 1);
    assert.deepEqual(states, ['connected', 'noConnection', 'backingOff', 'connecting', 'handshaking', 'connected']);
    assert.equal(ada.kept(a).epoch, 2);
  });

  test('may be bad luck: the same request is sent once more', async () => {
    const { world, ada, a } = await met();
    ada.network.cut();
    await world.clock.pass(30_000);
    assert.equal(a.state.value.name, 'connected');
    assert.equal(ada.kept(a).epoch, 1);
  });

  test('delays the next try longer each time, up to 32 s', async () => {
    const world = new World();
    const ada = world.place();
    ada.page.platform.random = () => 1; // the longest there is
    const a = await ada.connect();
    const waits: number[] = []; // the first, of 150 ms, was before the same request was sent once more
    a.state.subscribe((state) => {
      if (state.name === 'backingOff') waits.push(state.until - world.clock.now);
    });
    ada.network.down = true;
    ada.network.cut();
    await world.clock.pass(200_000);
    assert.deepEqual(waits.slice(0, 10), [300, 600, 1200, 2400, 4800, 9600, 19_200, 32_000, 32_000, 32_000]);
    ada.network.down = false;
    await world.clock.until('it is back', () => a.state.value.name === 'connected');
    waits.length = 0;
    ada.network.cut();
    await world.clock.pass(0);
    assert.deepEqual(waits, [32_000], 'a handshake alone restores nothing');
    await world.clock.pass(32_000 + 3 * 25_000);
    waits.length = 0;
    ada.network.cut();
    await world.clock.pass(0);
    assert.deepEqual(waits, [4800], 'each answer gave one try back');
  });

  test('is noticed by the clock, if the server is silent', async () => {
    const { world, ada, a, ours } = await met();
    ada.network.weather = { swallow: 1 };
    await world.clock.pass(25_000);
    assert.equal(a.state.value.name, 'connected');
    const took = await world.clock.until('it is noticed', () => a.state.value.name !== 'connected');
    assert.equal(took, 60_000, 'the answer of the last receive came, the next did not');
    ada.network.weather = {};
    const heard = read(ours);
    await world.clock.until('it is back', () => a.state.value.name === 'connected');
    assert.deepEqual(heard, []);
  });

  test('is noticed as soon as the computer wakes, however long it slept', async () => {
    const { world, ada, a } = await met();
    ada.network.weather = { swallow: 1 };
    await world.clock.pass(30_000);
    ada.network.weather = {};
    world.clock.sleep(3_600_000);
    ada.page.tell('visibilitychange');
    const took = await world.clock.until('it is back', () => a.state.value.name === 'connected' && handshakes(ada) === 2);
    assert.ok(took <= 150, `${took} ms`);
  });

  test('is noticed in time, also after the clock was set back', async () => {
    const { world, ada, a } = await met();
    ada.network.weather = { swallow: 1 };
    await world.clock.pass(30_000);
    world.clock.sleep(-3_600_000);
    const took = await world.clock.until('it is lost', () => a.state.value.name !== 'connected');
    assert.ok(took <= 120_000, `${took} ms`);
  });

  test('resends the command that was not answered, and it is done once', async () => {
    for (const lost of [{ loseRequest: 1 }, { loseAnswer: 1 }, { cutBody: 1 }, { swallow: 1 }]) {
      const { world, ada, a, ours, theirs } = await met();
      const heard = read(theirs);
      ada.network.weather = lost;
      const adding = ours.add('talk', 'one');
      const then = ours.add('talk', 'two');
      await settle();
      ada.network.weather = {};
      assert.equal((await ada.done(adding)).position, 1);
      assert.equal((await ada.done(then)).position, 2);
      await world.clock.pass(1000);
      assert.deepEqual(heard, ['one', 'two'], JSON.stringify(lost));
      assert.equal(ada.kept(a).replies.length, 4);
    }
  });

  test('is given up in five tries if there was none before', async () => {
    const world = new World();
    const place = world.place();
    place.network.down = true;
    assert.equal((await refused(place.connect())).code, 'UNREACHABLE');
    assert.equal(handshakes(place), 5);
    place.network.down = false;
    assert.equal((await place.connect()).state.value.name, 'connected', 'and may be tried again');
  });

  test('can be waited for no longer than one likes', async () => {
    const world = new World();
    const place = world.place();
    place.network.weather = { swallow: 1 };
    const stop = new AbortController();
    const connecting = place.connecting({ signal: stop.signal });
    await world.clock.pass(5000);
    stop.abort(new Error('too long'));
    assert.equal((await refused(connecting)).message, 'too long');
    const sent = place.network.sent.length;
    await world.clock.pass(100_000);
    assert.equal(place.network.sent.length, sent);
  });
});

describe('a refusal', () => {
  test('that is fatal ends the session with the problem document', async () => {
    const world = new World();
    world.model.refuses = problem('REJECTED_UNSUPPORTED_CLIENT', { detail: 'update it' });
    const error = (await refused(world.place().connect())) as RestanteError;
    assert.ok(error instanceof RestanteError);
    assert.deepEqual([error.code, error.status, error.action, error.retriable], ['REJECTED_UNSUPPORTED_CLIENT', 403, 'stop', false]);
    assert.equal(error.problem.detail, 'update it');
  });

  test('that is fatal is not tried again, one that may pass is', async () => {
    const world = new World();
    const place = world.place();
    world.model.refuses = problem('STORAGE_UNAVAILABLE');
    const connecting = place.connecting();
    await world.clock.pass(100);
    world.model.refuses = undefined;
    assert.equal((await place.done(connecting)).state.value.name, 'connected');
    world.model.refuses = problem('REJECTED_UNSUPPORTED_CLIENT');
    const other = world.place(3);
    await refused(other.connect());
    await world.clock.pass(100_000);
    assert.equal(handshakes(other), 1);
  });

  test('of a command is its caller\'s, and nothing else stops', async () => {
    const { world, ours } = await met();
    const third = world.place(3);
    const c = await third.connect();
    assert.equal((await refused(third.done(c.claim(ours.nameplate ?? '')))).code, 'CROWDED');
    assert.equal((await third.done(c.allocate())).nameplate, '2');
    assert.equal(c.mailboxes.size, 1);
  });

  test('that only the application can do something about is its to handle, though it may pass', async () => {
    const { world, ada, a } = await met();
    world.model.refusesCommands = problem('QUOTA_EXCEEDED');
    const error = (await refused(ada.done(a.allocate()))) as RestanteError;
    assert.deepEqual([error.code, error.retriable], ['QUOTA_EXCEEDED', true]);
    world.model.refusesCommands = problem('STORAGE_UNAVAILABLE');
    const waiting = a.allocate();
    await world.clock.pass(5000);
    world.model.refusesCommands = undefined;
    assert.equal((await ada.done(waiting)).nameplate, '2');
  });

  for (const [code, status] of [['MALFORMED_HANDSHAKE', 400], ['PROTOCOL_VERSION_MISMATCH', 400], ['NOT_FOUND', 404], ['MISDIRECTED_REQUEST', 421]] as const) {
    test(`of a handshake leaves what is kept to the next one: ${code}`, async () => {
      const world = new World();
      const place = world.place();
      const load = async () => {
        world.model.refuses = problem(code, { status, action: 'stop', retriable: false });
        assert.equal((await refused(place.connect({ graceMs: 3_600_000 }))).code, code);
        world.model.refuses = undefined;
        return place.connect();
      };
      const before = await load();
      const { id } = await place.done(before.allocate());
      place.reload();
      const session = await load();
      assert.deepEqual([session.resumed, session.side, ...session.mailboxes.keys()], [true, before.side, id]);
    });
  }

  test('of a side that cannot be one leaves another to be tried', async () => {
    const world = new World();
    const place = world.place();
    world.model.refuses = problem('MALFORMED_HANDSHAKE', { status: 400, action: 'stop', retriable: false });
    await refused(place.connect({ side: 'no side' }));
    world.model.refuses = undefined;
    assert.equal((await place.connect({ side: 'ada' })).side, 'ada');
  });

  test('of a side that someone else has is fatal', async () => {
    const { world, a } = await met();
    assert.equal((await refused(world.place(3).connect({ side: a.side }))).code, 'SIDE_TAKEN');
  });
});

describe('a session that ended on the server', () => {
  for (const how of ['expired', 'overflow', 'forgotten'] as const) {
    test(`is followed by another one, that goes on where it was: ${how}`, async () => {
      const { world, ada, bob, a, ours, theirs } = await met();
      const heard = read(ours);
      await bob.done(theirs.add('talk', 'one'));
      await world.clock.pass(100);
      const [old, side] = [ada.kept(a), a.side];
      ada.network.down = true;
      ada.network.cut();
      await bob.done(theirs.add('talk', 'two'));
      const adding = ours.add('talk', 'meanwhile');
      if (how === 'forgotten') world.model.forget(old);
      else world.model.end(old, how);
      ada.network.down = false;
      await world.clock.until('all is heard', () => heard.length === 2);
      assert.deepEqual(heard, ['one', 'two']);
      assert.equal((await ada.done(adding)).position, 3);
      assert.equal(a.side, side);
      assert.notEqual(ada.kept(a).id, old.id);
    });
  }

  for (const handlingMs of [10, 5000]) {
    test(`hands over once what is being handled for ${handlingMs} ms, and what waits behind it`, async () => {
      const { world, ada, bob, a, ours, theirs } = await met();
      const heard: string[] = [];
      void ours.each(async ({ body }) => {
        heard.push(body);
        await new Promise<void>((resolve) => world.clock.setTimeout(resolve, handlingMs));
      });
      ada.network.weather = { latencyMs: 20 };
      for (const text of ['one', 'two', 'three']) await bob.done(theirs.add('talk', text));
      await world.clock.until('one is being handled', () => heard.length === 1);
      await world.clock.pass(handlingMs / 2);
      world.model.end(ada.kept(a), 'expired');
      await world.clock.until('another session has begun', () => ada.kept(a).ended === undefined);
      await bob.done(theirs.add('talk', 'four'));
      await world.clock.pass(100_000);
      assert.deepEqual(heard, ['one', 'two', 'three', 'four']);
      assert.equal(ada.kept(a).frames.length, 0, 'all is acknowledged');
    });
  }

  for (const done of [true, false]) {
    test(`an add that is looked for in the log and aborted is done once: ${done ? 'it was done' : 'it never arrived'}`, async () => {
      const { world, ada, a, ours, theirs } = await met();
      const heard = read(theirs);
      ada.network.weather = done ? { loseAnswer: 1 } : { loseRequest: 1 };
      const stop = new AbortController();
      const adding = ours.add('talk', 'once', { signal: stop.signal });
      await settle();
      world.model.forget(ada.kept(a));
      ada.network.weather = {};
      let looks = 0;
      ada.network.gateway = async (call, pass) => {
        const reply = await pass();
        if (call.method === 'GET' && call.path.includes('/messages?') && looks++ === 0) {
          stop.abort(new Error('enough'));
          ada.network.weather = { loseAnswer: 1 };
        } else if (call.path.endsWith('/messages')) ada.network.weather = {}; // the answer to this add is lost, too
        return reply;
      };
      assert.equal((await refused(ada.done(adding))).message, 'enough');
      assert.equal((await ada.done(ours.add('talk', 'then'))).position, 2);
      await world.clock.pass(10_000);
      assert.deepEqual([looks > 0, heard, a.state.value.name], [true, ['once', 'then'], 'connected']);
    });
  }

  test('a close that was sent, and is aborted as the next session, is done all the same', async () => {
    const { world, ada, a, ours } = await met();
    ada.network.weather = { loseRequest: 1 };
    const stop = new AbortController();
    const closing = ours.close({ mood: 'lonely', signal: stop.signal });
    await settle();
    world.model.forget(ada.kept(a));
    ada.network.weather = {};
    ada.network.gateway = (call, pass) => {
      if (call.path === ours.path) stop.abort(new Error('enough')); // whether it is there, before it is opened again
      return pass();
    };
    assert.equal((await refused(ada.done(closing))).message, 'enough');
    await world.clock.pass(10_000);
    assert.equal(world.model.mailboxes.get(ours.id)?.sides.get(a.side), 'lonely');
    assert.equal(a.mailboxes.size, 0);
  });

  test('keeps what is being handled until it is processed, also as the next session', async () => {
    const { world, ada, bob, a, ours, theirs } = await met();
    await bob.done(theirs.add('talk', 'one'));
    void ours.each(() => new Promise(() => {}));
    await world.clock.pass(10);
    world.model.end(ada.kept(a), 'expired');
    await world.clock.pass(5000);
    assert.deepEqual(ada.kept(a).frames.map(({ type }) => type), ['message']);
  });

  for (const done of [true, false]) {
    test(`a command that was under way is done once: ${done ? 'it was done' : 'it never arrived'}`, async () => {
      const { world, ada, a, ours, theirs } = await met();
      const heard = read(theirs);
      ada.network.weather = done ? { loseAnswer: 1 } : { loseRequest: 1 };
      const adding = ours.add('talk', 'once');
      await settle();
      world.model.forget(ada.kept(a));
      ada.network.weather = {};
      assert.equal((await ada.done(adding)).position, 1);
      assert.equal((await ada.done(ours.add('talk', 'then'))).position, 2);
      await world.clock.pass(1000);
      assert.deepEqual(heard, ['once', 'then']);
    });
  }

  test('does not make a mailbox again that is gone meanwhile', async () => {
    const { world, ada, a, ours } = await met();
    const heard = read(ours);
    world.model.mailboxes.delete(ours.id);
    world.model.end(ada.kept(a), 'expired');
    await world.clock.pass(2000);
    assert.deepEqual(heard, ['.']);
    assert.equal(ours.retired, 'pruned');
    assert.equal(world.model.mailboxes.has(ours.id), false);
  });

  test('is the end, if another client replaced it', async () => {
    const { world, ada, a, ours } = await met();
    const heard = read(ours);
    world.model.end(ada.kept(a), 'replaced');
    await world.clock.pass(2000);
    assert.equal((await a.closed)?.code, 'SESSION_ENDED');
    assert.deepEqual(heard, ['SESSION_ENDED']);
    ada.reload();
    assert.equal((await ada.connect()).resumed, false, 'it is not tried for ever');
  });
});

describe('a proxy without patience', () => {
  for (const [status, afterMs, seconds] of [[504, 15_000, 12], [502, 10_000, 6], [524, 15_000, 12], [408, 13_000, 12]] as const) {
    test(`${status} after ${afterMs / 1000} s shortens the hold to ${seconds} s, and is no failure`, async () => {
      const { world, ada, a } = await met();
      ada.network.weather = { proxy: { status, afterMs } };
      await world.clock.pass(200_000);
      assert.equal(a.state.value.name, 'connected');
      assert.equal(handshakes(ada), 1);
      assert.match(polls(ada).at(-1) ?? '', new RegExp(`&wait=${seconds}$`));
    });
  }

  test('that answers at once has no server behind it: that is a failure', async () => {
    const { world, ada, a } = await met();
    ada.network.weather = { proxy: { status: 502, afterMs: 20 }, latencyMs: 1000 };
    await world.clock.pass(100_000);
    assert.ok(handshakes(ada) > 3);
    assert.ok(handshakes(ada) < 30, 'and it is not run over');
    ada.network.weather = {};
    await world.clock.until('it is back', () => a.state.value.name === 'connected');
    await world.clock.pass(1000);
    assert.doesNotMatch(polls(ada).at(-1) ?? '', /wait/);
  });

  test('that is without patience for what is not held long is a failure', async () => {
    const { world, ada, a } = await met();
    const times: number[] = [];
    ada.network.gateway = async (call, pass) => {
      if (!call.path.startsWith('/v1/session/events')) return pass();
      times.push(world.clock.now);
      await new Promise<void>((resolve) => world.clock.setTimeout(resolve, 4600));
      return { status: 504, headers: { 'Content-Type': 'text/html' }, body: '' };
    };
    ada.network.cut();
    await world.clock.pass(600_000);
    assert.ok(times.length < 50, `it has asked ${times.length} times`);
    assert.ok(handshakes(ada) > 5, 'and begins again each time');
    ada.network.gateway = undefined;
    await world.clock.until('it is back', () => a.state.value.name === 'connected');
  });

  test('for longer than a receive is held is a failure, too', async () => {
    const { world, ada } = await met();
    ada.network.weather = { proxy: { status: 504, afterMs: 13_000 } };
    ada.network.gateway = (call, pass) => (call.path.startsWith('/v1/session/events') ? new Promise(() => {}) : pass());
    ada.network.cut();
    await world.clock.pass(28_000);
    assert.match(polls(ada).at(-1) ?? '', /wait=12$/);
    assert.equal(handshakes(ada), 2);
  });

  test('on another network the holds are long again', async () => {
    const { world, ada } = await met();
    ada.network.weather = { proxy: { status: 504, afterMs: 15_000 } };
    await world.clock.pass(60_000);
    ada.network.weather = {};
    ada.page.tell('online');
    await world.clock.pass(1000);
    assert.doesNotMatch(polls(ada).at(-1) ?? '', /wait/);
  });
});

describe('a page', () => {
  test('that is hidden in the cache says nothing, and resumes at once when it is shown', async () => {
    const { world, ada, bob, a, ours, theirs } = await met();
    const heard = read(ours);
    ada.page.tell('pagehide');
    const sent = ada.network.sent.length;
    await bob.done(theirs.add('talk', 'one'));
    await world.clock.pass(300_000);
    assert.equal(ada.network.sent.length, sent);
    ada.page.tell('pageshow');
    const took = await world.clock.until('it is heard', () => heard.length === 1);
    assert.equal(took, 0);
    assert.equal(ada.kept(a).epoch, 2);
  });

  test('that comes online does not wait out its delay', async () => {
    const { world, ada, a } = await met();
    ada.network.down = true;
    ada.network.cut();
    await world.clock.pass(120_000);
    ada.network.down = false;
    await world.clock.until('it waits', () => a.state.value.name === 'backingOff');
    ada.page.tell('online');
    assert.equal(await world.clock.until('it is back', () => a.state.value.name === 'connected'), 0);
  });

  for (const state of ['connecting', 'handshaking']) test(`that comes online does not wait for what hangs while it is ${state}`, async () => {
    const { world, ada, a } = await met();
    const { request } = world.locks;
    if (state === 'connecting') {
      ada.page.tell('pagehide'); // lets go of the lock
      world.locks.request = (_, { signal }) => new Promise((_, refuse) => signal?.addEventListener('abort', () => refuse(signal.reason)));
      ada.page.tell('pageshow');
    } else {
      ada.network.weather = { swallow: 1 };
      ada.page.tell('online');
    }
    await world.clock.until(`it is ${state}`, () => a.state.value.name === state);
    await world.clock.pass(500);
    world.locks.request = request;
    ada.network.weather = {};
    ada.page.tell('online');
    assert.equal(await world.clock.until('it is back', () => a.state.value.name === 'connected'), 0);
  });

  test('that comes online before its network does tries again soon', async () => {
    const { world, ada, a } = await met();
    ada.network.down = true;
    ada.network.cut();
    await world.clock.pass(120_000);
    ada.page.tell('online');
    await world.clock.pass(100);
    ada.network.down = false;
    const took = await world.clock.until('it is back', () => a.state.value.name === 'connected');
    assert.ok(took <= 600, `it took ${took} ms`); // 150 + 300 ms, and what is on its way
  });

  for (const crash of [false, true]) {
    test(`that is loaded again${crash ? ' after a crash' : ''} resumes its session, and its mailboxes`, async () => {
      const { world, ada, bob, a, ours, theirs } = await met();
      const before = read(ours);
      await bob.done(theirs.add('talk', 'one'));
      await world.clock.pass(100);
      ada.network.down = true;
      void ours.add('talk', 'sent before');
      await settle();
      ada.reload({ crash });
      ada.network.down = false;
      await bob.done(theirs.add('talk', 'two'));
      const again = await ada.connect();
      assert.equal(again.resumed, true);
      assert.equal(again.side, a.side);
      const mailbox = again.mailboxes.get(ours.id);
      assert.equal(mailbox?.nameplate, '1');
      assert.deepEqual(mailbox?.sides.value.length, 2);
      const after = read(mailbox);
      const heard = read(theirs);
      await world.clock.pass(1000);
      assert.deepEqual([before, after, heard], [['one'], ['two'], ['sent before']]);
    });
  }

  test('that is loaded again does not hear again what it had processed, also if another mailbox was not read', async () => {
    const { world, ada, bob, a, b, ours, theirs } = await met();
    await ada.done(a.open('other'));
    const theirOther = await bob.done(b.open('other'));
    const before = read(ours);
    await bob.done(theirOther.add('talk', 'unread'));
    await bob.done(theirs.add('talk', 'read'));
    await world.clock.pass(5000);
    ada.reload();
    const again = await ada.connect();
    const [after, other] = [read(again.mailboxes.get(ours.id)!), read(again.mailboxes.get('other')!)];
    await world.clock.pass(5000);
    assert.deepEqual([before, after, other], [['read'], [], ['unread']]);
  });

  test('that was left resumes, too', async () => {
    const { ada, a } = await met();
    a.leave();
    assert.equal((await a.closed)?.code, 'LEFT');
    const again = await ada.connect();
    assert.deepEqual([again.resumed, again.side], [true, a.side]);
  });

  for (const [done, fate] of [['not done', { loseRequest: 1 }], ['done', { loseAnswer: 1 }]] as const) {
    test(`that is loaded again before its close was answered ends that session, and begins another, if that was ${done}`, async () => {
      const { world, ada, a, ours, theirs } = await met();
      const heard = read(theirs);
      const before = ada.kept(a);
      ada.network.weather = fate;
      void ours.add('talk', 'one last thing').catch(() => {});
      await settle();
      ada.network.weather = {};
      if (done === 'done') await world.clock.pass(1000);
      ada.network.weather = fate;
      void a.close({ mood: 'lonely' }).catch(() => {});
      await settle();
      ada.reload();
      ada.network.weather = {};
      const again = await ada.connect();
      assert.deepEqual([again.state.value.name, again.resumed, again.mailboxes.size], ['connected', false, 0]);
      await world.clock.pass(1000);
      assert.notEqual(ada.kept(again).id, before.id);
      assert.equal(before.ended, 'deleted');
      assert.deepEqual([heard, theirs.sides.value.map(({ mood }) => mood)], [['one last thing'], ['lonely', undefined]]);
      assert.equal((await ada.done(again.allocate())).nameplate, '2');
    });
  }

  test('has one session under a name', async () => {
    const world = new World();
    const place = world.place();
    await place.connect();
    assert.equal((await refused(place.connect())).name, 'TypeError');
    assert.equal((await place.connect({ name: 'other' })).resumed, false);
  });

  test('that comes back to find that another page of its tab went on stops', async () => {
    const { ada, a, ours } = await met();
    const heard = read(ours);
    ada.page.tell('pagehide');
    const second = await ada.connect({ platform: new Page(ada.network, ada.tab, ada.locks).platform });
    assert.deepEqual([second.resumed, second.side], [true, a.side]);
    ada.page.tell('pageshow');
    await settle();
    assert.equal((await a.closed)?.code, 'SUPERSEDED');
    assert.deepEqual(heard, ['SUPERSEDED']);
    await ada.world.clock.pass(60_000);
    assert.equal(second.state.value.name, 'connected');
  });
});

describe('a storage that is full', () => {
  /** Lets a tab keep so many characters more than it does. */
  function limit({ items }: Place['tab'], more: number): void {
    const used = () => [...items].reduce((sum, [key, value]) => sum + key.length + value.length, 0);
    const most = used() + more;
    items.set = (key, value) => {
      if (used() - (items.get(key)?.length ?? -key.length) + value.length > most) throw new DOMException('full', 'QuotaExceededError');
      return Map.prototype.set.call(items, key, value) as typeof items;
    };
  }

  for (const [text, fate] of [['arrived', { loseAnswer: 1 }], ['did not arrive', { loseRequest: 1 }]] as const) {
    test(`with room for a command and not for that it was sent: it is done once, if it ${text}`, async () => {
      const { world, ada, bob, ours, theirs } = await met();
      const heard = read(theirs);
      await ada.done(ours.add('talk', 'zero'));
      await bob.done(theirs.add('talk', 'theirs'));
      await world.clock.pass(100);
      const set = ada.tab.items.set.bind(ada.tab.items);
      ada.tab.items.set = (key, value) => {
        set(key, value);
        if (key.includes('#')) limit(ada.tab, 3);
        return ada.tab.items;
      };
      ada.network.weather = fate;
      void ours.add('talk', 'once').catch(() => {});
      await settle();
      ada.network.weather = {};
      assert.deepEqual([...ada.tab.items.values()].filter((value) => value.includes('once')).length, 1, 'the command is kept');
      assert.doesNotMatch([...ada.tab.items.values()].join(), /"sent"/);
      ada.reload({ crash: true });
      delete (ada.tab.items as Partial<Map<string, string>>).set;
      const again = await ada.connect();
      const mailbox = [...again.mailboxes.values()][0]!;
      assert.equal((await ada.done(mailbox.add('talk', 'then'))).position, 4);
      await world.clock.pass(1000);
      assert.deepEqual(heard, ['zero', 'once', 'then']);
    });
  }

  for (const kept of ['nothing', 'the command']) {
    test(`with room for ${kept} of a mailbox that is opened: nothing that comes in it is lost by a reload`, async () => {
      const { world, ada, bob, a, b, ours } = await met();
      if (kept === 'the command') await ada.done(ours.close()); // so that it is asked which frames are about the next one
      const theirs = await bob.done(b.open('box'));
      await world.clock.pass(1000);
      if (kept === 'nothing') limit(ada.tab, 0);
      else {
        const set = ada.tab.items.set.bind(ada.tab.items);
        ada.tab.items.set = (key, value) => {
          set(key, value);
          if (key.includes('#')) limit(ada.tab, 0);
          return ada.tab.items;
        };
        ada.network.gateway = (call, pass) => (call.method === 'PUT' ? pass().then(() => new Promise(() => {})) : pass());
      }
      void a.open('box').catch(() => {});
      await world.clock.pass(1000);
      assert.ok(ada.kept(a).open.has('box'), 'it is open');
      for (const text of ['one', 'two']) await bob.done(theirs.add('talk', text));
      ada.reload({ crash: true });
      delete (ada.tab.items as Partial<Map<string, string>>).set;
      ada.network.gateway = undefined;
      const again = await ada.connect();
      await world.clock.pass(1000);
      const heard = read(await ada.done(again.open('box')));
      await bob.done(theirs.add('talk', 'three'));
      await world.clock.pass(5000);
      assert.deepEqual([heard, again.side], [['one', 'two', 'three'], a.side]);
    });
  }

  test('for what follows from a close does not have the mailbox opened again by a reload', async () => {
    const { world, ada, a, ours } = await met();
    ada.tab.items.set = () => {
      throw new DOMException('full', 'QuotaExceededError');
    };
    await ada.done(ours.close({ mood: 'lonely' }));
    ada.reload();
    delete (ada.tab.items as Partial<Map<string, string>>).set;
    const again = await ada.connect();
    const heard = read(again.mailboxes.get(ours.id)!);
    await world.clock.pass(5000);
    assert.deepEqual([heard, again.mailboxes.size], [['.'], 0]);
    assert.equal(world.model.mailboxes.get(ours.id)?.sides.get(a.side), 'lonely', 'it is closed as it was');
  });
});

describe('a page in the cache whose storage is full', () => {
  for (const how of ['a handshake', 'another session']) {
    test(`goes on, though what is kept is older than ${how}`, async () => {
      const { world, ada, bob, a, ours, theirs } = await met();
      const heard = read(ours);
      ada.tab.items.set = () => {
        throw new DOMException('full', 'QuotaExceededError');
      };
      if (how === 'a handshake') ada.page.tell('online');
      else world.model.end(ada.kept(a), 'expired');
      await world.clock.pass(5000);
      ada.page.tell('pagehide');
      await bob.done(theirs.add('talk', 'one'));
      await world.clock.pass(1000);
      ada.page.tell('pageshow');
      await world.clock.pass(1000);
      assert.deepEqual([a.state.value.name, heard], ['connected', ['one']]);
    });
  }
});

describe('a page that crashes', () => {
  test('between two writes of one answer does what is left, each once', async () => {
    const { ada, bob, ours, theirs } = await met();
    const heard = read(theirs);
    const { items } = ada.tab;
    const forget = items.delete.bind(items);
    items.delete = (key) => {
      items.delete = forget;
      const done = forget(key);
      ada.reload({ crash: true });
      return done;
    };
    for (const body of ['one', 'two', 'three']) void ours.add('talk', body).catch(() => {});
    await ada.world.clock.pass(1000);
    const a = await ada.connect();
    await ada.world.clock.pass(1000);
    assert.deepEqual(heard, ['one', 'two', 'three']);
    assert.equal((await ada.done([...a.mailboxes.values()][0]!.add('talk', 'four'))).position, 4);
    assert.equal((await bob.done(theirs.add('talk', 'five'))).position, 5);
  });
});

describe('a tab that was duplicated', () => {
  test('begins a session of its own, where there are locks', async () => {
    const { world, ada, a, ours } = await met();
    const copy = ada.duplicate();
    const other = await copy.connect();
    assert.equal(other.resumed, false);
    assert.equal(other.mailboxes.size, 0);
    assert.notEqual(other.side, a.side);
    await world.clock.pass(60_000);
    assert.deepEqual([a.state.value.name, other.state.value.name], ['connected', 'connected']);
    assert.deepEqual([handshakes(ada), handshakes(copy)], [1, 1]);
    assert.equal((await ada.done(ours.add('talk', 'still here'))).position, 1);
    copy.reload();
    assert.equal((await copy.connect()).side, other.side, 'and keeps that one over a reload');
  });

  test('and is duplicated in its turn, goes on', async () => {
    const { world, ada } = await met();
    const copy = ada.duplicate();
    const first = await copy.connect();
    const copyOfCopy = copy.duplicate(10);
    const second = await copyOfCopy.connect();
    await world.clock.pass(60_000);
    assert.deepEqual([first.state.value.name, second.state.value.name], ['connected', 'connected']);
    assert.notEqual(first.side, second.side);
    assert.deepEqual([handshakes(copy), handshakes(copyOfCopy)], [1, 1]);
  });

  test('connects also where locks are never granted', async () => {
    const place = new World().place();
    place.page.platform.locks = { request: (_: string, { signal }: LockOptions) => new Promise((_, refuse) => signal?.addEventListener('abort', () => refuse(signal.reason))) } as never;
    assert.equal((await place.connect()).state.value.name, 'connected');
  });

  test('does not wait for what the other one had under way', async () => {
    const { ada, ours } = await met();
    ada.network.down = true;
    const adding = ours.add('talk', 'once');
    const copy = ada.duplicate();
    ada.network.down = false;
    const other = await copy.connect();
    assert.equal(other.resumed, false);
    assert.equal((await ada.done(adding)).position, 1);
    const log = ours.history();
    assert.equal((await ada.done(log.next())).value?.body, 'once');
    assert.equal((await ada.done(log.next())).done, true);
  });

  test('takes the session over, where there are none: the other one stops, and does not fight', async () => {
    const world = new World();
    const place = world.place(1, undefined, undefined);
    place.page.platform.locks = undefined;
    const a = await place.connect();
    const copy = place.duplicate();
    copy.page.platform.locks = undefined;
    const other = await copy.connect();
    await world.clock.pass(60_000);
    assert.equal((await a.closed)?.code, 'SUPERSEDED');
    assert.deepEqual([other.side, other.resumed, other.state.value.name], [a.side, true, 'connected']);
    assert.deepEqual([handshakes(place), handshakes(copy)], [1, 1]);
    assert.equal(place.tab.items.size, 0, 'a reload of the one that stopped begins anew');
  });
});

describe('a signal', () => {
  test('that aborts before a command is sent takes it back', async () => {
    const { world, ada, ours, theirs } = await met();
    const heard = read(theirs);
    ada.network.down = true;
    ada.network.cut();
    await world.clock.pass(10);
    const stop = new AbortController();
    const adding = ours.add('talk', 'no', { signal: stop.signal });
    const then = ours.add('talk', 'yes');
    stop.abort(new Error('changed my mind'));
    assert.equal((await refused(adding)).message, 'changed my mind');
    ada.network.down = false;
    assert.equal((await ada.done(then)).position, 1);
    await world.clock.pass(100);
    assert.deepEqual(heard, ['yes']);
  });

  test('that aborts a command under way only stops the waiting', async () => {
    const { world, ada, ours, theirs } = await met();
    const heard = read(theirs);
    ada.network.weather = { latencyMs: 100 };
    const stop = new AbortController();
    const adding = ours.add('talk', 'said', { signal: stop.signal });
    await settle();
    stop.abort(new Error('enough'));
    assert.equal((await refused(adding)).message, 'enough');
    assert.equal((await ada.done(ours.add('talk', 'and more'))).position, 2);
    await world.clock.pass(1000);
    assert.deepEqual(heard, ['said', 'and more']);
  });

  for (const under of ['PUT /v1/nameplates/1', 'PUT /v1/mailboxes/']) {
    test(`that aborts a claim during its ${under} does not undo it: its mailbox is opened, and may be claimed again`, async () => {
      const world = new World();
      const [ada, bob] = [world.place(1), world.place(2)];
      const [a, b] = [await ada.connect(), await bob.connect()];
      const theirs = await bob.done(b.allocate());
      ada.network.weather = { latencyMs: 100 };
      const stop = new AbortController();
      const claiming = a.claim('1', { signal: stop.signal });
      const refusal = refused(claiming);
      await world.clock.until('it is sent', () => ada.network.sent.some((line) => line.startsWith(under)));
      stop.abort(new Error('enough'));
      assert.equal((await refusal).message, 'enough');
      await world.clock.pass(1000);
      const ours = a.mailboxes.get(theirs.id)!;
      const heard = read(ours);
      await bob.done(theirs.add('talk', 'one'));
      assert.equal((await ada.done(ours.add('talk', 'two'))).position, 2);
      await world.clock.pass(1000);
      assert.deepEqual([heard, ours.nameplate], [['one'], '1']);
      assert.equal(await ada.done(a.claim('1')), ours);
    });
  }

  test('that is aborted already stops every call before it begins', async () => {
    const { ada, a, ours } = await met();
    const signal = AbortSignal.abort(new Error('no'));
    const before = ada.network.sent.length;
    const calls = [a.allocate({ signal }), a.claim('7', { signal }), a.list({ signal }), a.close({ signal }), ours.add('x', 'y', { signal }), ours.release({ signal })];
    for (const call of calls) assert.equal((await refused(call)).message, 'no');
    assert.equal(ada.network.sent.length, before);
  });
});

describe('a state that is watched', () => {
  test('is told when it changes, until the watcher stops, and its exceptions are its own', async () => {
    const { ada, a, world } = await met();
    const thrown: unknown[] = [];
    const { error } = console;
    console.error = (thrownNow: unknown) => thrown.push(thrownNow);
    const seen: string[] = [];
    const stop = a.state.subscribe(({ name }) => seen.push(name));
    const stopOther = a.state.subscribe(() => {
      throw new Error('mine');
    });
    await settle();
    stopOther();
    stop();
    console.error = error;
    ada.network.cut();
    await world.clock.pass(1000);
    assert.deepEqual(seen, ['connected']);
    assert.equal(thrown.length, 1);
  });
});
