import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { RestanteError, type Mailbox, type Options, type Session } from '../src/index.js';
import { refused, World, type Place } from './world.js';

const HALF = 'half an emoji: \ud83d';

/** Ada and Bob, each with the mailbox `box` open. */
async function opened(transport: Options['transport']): Promise<{ world: World; ada: Place; a: Session; ours: Mailbox; theirs: Mailbox; done: <T>(promise: Promise<T>) => Promise<T> }> {
  const world = new World();
  const [ada, bob] = [world.place(1), world.place(2)];
  const [a, b] = [await ada.connect({ transport }), await bob.connect()];
  const [ours, theirs] = [await ada.done(a.open('box')), await bob.done(b.open('box'))];
  await world.clock.pass(2000);
  return { world, ada, a, ours, theirs, done: (promise) => ada.done(promise) };
}

/** The session goes on: both sides add and read, in the same session. */
async function goesOn({ world, ada, a, ours, theirs, done }: Awaited<ReturnType<typeof opened>>): Promise<void> {
  const heard: string[] = [];
  void ours.each(({ body }) => heard.push(body)).catch(() => {});
  assert.equal((await done(ours.add('talk', 'good'))).position, 1);
  assert.equal((await done(theirs.add('talk', 'heard'))).position, 2);
  await world.clock.until('it is heard', () => heard.length > 0);
  assert.deepEqual(heard, ['heard']);
  assert.equal(a.state.value.name, 'connected');
  assert.equal(ada.kept(a).ended, undefined);
  assert.equal(world.model.sessions.size, 2);
}

for (const transport of ['poll', 'sse', 'socket', 'auto'] as const) describe(`a bad command, by ${transport}, is refused alone`, () => {
  for (const [what, add, code] of [
    ['a body cut inside an emoji', (box) => box.add('talk', HALF), 'INVALID_REQUEST'],
    ['a phase cut inside an emoji', (box) => box.add(HALF, 'x'), 'INVALID_REQUEST'],
    ['an id cut inside an emoji', (box) => box.add('talk', 'x', { id: HALF }), 'INVALID_REQUEST'],
    ['a body of 65,537 bytes', (box) => box.add('talk', 'é'.repeat(32_768) + 'x'), 'INVALID_REQUEST'],
    ['a list of no messages', (box) => box.addAll([]), 'INVALID_REQUEST'],
    ['a list of 101 messages', (box) => box.addAll(Array(101).fill({ phase: 'talk', body: 'x' })), 'INVALID_REQUEST'],
    ['a list with a body cut inside an emoji', (box) => box.addAll([{ phase: 'talk', body: 'x' }, { phase: 'talk', body: HALF }]), 'INVALID_REQUEST'],
    ['a list of more than 256 KiB', (box) => box.addAll(Array(5).fill({ phase: 'talk', body: 'x'.repeat(60_000) })), 'PAYLOAD_TOO_LARGE'],
    ['a request of more than 256 KiB', (box) => box.add('talk', '\u0001'.repeat(60_000)), 'PAYLOAD_TOO_LARGE'],
  ] as [string, (box: Mailbox) => Promise<unknown>, string][]) {
    test(`before it is sent: ${what}`, async () => {
      const all = await opened(transport);
      const error = (await refused(all.done(add(all.ours)))) as RestanteError;
      assert.ok(error instanceof RestanteError);
      assert.deepEqual([error.code, error.action, error.status], [code, 'stop', 0]);
      await goesOn(all);
    });
  }

  test('before it is sent: an id or a nameplate cut inside an emoji', async () => {
    const all = await opened(transport);
    for (const call of [all.a.open(HALF), all.a.claim(HALF)]) assert.equal((await refused(call)).code, 'INVALID_REQUEST');
    assert.deepEqual([...all.a.mailboxes.keys()], ['box']);
    await goesOn(all);
  });

  for (const id of ['', '.', '..']) {
    test(`before it is sent: an id or a nameplate that no address can have: "${id}"`, async () => {
      const all = await opened(transport);
      const sent = all.ada.network.sent.length;
      for (const call of [() => all.a.open(id), () => all.a.claim(id)]) {
        const error = (await refused(all.done(call()))) as RestanteError;
        assert.deepEqual([error.code, error.action, error.status], ['INVALID_REQUEST', 'stop', 0]);
        assert.match(error.detail, /^(id|nameplate) must not be/);
      }
      assert.deepEqual(all.ada.network.sent.slice(sent).filter((request) => request.startsWith('PUT')), []);
      assert.deepEqual([...all.a.mailboxes.keys()], ['box']);
      await goesOn(all);
    });
  }

  test('by the server, whose limit is lower', async () => {
    const all = await opened(transport);
    all.world.model.maxRequest = 1000;
    assert.equal((await refused(all.done(all.ours.add('talk', 'x'.repeat(1000))))).code, 'PAYLOAD_TOO_LARGE');
    await goesOn(all);
  });
});

test('the most that is allowed is sent', async () => {
  const { ours, done } = await opened('socket');
  assert.equal((await done(ours.add('talk', 'é'.repeat(32_768)))).position, 1);
  assert.equal((await done(ours.add('talk', '😀'.repeat(16_384)))).position, 2);
});

test('a socket that says what is no JSON is lost, and the session goes on', async () => {
  const all = await opened('socket');
  all.ada.network.garbles = true;
  await all.world.clock.pass(30_000);
  all.ada.network.garbles = false;
  await all.world.clock.pass(30_000);
  await goesOn(all);
});
