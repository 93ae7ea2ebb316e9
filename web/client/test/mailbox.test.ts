import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Session } from '../src/index.js';
import { Mailbox } from '../src/mailbox.js';
import type { MessageFrame } from '../src/schemas.js';
import { settle } from './clock.js';
import { problem, type Call } from './model.js';
import type { Network } from './page.js';
import { refused, World, type Place } from './world.js';

/** Ada and Bob, each with the mailbox `box` open. */
async function opened(): Promise<{ world: World; ada: Place; bob: Place; a: Session; b: Session; ours: Mailbox; theirs: Mailbox }> {
  const world = new World();
  const [ada, bob] = [world.place(1), world.place(2)];
  const [a, b] = [await ada.connect(), await bob.connect()];
  const [ours, theirs] = [await ada.done(a.open('box')), await bob.done(b.open('box'))];
  await world.clock.pass(1000);
  return { world, ada, bob, a, b, ours, theirs };
}

/** Reads a mailbox in the background. */
function read(mailbox: Mailbox): string[] {
  const heard: string[] = [];
  void mailbox.each(({ body }) => heard.push(body)).then(() => heard.push('.'), () => heard.push('!'));
  return heard;
}

const RECEIVES = ({ path }: Call) => path.startsWith('/v1/session/events');

/** Has the answers to some calls come two seconds late. */
function late(world: World, which: (call: Call) => boolean): Network['gateway'] {
  return async (call, pass) => {
    const reply = await pass();
    if (which(call)) await new Promise<void>((resolve) => world.clock.setTimeout(resolve, 2000));
    return reply;
  };
}

describe('a mailbox with a name that every object has', () => {
  for (const id of Object.getOwnPropertyNames(Object.prototype)) {
    test(`is opened, read and closed as any other, also after a reload: ${id}`, async () => {
      const world = new World();
      const [ada, bob] = [world.place(1), world.place(2)];
      const [a, b] = [await ada.connect(), await bob.connect()];
      await ada.done(a.open(id));
      const theirs = await bob.done(b.open(id));
      ada.reload();
      const again = await ada.connect();
      assert.deepEqual([again.resumed, ...again.mailboxes.keys()], [true, id]);
      const ours = again.mailboxes.get(id)!;
      assert.equal(ours.sides.value.length, 2);
      await bob.done(theirs.add('talk', 'hello'));
      assert.equal((await ada.done(ours.messages().next())).value?.body, 'hello');
      await ada.done(ours.close());
      assert.equal(again.mailboxes.size, 0);
      assert.deepEqual(Object.keys(Object.prototype), [], 'the page has the objects that it had');
    });
  }
});

