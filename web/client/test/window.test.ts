import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Server, storage } from '@restante/testing';
import { connect, type Mailbox, type Session } from '../src/index.js';

let server: Server;
before(async () => {
  server = await Server.start('--max-window=20', '--drain=100ms');
});
after(() => server.remove());

const MANY = 250; // of which a session may leave 20 unacknowledged

describe('a log that is longer than what a session may be sent', () => {
  const join = (kept = new Map<string, string>()): Promise<Session> =>
    connect({ url: server.url, appId: 'example.org/window', transport: 'poll', platform: { storage: storage(kept), sessions: new Set() } });

  /** Reads until so many are heard. */
  async function read(mailbox: Mailbox, heard: string[], count: number): Promise<void> {
    for await (const { body } of mailbox.messages()) {
      heard.push(body);
      if (heard.length === count) return;
    }
  }
  const numbers = (count: number) => Array.from({ length: count }, (_, i) => `${i}`);

  test('is read to its end by who claims its number, and then goes on', async () => {
    const [a, b] = await Promise.all([join(), join()]);
    const ours = await a.allocate();
    for (const body of numbers(MANY)) await ours.add('talk', body);
    const heard: string[] = [];
    const theirs = await b.claim(ours.nameplate ?? '');
    assert.deepEqual(theirs.sides.value.map(({ side }) => side).sort(), [a.side, b.side].sort());
    await theirs.add('talk', 'mine');
    const reading = read(theirs, heard, MANY + 10);
    for (const body of numbers(MANY + 10).slice(MANY)) await ours.add('talk', body);
    await reading;
    assert.deepEqual(heard, numbers(MANY + 10));
    a.leave();
    b.leave();
  });

  test('costs nothing if the page is loaded again meanwhile', async () => {
    const kept = new Map<string, string>();
    const [a, first] = await Promise.all([join(), join(kept)]);
    const ours = await a.allocate();
    const theirs = await first.claim(ours.nameplate ?? '');
    const heard: string[] = [];
    await ours.add('talk', '0');
    await read(theirs, heard, 1);
    for (const body of numbers(MANY).slice(1)) await ours.add('talk', body);
    const { side } = first;
    await read(theirs, heard, 150);
    first.leave();
    const again = await join(kept);
    assert.deepEqual([again.side, [...again.mailboxes.keys()]], [side, [ours.id]]);
    const reading = read(again.mailboxes.get(ours.id)!, heard, MANY + 1);
    await ours.add('talk', `${MANY}`);
    await reading;
    assert.deepEqual(heard, numbers(MANY + 1));
    a.leave();
    again.leave();
  });

  test('is read to its end by a side that opens it by its id, too', async () => {
    const [a, b] = await Promise.all([join(), join()]);
    const ours = await a.open('by-its-id');
    for (const body of numbers(30)) await ours.add('talk', body);
    const theirs = await b.open('by-its-id');
    const heard: string[] = [];
    const reading = read(theirs, heard, 31);
    await ours.add('talk', '30');
    await reading;
    assert.deepEqual(heard, numbers(31));
    a.leave();
    b.leave();
  });
});
