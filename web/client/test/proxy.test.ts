import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { Nginx, Server, until } from '@restante/testing';
import { connect, type Mailbox, type Options, type Platform, type Transport } from '../src/index.js';

let server: Server;
before(async () => {
  server = await Server.start('--heartbeat-interval=12s', '--drain=100ms');
});
after(() => server.remove());

const upgrades = 'proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection "upgrade"; proxy_set_header Host $http_host;';

interface Proxy {
  name: string;
  directives: string;
  /** The transport that works. */
  finds: Transport;
  /** The transports that are tried before it is known. */
  tries: Transport[];
  /** How much later timers of a second or more fire, so that a slow machine does not give up what works. */
  patience: number;
}

const proxies: Proxy[] = [
  { name: 'that passes upgrades on', directives: upgrades, finds: 'socket', tries: ['socket'], patience: 50 },
  { name: 'as it is installed, with buffering on', directives: 'proxy_buffering on;', finds: 'sse', tries: ['socket', 'sse'], patience: 50 },
  {
    ...{ name: 'that knows no upgrades and swallows streams', directives: 'proxy_buffering on; proxy_ignore_headers X-Accel-Buffering;' },
    ...{ finds: 'poll', tries: ['socket', 'sse'], patience: 1 },
  },
];

/** What one side sent, and how. */
class Trace {
  readonly urls: string[] = [];
  readonly tried = new Set<Transport>();
  readonly platform: Partial<Platform>;

  constructor(patience: number) {
    const trace = this;
    class Socket extends WebSocket {
      constructor(url: string) {
        super(url);
        trace.tried.add('socket');
      }
    }
    this.platform = {
      WebSocket: Socket,
      fetch: (url, init) => {
        this.urls.push(url);
        if (new Headers(init.headers).get('Accept') === 'text/event-stream') this.tried.add('sse');
        return fetch(url, init);
      },
      setTimeout: (run, ms) => setTimeout(run, ms < 1000 ? ms : patience * ms),
    };
  }
}

/** Two sides that meet, the first of them behind a proxy. */
async function meet(
  url: string,
  transport: Options['transport'],
  trace: Trace,
  work: (ours: Mailbox, theirs: Mailbox, via: () => Transport) => Promise<void>,
): Promise<void> {
  const a = await connect({ url, appId: 'example.org/proxy', transport, platform: trace.platform });
  const b = await connect({ url: server.url, appId: 'example.org/proxy', transport: 'poll', platform: { sessions: new Set() } });
  try {
    const ours = await a.allocate();
    await work(ours, await b.claim(ours.nameplate ?? ''), () => a.transport.value);
  } finally {
    a.leave();
    b.leave();
  }
}

describe('behind nginx', { concurrency: true }, () => {
  for (const { name, directives, finds, tries, patience } of proxies) {
    test(`${name}, auto finds ${finds}, and delivers meanwhile`, async () => {
      const nginx = await Nginx.start(server.url, directives);
      try {
        const trace = new Trace(patience);
        await meet(nginx.url, 'auto', trace, async (ours, theirs, via) => {
          const messages = ours.messages();
          let sent = 0;
          const exchange = async () => {
            await theirs.add('talk', `${sent}`);
            assert.equal((await messages.next()).value?.body, `${sent++}`);
            await pause(20);
          };
          const found = () => via() === finds && tries.every((transport) => trace.tried.has(transport));
          await until(() => `${finds} is found, not ${via()}, after ${[...trace.tried].join()}`, found, exchange);
          for (let more = 0; more < 5; more++) await exchange();
        });
      } finally {
        await nginx.stop();
      }
    });
  }

  test('with a read timeout of 10 s, polls come to ask for less, and nothing is lost', async () => {
    const nginx = await Nginx.start(server.url, 'proxy_read_timeout 10s;');
    try {
      const trace = new Trace(1);
      await meet(nginx.url, 'poll', trace, async (ours, theirs) => {
        const heard: string[] = [];
        void ours.each(({ body }) => heard.push(body)).catch(() => {}); // until its session is left
        for (const [n, seconds] of [12, 6].entries()) {
          // An idle receive is cut, and the next one asks for less.
          await until(() => `a receive asks for ${seconds} s`, () => trace.urls.some((url) => url.endsWith(`&wait=${seconds}`)));
          await theirs.add('talk', `${seconds}`);
          await until(() => `${seconds} is heard`, () => heard.length > n);
        }
        assert.deepEqual(heard, ['12', '6']);
        const handshakes = trace.urls.filter((url) => url.endsWith('/v1/sessions')).length;
        assert.equal(handshakes, 1, 'no failure');
      });
    } finally {
      await nginx.stop();
    }
  });
});
