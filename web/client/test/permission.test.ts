import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Server, storage } from '@restante/testing';
import { connect, type RestanteError } from '../src/index.js';
import { refused } from './world.js';

test('a server that asks for work is the end, at once, and costs no session', async () => {
  let requests = 0;
  const counting: typeof fetch = (url, init) => {
    requests++;
    return fetch(url, init);
  };
  const platform = { fetch: counting, storage: storage(new Map()), sessions: new Set<string>() };
  const server = await Server.start('--drain=100ms');
  try {
    const join = () => connect({ url: server.url, appId: 'example.org/work', transport: 'poll', platform });
    const before = await join();
    before.leave();
    await server.kill();
    await server.restart('--hashcash-bits=10');
    requests = 0;
    const error = (await refused(join())) as unknown as RestanteError;
    assert.deepEqual([error.code, error.action, error.status, requests], ['PERMISSION_REQUIRED', 'stop', 403, 1]);
    assert.deepEqual(error.permissionRequired?.hashcash.bits, 10);
    assert.match(error.message, /work first/);
    await server.kill();
    await server.restart();
    const after = await join();
    assert.deepEqual([after.resumed, after.side], [true, before.side]);
    after.leave();
  } finally {
    await server.remove();
  }
});
