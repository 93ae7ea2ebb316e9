import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { connect, type Mailbox, type Options, type Transport } from '../src/index.js';
import { Nginx } from './nginx.js';
import { Server } from './server.js';

let server: Server;
before(async () => {
  server = await Server.start('--heartbeat-interval=12s', '--drain=100ms');
});
after(() => server.remove());

const upgrades = 'proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection "upgrade"; proxy_set_header Host $http_host;';

interface Way {
  name: string;
  directives: string;
  /** What is found to work. */
  finds: Transport;
  /** What a message takes at most while that is found out. */
  withinMs: number;
}

const ways: Way[] = [
  { name: 'that passes upgrades on', directives: upgrades, finds: 'socket', withinMs: 1000 },
  { name: 'as it is installed, with buffering on', directives: 'proxy_buffering on;', finds: 'sse', withinMs: 1000 },
  { name: 'that knows no upgrades and swallows streams', directives: 'proxy_buffering on; proxy_ignore_headers X-Accel-Buffering;', finds: 'poll', withinMs: 5500 },
];

/** Two who meet behind a proxy. */
async function meet(url: string, transport: Options['transport'], work: (ours: Mailbox, theirs: Mailbox, via: () => Transport, sent: string[]) => Promise<void>): Promise<void> {
  const sent: string[] = [];
  const noting = (url: string, init: RequestInit) => {
    sent.push(url);
    return fetch(url, init);
  };
  const a = await connect({ url, appId: 'example.org/proxy', transport, platform: { fetch: noting } });
  const b = await connect({ url: server.url, appId: 'example.org/proxy', transport: 'poll' });
  try {
    const ours = await a.allocate();
    await work(ours, await b.claim(ours.nameplate ?? ''), () => a.transport.value, sent);
  } finally {
    a.leave();
    b.leave();
  }
}

describe('behind nginx', { concurrency: true }, () => {
  for (const { name, directives, finds, withinMs } of ways) {
    test(`${name}, auto finds ${finds}, and delivers meanwhile`, { timeout: 60_000 }, async () => {
      const nginx = await Nginx.start(server.url, directives);
      try {
        await meet(nginx.url, 'auto', async (ours, theirs, via) => {
          const messages = ours.messages();
          for (let i = 0; i < 40; i++) {
            const began = Date.now();
            await theirs.add('talk', `${i}`);
            assert.equal((await messages.next()).value?.body, `${i}`);
            assert.ok(Date.now() - began < withinMs, `message ${i} took ${Date.now() - began} ms`);
            await pause(200);
          }
          assert.equal(via(), finds);
        });
      } finally {
        await nginx.stop();
      }
    });
  }

  test('with a read timeout of 10 s, polls come to ask for less, and nothing is lost', { timeout: 90_000 }, async () => {
    const nginx = await Nginx.start(server.url, 'proxy_read_timeout 10s;');
    try {
      await meet(nginx.url, 'poll', async (ours, theirs, _, sent) => {
        const messages = ours.messages();
        for (let i = 0; i < 2; i++) {
          await pause(13_000); // in which an idle receive is cut
          const began = Date.now();
          await theirs.add('talk', `${i}`);
          assert.equal((await messages.next()).value?.body, `${i}`);
          assert.ok(Date.now() - began < 1000);
        }
        const handshakes = sent.filter((url) => url.endsWith('/v1/sessions')).length;
        assert.equal(handshakes, 1, 'it was no failure');
        assert.ok(sent.some((url) => url.endsWith('&wait=12')), 'it asked for less');
      });
    } finally {
      await nginx.stop();
    }
  });
});