describe('a mailbox that is closed', () => {
  test('may be opened again before that is answered, and begins anew', async () => {
    const { world, ada, bob, a, ours, theirs } = await opened();
    await bob.done(theirs.add('talk', 'one'));
    await bob.done(theirs.add('talk', 'two'));
    await world.clock.pass(1000);
    const before = ours.messages();
    await ada.done(before.next());
    const closing = ours.close();
    const opening = a.open('box');
    await bob.done(theirs.add('talk', 'three'));
    await ada.done(closing);
    const again = await ada.done(opening);
    assert.equal(a.mailboxes.get('box'), again);
    const heard = read(again);
    await bob.done(theirs.add('talk', 'four'));
    await world.clock.pass(10_000); // the old loop handles one yet
    assert.deepEqual(heard, ['one', 'two', 'three', 'four']);
    assert.deepEqual(await before.next(), { done: true, value: undefined });
    assert.equal((await ada.done(again.add('talk', 'five'))).position, 5);
  });

  test('may be opened again after a reload, a restart or both', async () => {
    for (const how of ['reload', 'restart', 'both']) {
      const { world, ada, bob, a, ours, theirs } = await opened();
      await bob.done(theirs.add('talk', 'one'));
      ada.network.down = true;
      ada.network.cut();
      void ours.close().catch(() => {});
      const opening = a.open('box').catch(() => undefined);
      await settle();
      if (how !== 'reload') world.model.end(ada.kept(a), 'expired');
      if (how !== 'restart') ada.reload();
      ada.network.down = false;
      const session = how === 'restart' ? a : await ada.connect();
      const again = how === 'restart' ? (await ada.done(opening))! : await ada.done(session.open('box'));
      const heard = read(again);
      await bob.done(theirs.add('talk', 'two'));
      await world.clock.pass(5000);
      assert.deepEqual(heard, ['one', 'two'], how);
    }
  });

  test('adds what it was told to before, also as another session', async () => {
    const { world, ada, a, ours, theirs } = await opened();
    const heard = read(theirs);
    ada.network.down = true;
    ada.network.cut();
    const adding = ours.add('talk', 'one last thing');
    void ours.close();
    const opening = a.open('box');
    world.model.end(ada.kept(a), 'expired');
    ada.network.down = false;
    assert.equal((await ada.done(adding)).position, 1);
    await ada.done(opening);
    await world.clock.pass(1000);
    assert.deepEqual(heard, ['one last thing']);
  });

  test('is open as before if that is taken back or refused', async () => {
    for (const how of ['taken back', 'aborted already', 'refused']) {
      const { world, ada, bob, a, ours, theirs } = await opened();
      const stop = new AbortController();
      if (how === 'refused') world.model.refusesCommands = problem('QUOTA_EXCEEDED');
      else ada.network.down = true;
      ada.network.cut();
      await world.clock.pass(1);
      if (how === 'aborted already') stop.abort(new Error('no'));
      const closing = ours.close({ signal: stop.signal });
      if (how === 'taken back') stop.abort(new Error('no'));
      await refused(ada.done(closing));
      ada.network.down = false;
      world.model.refusesCommands = undefined;
      const heard = read(ours);
      await bob.done(theirs.add('talk', 'one'));
      assert.equal(await ada.done(a.open('box')), ours, how);
      await world.clock.pass(5000);
      assert.deepEqual(heard, ['one'], how);
    }
  });

  for (const how of ['opened', 'opened anew', 'claimed'] as const) test(`and ${how} again is told nothing of what comes late`, async () => {
    const anew = how === 'opened anew';
    const { world, ada, bob, a, b, ours, theirs } = await opened();
    const before = read(ours);
    ada.network.gateway = late(world, RECEIVES);
    for (const text of ['one', 'two']) await bob.done(theirs.add('talk', text));
    await world.clock.pass(10_000);
    await bob.done(theirs.add('talk', 'three'));
    if (anew) await bob.done(theirs.close());
    await ada.done(ours.close());
    world.model.nameplates.set('7', 'box');
    const opening = how === 'claimed' ? a.claim('7') : a.open('box');
    const fresh = anew ? await bob.done(b.open('box')) : theirs;
    const heard = read(await ada.done(opening));
    for (const text of ['four', 'five']) await bob.done(fresh.add('talk', text));
    await world.clock.pass(20_000);
    assert.deepEqual(before, ['one', 'two', '.']);
    assert.deepEqual(heard, anew ? ['four', 'five'] : ['one', 'two', 'three', 'four', 'five']);
  });

  for (const how of ['closed', 'pruned'] as const) {
    test(`or read to its end, and opened again after a reload, is told nothing of the one before: ${how}`, async () => {
      const { world, ada, bob, a, b, ours, theirs } = await opened();
      const before = read(ours);
      await ada.done(a.open('other'));
      const other = await bob.done(b.open('other'));
      for (const text of ['one', 'two']) await bob.done(theirs.add('talk', text));
      await bob.done(other.add('talk', 'unread'));
      for (const text of ['three', 'four']) await bob.done(theirs.add('talk', text));
      await world.clock.pass(1000);
      if (how === 'pruned') world.model.prune('box');
      else await Promise.all([ada.done(ours.close()), bob.done(theirs.close())]);
      await world.clock.pass(1000);
      assert.deepEqual(before, ['one', 'two', 'three', 'four', '.']);
      ada.reload();
      ada.network.gateway = late(world, RECEIVES);
      const session = await ada.connect();
      const again = await ada.done(session.open('box'));
      const heard = read(again);
      const fresh = await bob.done(b.open('box'));
      for (const text of ['new 1', 'new 2']) await bob.done(fresh.add('talk', text));
      await world.clock.pass(5000);
      assert.deepEqual([heard, again.retired], [['new 1', 'new 2'], undefined]);
      ada.reload();
      await ada.connect();
      for (const text of ['new 3', 'new 4']) await bob.done(fresh.add('talk', text));
      world.model.prune('box');
      await world.clock.pass(5000);
      ada.reload();
      const { mailboxes } = await ada.connect();
      const rest = read(mailboxes.get('box')!);
      await world.clock.pass(5000);
      assert.deepEqual(rest, ['new 3', 'new 4', '.']);
      assert.equal((await ada.done(mailboxes.get('other')!.messages().next())).value?.body, 'unread');
    });
  }

  test('has the server asked what is left of it by the next one that is opened, and by none after all has come', async () => {
    const { world, ada, bob, a, ours, theirs } = await opened();
    const asked = () => ada.network.sent.filter((line) => line === 'GET /v1/session').length;
    const heard = read(ours);
    await bob.done(theirs.add('talk', 'one'));
    await world.clock.pass(1000);
    await ada.done(a.open('another'));
    assert.deepEqual([heard, asked()], [['one'], 0]);
    await ada.done(ours.close());
    for (const id of ['box', 'a third', 'a fourth']) await ada.done(a.open(id));
    assert.equal(asked(), 1);
  });

  test('and opened again leaves no trace of that if it is aborted before it is sent', async () => {
    const { world, ada, bob, a, ours, theirs } = await opened();
    await bob.done(theirs.add('talk', 'one'));
    await ada.done(ours.close());
    ada.network.gateway = late(world, (call) => call.method === 'GET' && call.path === '/v1/session');
    const stop = new AbortController();
    const opening = a.open('box', { signal: stop.signal });
    await world.clock.pass(100);
    const sent = ada.network.sent.length;
    stop.abort(new Error('no'));
    assert.equal((await refused(opening)).message, 'no');
    await world.clock.pass(5000);
    assert.equal(a.mailboxes.size, 0);
    assert.ok(!ada.network.sent.slice(sent).some((line) => line.startsWith('PUT')), 'it is not sent');
    const heard = read(await ada.done(a.open('box')));
    await world.clock.pass(5000);
    assert.deepEqual(heard, ['one']);
  });

  for (const [how, leave] of [
    ['by the handler of a message that then fails', (ours: Mailbox) => ours.each(() => ours.close({ mood: 'errory' }).then(() => Promise.reject(new Error('no'))))],
    ['after a message, and is not asked for another', (ours: Mailbox) => ours.messages().next().then(() => ours.close())],
  ] as const) {
    test(`${how} leaves nothing that is not acknowledged`, async () => {
      const { world, ada, bob, a, b, ours, theirs } = await opened();
      const other = read(await ada.done(a.open('other')));
      const theirOther = await bob.done(b.open('other'));
      for (const text of ['one', 'two']) await bob.done(theirs.add('talk', text));
      await ada.done(leave(ours).catch(() => {}));
      await bob.done(theirOther.add('talk', 'three'));
      await world.clock.pass(5000);
      assert.deepEqual([other, ada.kept(a).frames], [['three'], []]);
      assert.equal(a.progress.nextFrame, ada.kept(a).next);
    });
  }

  test('may be waited for no longer than one likes by those who open it again', async () => {
    const { world, ada, a, ours } = await opened();
    ada.network.down = true;
    ada.network.cut();
    void ours.close();
    const stop = new AbortController();
    const opening = a.open('box', { signal: stop.signal });
    await world.clock.pass(100);
    stop.abort(new Error('enough'));
    assert.equal((await refused(opening)).message, 'enough');
    ada.network.down = false;
    await world.clock.pass(60_000);
    assert.equal(a.mailboxes.size, 0);
  });
});

