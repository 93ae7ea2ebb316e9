import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { test } from 'node:test';
import { Server, storage } from '@restante/testing';
import { connect, type RestanteError } from '../src/index.js';
import { feasible, work } from '../src/work.js';
import { refused } from './world.js';

/** A server that asks for work of so many bits, and people who join it. */
async function withServer(bits: number, run: (server: Server, join: () => ReturnType<typeof connect>, requests: { count: number }) => Promise<void>): Promise<void> {
  const requests = { count: 0 };
  const counting: typeof fetch = (url, init) => {
    requests.count++;
    return fetch(url, init);
  };
  const platform = { fetch: counting, storage: storage(new Map()), sessions: new Set<string>() };
  const server = await Server.start('--drain=100ms', `--hashcash-bits=${bits}`);
  try {
    await run(server, () => connect({ url: server.url, appId: 'example.org/work', transport: 'poll', platform }), requests);
  } finally {
    await server.remove();
  }
}

test('a client does the work that a server asks for, once for a session', () =>
  withServer(12, async (server, join, requests) => {
    const before = await join();
    assert.ok(requests.count >= 2, `it has made ${requests.count} requests`);
    before.leave();
    await server.kill();
    await server.restart('--hashcash-bits=40');
    const after = await join();
    assert.deepEqual([after.resumed, after.side], [true, before.side]);
    after.leave();
  }));

test('a server that asks for more work than a browser does is the end, at once, and costs no session', () =>
  withServer(0, async (server, join, requests) => {
    await server.kill();
    await server.restart('--hashcash-bits=40');
    const error = (await refused(join())) as unknown as RestanteError;
    assert.deepEqual([error.code, error.action, error.status, requests.count], ['PERMISSION_REQUIRED', 'stop', 403, 1]);
    assert.deepEqual(error.permissionRequired?.hashcash.bits, 40);
    assert.match(error.message, /work first/);
    await server.kill();
    await server.restart();
    (await join()).leave();
  }));

test('a stamp is one of hashcash, and work can be given up', async () => {
  const stamp = await work({ bits: 12, resource: 'r' }, new AbortController().signal);
  assert.match(stamp, /^1:12:\d{6}:r::0:\d+$/);
  assert.equal(createHash('sha1').update(stamp).digest().readUInt16BE(0) >> 4, 0);
  assert.deepEqual([feasible({ bits: 22, resource: 'r' }), feasible({ bits: 23, resource: 'r' })], [true, false]);
  const giveUp = new AbortController();
  const endless = work({ bits: 32, resource: 'r' }, giveUp.signal);
  giveUp.abort(new Error('given up'));
  await assert.rejects(endless, /given up/);
});
