import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Server, until } from '@restante/testing';
import { connect } from '../src/index.js';
import { refused } from './world.js';

let server: Server;
before(async () => {
  server = await Server.start('--max-body=2000', '--drain=100ms');
});
after(() => server.remove());

for (const transport of ['poll', 'sse', 'socket'] as const) {
  test(`the real server, by ${transport}, refuses a request above its limit alone`, async () => {
    const session = await connect({ url: server.url, appId: 'example.org/limits', transport });
    try {
      let transports = 0;
      const mailbox = await session.open(`box-${transport}`);
      await until(() => `frames arrive by ${transport}`, () => session.transport.value === transport);
      session.transport.subscribe(() => transports++);
      await session.list();
      const error = await refused(mailbox.add('talk', 'x'.repeat(3000)));
      assert.equal(error.code, 'PAYLOAD_TOO_LARGE');
      assert.equal((await mailbox.add('talk', 'good')).position, 1);
      assert.deepEqual(await mailbox.addAll([{ phase: 'talk', body: 'two' }, { phase: 'talk', body: 'three', id: 'x' }]), [2, 3]);
      assert.equal(session.state.value.name, 'connected');
      assert.equal(transports, 1, 'the transport is the same');
    } finally {
      session.leave();
    }
  });
}