test('a mailbox whose id another one has by now changes nothing in that one', async () => {
  for (const how of ['closed', 'retired']) {
    const { world, ada, a, ours, theirs } = await opened();
    const heard = read(theirs);
    if (how === 'closed') await ada.done(ours.close());
    else world.model.prune('box');
    await world.clock.pass(1000);
    const again = await ada.done(a.open('box'));
    const calls: (() => Promise<unknown>)[] = [() => ours.add('talk', 'no'), () => ours.addAll([{ phase: 'talk', body: 'no' }]), () => ours.close()];
    for (const call of calls) assert.equal((await refused(ada.done(call()))).code, 'NOT_OPEN', how);
    assert.equal(a.mailboxes.get('box'), again);
    assert.equal((await ada.done(again.add('talk', 'yes'))).position, 1);
    await world.clock.pass(1000);
    assert.deepEqual(heard, how === 'closed' ? ['yes'] : ['.'], how);
  }
});

describe('opening a mailbox', () => {
  test('that is open, if it is refused, leaves it open', async () => {
    const { world, bob, ada, a, ours, theirs } = await opened();
    const heard = read(ours);
    world.model.refusesCommands = problem('INVALID_REQUEST');
    assert.equal((await refused(ada.done(a.open('box', { ttlMs: -5 })))).code, 'INVALID_REQUEST');
    world.model.refusesCommands = undefined;
    await bob.done(theirs.add('talk', 'one'));
    await world.clock.pass(1000);
    assert.deepEqual(heard, ['one']);
    assert.equal(a.mailboxes.get('box'), ours);
  });

  test('is undone for all if it is refused to all, and for none if another one is not', async () => {
    for (const then of ['refused', 'granted']) {
      const world = new World();
      const ada = world.place();
      const a = await ada.connect();
      ada.network.weather = { latencyMs: 100 };
      world.model.refusesCommands = problem('INVALID_REQUEST');
      const [first, second] = [a.open('box', { ttlMs: -5 }), a.open('box').catch(() => undefined)];
      assert.equal((await refused(ada.done(first))).code, 'INVALID_REQUEST');
      if (then === 'granted') world.model.refusesCommands = undefined;
      const mailbox = await ada.done(second);
      assert.equal(a.mailboxes.get('box'), mailbox, then);
      assert.equal(mailbox !== undefined, then === 'granted');
    }
  });

  test('as another session, if it is refused, ends the mailbox, which is not open in that one', async () => {
    const { world, ada, a, ours } = await opened();
    const heard = read(ours);
    ada.network.down = true;
    ada.network.cut();
    const opening = a.open('box', { ttlMs: -5 });
    world.model.end(ada.kept(a), 'expired');
    world.model.refusesCommands = problem('INVALID_REQUEST');
    ada.network.down = false;
    assert.equal((await refused(ada.done(opening))).code, 'INVALID_REQUEST');
    await settle();
    assert.deepEqual([heard, a.mailboxes.size], [['!'], 0]);
  });

  test('that a proxy answers with a page each time, though it is done, leaves nothing that is not acknowledged', async () => {
    const world = new World();
    const [ada, bob] = [world.place(1), world.place(2)];
    const [a, b] = [await ada.connect(), await bob.connect()];
    const theirs = await bob.done(b.open('box'));
    await bob.done(theirs.add('talk', 'one'));
    ada.network.gateway = async (call, pass) => {
      const reply = await pass();
      return call.method === 'PUT' ? { status: 403, headers: { 'Content-Type': 'text/html' }, body: '' } : reply;
    };
    assert.equal((await refused(ada.done(a.open('box')))).code, 'UNREACHABLE');
    ada.network.gateway = undefined;
    await bob.done(theirs.add('talk', 'two'));
    await world.clock.pass(5000);
    assert.deepEqual([a.mailboxes.size, ada.kept(a).frames], [0, []]);
  });

  for (const [how, abort] of [['before', 0], ['while it waits', 1]] as const) {
    test(`that is aborted ${how} leaves no trace of it`, async () => {
      const world = new World();
      const [ada, bob] = [world.place(1), world.place(2)];
      const [a, b] = [await ada.connect(), await bob.connect()];
      const theirs = await bob.done(b.open('box'));
      for (const text of ['one', 'two', 'three']) await bob.done(theirs.add('talk', text));
      ada.network.down = true;
      ada.network.cut();
      await world.clock.pass(1);
      const stop = new AbortController();
      if (abort === 0) stop.abort(new Error('no'));
      const opening = a.open('box', { after: 2, signal: stop.signal });
      stop.abort(new Error('no'));
      assert.equal((await refused(opening)).message, 'no');
      assert.equal(a.mailboxes.size, 0);
      ada.network.down = false;
      const heard = read(await ada.done(a.open('box')));
      await world.clock.pass(1000);
      assert.deepEqual(heard, ['one', 'two', 'three']);
    });
  }

  test('that is open, if it is aborted, leaves it open', async () => {
    const { world, bob, ada, a, ours, theirs } = await opened();
    const heard = read(ours);
    ada.network.down = true;
    ada.network.cut();
    await world.clock.pass(1);
    const stop = new AbortController();
    const opening = a.open('box', { signal: stop.signal });
    stop.abort(new Error('no'));
    await refused(opening);
    ada.network.down = false;
    await bob.done(theirs.add('talk', 'one'));
    await world.clock.pass(5000);
    assert.deepEqual(heard, ['one']);
  });
});

