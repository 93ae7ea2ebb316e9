import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Session } from '../src/index.js';
import type { Platform } from '../src/platform.js';
import { settle } from './clock.js';
import { World, type Place } from './world.js';

/** Allocates while there is no network, so that a command is kept, and leaves. */
async function leaveCommand(place: Place, session: Session): Promise<void> {
  place.network.down = true;
  void session.allocate().catch(() => {});
  await settle();
  session.leave();
}

describe('sessions of one page', () => {
  for (const [one, other] of [
    [{ name: 'chat' }, { name: 'chat#general' }],
    [{ name: 'chat' }, { name: 'chat#1' }],
    [{ name: 'chat#1' }, { name: 'chat%231' }],
    [{ appId: 'app', name: 'a b' }, { appId: 'app a', name: 'b' }],
    [{ appId: 'app#1', name: '' }, { appId: 'app', name: '' }],
  ]) {
    test(`are kept apart: ${JSON.stringify(one)} and ${JSON.stringify(other)}`, async () => {
      const place = new World().place();
      const first = await place.connect(one);
      const second = await place.connect(other);
      await place.done(first.allocate());
      await place.done(second.allocate());
      await leaveCommand(place, second);
      await leaveCommand(place, first);
      place.reload();
      place.network.down = false;
      const again = await place.connect(one);
      const otherAgain = await place.connect(other);
      assert.deepEqual([again.resumed, again.side, again.mailboxes.size], [true, first.side, 2]);
      assert.deepEqual([otherAgain.resumed, otherAgain.side, otherAgain.mailboxes.size], [true, second.side, 2]);
      await place.done(again.close());
      assert.equal(otherAgain.state.value.name, 'connected');
      otherAgain.leave();
      place.reload();
      assert.equal((await place.connect(other)).side, second.side, 'the end of one forgets nothing of the other');
    });
  }

  test('do not take for a command what is none', async () => {
    const place = new World().place();
    await place.connect().then((session) => session.leave());
    const [record] = place.tab.items.keys();
    const junk = ['null', '7', '"x"', '{}', '{"n":1}', '<html>'];
    for (const [i, text] of junk.entries()) place.tab.items.set(`${record}#${i + 2}`, text);
    place.tab.items.set(`${record}#general`, JSON.stringify({ appId: 'app' }));
    place.reload();
    const session = await place.connect();
    assert.equal(session.resumed, true);
    assert.equal((await place.done(session.allocate())).nameplate, '1');
    assert.deepEqual(place.network.sent.filter((request) => request.endsWith(' /')), []);
  });

  for (const junk of ['7', 'null', '{}', '[]', '<html>']) {
    test(`do not take for a session what is none: ${junk}`, async () => {
      const place = new World().place();
      await place.connect().then((session) => session.leave());
      for (const key of place.tab.items.keys()) place.tab.items.set(key, junk);
      place.reload();
      const session = await place.connect();
      assert.equal(session.resumed, false);
      assert.equal((await place.done(session.allocate())).nameplate, '1');
      for (const id of place.world.model.sessions.keys()) assert.match(String(id), /^[a-z0-9]{20,}$/);
    });
  }
});

/** A storage that works as long as `broken` is unset. Then each use of it throws, as Firefox's does where its file is corrupted. */
function breakable(place: Place): { broken: boolean } {
  const state = { broken: false };
  place.page.platform.storage = new Proxy(place.page.platform.storage!, {
    get: (storage, name) => {
      if (state.broken) throw new Error('NS_ERROR_FILE_CORRUPTED');
      return Reflect.get(storage, name) as unknown;
    },
  });
  return state;
}

describe('a storage that is broken', () => {
  test('leaves sessions that live as long as the page', async () => {
    const place = new World().place();
    breakable(place).broken = true;
    const session = await place.connect();
    const mailbox = await place.done(session.allocate());
    assert.equal((await place.done(mailbox.add('talk', 'hello'))).position, 1);
    await place.done(session.close());
    assert.equal((await place.connect()).resumed, false, 'its name may be used again');
  });

  test('while a session is connected changes nothing for it', async () => {
    const place = new World().place();
    const storage = breakable(place);
    const session = await place.connect();
    const mailbox = await place.done(session.allocate());
    const adding = mailbox.add('talk', 'one');
    storage.broken = true;
    assert.equal((await place.done(adding)).position, 1);
    place.network.cut();
    await place.world.clock.pass(60_000);
    place.page.tell('pagehide');
    place.page.tell('pageshow');
    assert.equal((await place.done(mailbox.add('talk', 'two'))).position, 2);
    assert.equal(session.state.value.name, 'connected');
    await place.done(session.close());
    assert.equal(await session.closed, undefined);
  });
});

test('a storage needs no more than its type says for commands to survive a reload', async () => {
  const place = new World().place();
  const items = new Map<string, string>();
  const storage: NonNullable<Platform['storage']> = {
    get length() {
      return items.size;
    },
    key: (i) => [...items.keys()][i] ?? null,
    getItem: (key) => items.get(key) ?? null,
    setItem: (key, value) => void items.set(key, value),
    removeItem: (key) => void items.delete(key),
  };
  place.page.platform.storage = storage;
  await leaveCommand(place, await place.connect());
  place.reload();
  place.network.down = false;
  place.page.platform.storage = storage;
  const again = await place.connect();
  assert.deepEqual([again.resumed, again.mailboxes.size], [true, 1]);
  await place.done(again.close());
  assert.equal(items.size, 0);
});