test('a message that comes in order costs the same, however many wait to be read', () => {
  const host = { side: 'ours', drop: () => {}, check: () => {}, save: () => {}, do: () => Promise.resolve() };
  const mailbox = new Mailbox('box', { position: 0, added: 0, sides: [] }, host);
  let looks = 0;
  const take = (n: number) => {
    const position = { valueOf: () => (looks++, n) } as unknown as number;
    mailbox.take({ type: 'message', seq: n, mailbox: 'box', position, side: 'theirs', phase: 'talk', body: '', serverRx: 0 } satisfies MessageFrame, () => {});
  };
  for (let n = 1; n <= 10; n++) take(n);
  const first = looks;
  for (let n = 11; n <= 1000; n++) take(n);
  looks = 0;
  for (let n = 1001; n <= 1010; n++) take(n);
  assert.ok(looks <= 2 * first, `ten messages took ${first} looks at positions, and later ${looks}`);
});

describe('a mailbox that was retired', () => {
  /** Opens it again for Bob, who says that it is new, and reads what Ada opens. */
  async function anew({ world, bob, b }: { world: World; bob: Place; b: Session }, again: Mailbox): Promise<string[]> {
    const heard = read(again);
    const theirs = await bob.done(b.open('box'));
    await bob.done(theirs.add('talk', 'anew'));
    await world.clock.pass(5000);
    return heard;
  }

  test('is opened as another one, and its own messages end', async () => {
    const met = await opened();
    const { world, ada, bob, a, ours, theirs } = met;
    for (const text of ['one', 'two']) await bob.done(theirs.add('talk', text));
    await world.clock.pass(1000);
    const before = ours.messages();
    await ada.done(before.next());
    world.model.prune('box');
    await world.clock.pass(1000);
    const again = await ada.done(a.open('box'));
    assert.notEqual(again, ours);
    assert.deepEqual([a.mailboxes.get('box'), again.retired, ours.retired], [again, undefined, 'pruned']);
    assert.deepEqual(await anew(met, again), ['anew']);
    assert.equal((await ada.done(before.next())).value?.body, 'two', 'what came before can be read');
    assert.deepEqual(await before.next(), { done: true, value: undefined });
    assert.equal(a.mailboxes.get('box'), again);
  });

  for (const unread of [false, true]) test(`is opened as another one after a reload${unread ? ' that brings its frames again' : ''}`, async () => {
    const met = await opened();
    const { world, ada, bob, a, b, theirs } = met;
    const [other] = [await ada.done(a.open('other')), await bob.done(b.open('other'))];
    if (unread) {
      await bob.done(b.mailboxes.get('other')!.add('talk', 'unread'));
      await bob.done(theirs.add('talk', 'unread, too'));
      await world.clock.pass(1000);
    }
    world.model.prune('box');
    await world.clock.pass(1000);
    ada.reload();
    const session = await ada.connect();
    const again = await ada.done(session.open('box'));
    assert.deepEqual(await anew(met, again), ['anew']);
    ada.reload();
    const then = (await ada.connect()).mailboxes.get('box')!;
    const heard = read(then);
    await bob.done(b.mailboxes.get('box')!.add('talk', 'more'));
    await world.clock.pass(5000);
    assert.deepEqual([heard, then.retired, other.retired], [['more'], undefined, undefined]);
  });

  test('while it is opened, or before that is known, is opened as another one', async () => {
    for (const how of ['opened', 'unknown']) {
      const met = await opened();
      const { world, ada, bob, a, ours, theirs } = met;
      await bob.done(theirs.add('talk', 'one'));
      const heard = read(ours);
      await world.clock.pass(1000);
      let opening: Promise<Mailbox>;
      if (how === 'opened') {
        const wait = () => new Promise<void>((resolve) => world.clock.setTimeout(resolve, 1000));
        ada.network.gateway = (call, pass) => (call.method === 'PUT' ? wait().then(pass).finally(wait) : pass());
        opening = a.open('box');
        await settle();
        world.model.prune('box');
        await world.clock.pass(1500);
        await bob.done(met.b.open('box').then((box) => box.add('talk', 'early')));
      } else {
        ada.network.gateway = late(world, RECEIVES);
        world.model.prune('box');
        opening = a.open('box');
        await ada.done(opening);
        await bob.done(met.b.open('box').then((box) => box.add('talk', 'early')));
        await world.clock.pass(10_000);
        opening = a.open('box');
      }
      const again = await ada.done(opening);
      assert.notEqual(again, ours, how);
      assert.deepEqual(await anew(met, again), ['early', 'anew'], how);
      assert.deepEqual(heard, ['one', '.'], how);
    }
  });

  test('is claimed as another one if its nameplate leads to the same', async () => {
    const met = await opened();
    const { world, ada, a, ours } = met;
    world.model.nameplates.set('7', 'box');
    world.model.prune('box');
    await world.clock.pass(1000);
    const again = await ada.done(a.claim('7'));
    assert.notEqual(again, ours);
    assert.equal(again.nameplate, '7');
    assert.deepEqual(await anew(met, again), ['anew']);
  });

  test('is read to its end after a reload', async () => {
    for (const other of [false, true]) {
      const { world, ada, bob, a, b, theirs } = await opened();
      if (other) {
        await ada.done(a.open('other'));
        await bob.done(b.open('other').then((box) => box.add('talk', 'unread')));
      }
      for (const text of ['one', 'two']) await bob.done(theirs.add('talk', text));
      world.model.prune('box');
      await world.clock.pass(1000);
      ada.reload();
      ada.network.weather = { latencyMs: 100 };
      const session = await ada.connect();
      const ours = session.mailboxes.get('box')!;
      const heard = read(ours);
      await world.clock.pass(5000);
      assert.deepEqual([heard, ours.retired, session.mailboxes.size], [['one', 'two', '.'], 'pruned', other ? 1 : 0]);
    }
  });

  test('ends after a reload if its session ended meanwhile', async () => {
    const { world, ada, bob, a, theirs } = await opened();
    await bob.done(theirs.add('talk', 'lost'));
    world.model.prune('box');
    await world.clock.pass(1000);
    world.model.end(ada.kept(a), 'expired');
    ada.reload();
    const session = await ada.connect();
    const heard = read(session.mailboxes.get('box')!);
    await world.clock.pass(5000);
    assert.deepEqual([heard, session.mailboxes.size], [['.'], 0]);
  });
});
