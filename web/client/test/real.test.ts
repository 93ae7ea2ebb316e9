import assert from 'node:assert/strict';
import { after, afterEach, before, describe, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { Server, storage, until } from '@restante/testing';
import { connect, type Mailbox, type Options, type Session } from '../src/index.js';
import type { Platform } from '../src/platform.js';
import { seeded } from './clock.js';

let server: Server;
before(async () => {
  server = await Server.start('--heartbeat-interval=2s', '--drain=100ms');
});
after(() => server.remove());

type Fetch = Platform['fetch'];

/** Timers that leave a slow machine time: what is found to work is not given up because it is slow. */
const patient: Pick<Platform, 'setTimeout'> = { setTimeout: (run, ms) => setTimeout(run, ms < 1000 ? ms : 50 * ms) };

let sessions: Session[] = [];
let Socket = WebSocket;
afterEach(() => {
  Socket = WebSocket;
  for (const session of sessions) session.leave();
  sessions = [];
});

/** Two who have met, over networks of their own. */
async function meet(
  transport: Options['transport'],
  ofAda: Fetch = fetch,
  ofBob: Fetch = fetch,
  parts: Partial<Platform> = {},
): Promise<{ a: Session; b: Session; ours: Mailbox; theirs: Mailbox }> {
  const join = (via: Fetch) =>
    connect({ url: server.url, appId: 'example.org/real', transport, platform: { fetch: via, WebSocket: Socket, ...parts } });
  const [a, b] = await Promise.all([join(ofAda), join(ofBob)]);
  sessions.push(a, b);
  const ours = await a.allocate();
  return { a, b, ours, theirs: await b.claim(ours.nameplate ?? '') };
}

/** Both say so much, and hear what the other says. */
async function talk(count: number, ours: Mailbox, theirs: Mailbox, onHeard: () => unknown = () => {}): Promise<void> {
  const hear = async (mailbox: Mailbox) => {
    const heard: string[] = [];
    for await (const { body } of mailbox.messages()) {
      heard.push(body);
      await onHeard();
      if (heard.length === count) break;
    }
    return heard;
  };
  const say = (mailbox: Mailbox, who: string) => Promise.all(all(who).map((body) => mailbox.add('talk', body)));
  const all = (who: string) => Array.from({ length: count }, (_, i) => `${who} ${i}`);
  const [ofBob, ofAda] = await Promise.all([hear(ours), hear(theirs), say(ours, 'ada'), say(theirs, 'bob')]);
  assert.deepEqual(ofBob, all('bob'));
  assert.deepEqual(ofAda, all('ada'));
}

for (const transport of ['poll', 'sse', 'socket', 'auto'] as const) describe(`against the real server, by ${transport}`, () => {
  test('two talk, release their number and close', async () => {
    const { a, b, ours, theirs } = await meet(transport);
    assert.deepEqual(await a.list(), []);
    await talk(40, ours, theirs);
    const log: string[] = [];
    for await (const { body } of ours.history()) log.push(body);
    assert.equal(log.length, 80);
    await Promise.all([ours.release(), theirs.release()]);
    assert.equal(ours.nameplate, undefined);
    await ours.close();
    await Promise.all([a.close(), b.close()]);
  });

  test('killed and started again and again, it loses and repeats nothing', async () => {
    const { ours, theirs } = await meet(transport);
    let heard = 0;
    let kills = 0;
    let killing = false;
    // It is killed by what is heard, not by a clock: so there is always progress, and the talk ends on any machine.
    await talk(60, ours, theirs, async () => {
      if (++heard % 20 !== 0 || killing) return;
      killing = true;
      kills++;
      await server.kill();
      await server.restart();
      killing = false;
    });
    assert.ok(kills >= 2, `it was killed ${kills} times while they talked`);
  });

  test('stopped and started again, it loses and repeats nothing, and they plan to be back soon', async () => {
    const { a, b, ours, theirs } = await meet(transport, fetch, fetch, { random: () => 0.5 });
    await talk(5, ours, theirs);
    const talking = talk(100, ours, theirs);
    const began = Date.now();
    const plans: { afterMs: number; waitMs: number }[] = [];
    for (const session of [a, b]) {
      session.state.subscribe((state) => {
        if (state.name === 'backingOff') plans.push({ afterMs: Date.now() - began, waitMs: state.until - Date.now() });
      });
    }
    assert.equal(await server.stop(), 0);
    await server.restart();
    await talking;
    // A server that is stopping asks to be left alone for a second. Apart from that, who has waited for a while plans to wait that long again.
    for (const { afterMs, waitMs } of plans) assert.ok(waitMs <= afterMs + 2000, `after ${afterMs} ms it planned to wait ${waitMs} ms`);
  });

  if (transport === 'socket' || transport === 'auto') test('sockets cut again and again, nothing is lost, repeated or out of order', async () => {
    let cuts = 0;
    Socket = class extends WebSocket {
      constructor(url: string | URL) {
        super(url);
        let heard = 0;
        this.addEventListener('message', () => ++heard % 20 === 0 && (cuts++, this.close()));
      }
    };
    const { a, b, ours, theirs } = await meet(transport, fetch, fetch, patient);
    await until(() => 'both have sockets', () => [a, b].every((session) => session.transport.value === 'socket'));
    await talk(50, ours, theirs);
    assert.ok(cuts >= (transport === 'socket' ? 3 : 1), `only ${cuts} cuts`);
  });

  if (transport === 'poll' || transport === 'sse') test('every third answer lost, nothing is lost, repeated or out of order', async () => {
    let lost = 0;
    const lossy = (): Fetch => {
      let answers = 0;
      return async (url, init) => {
        const response = await fetch(url, init);
        if (++answers % 3 !== 0) return response;
        await response.arrayBuffer();
        lost++;
        throw new TypeError('terminated');
      };
    };
    const { ours, theirs } = await meet(transport, lossy(), lossy());
    await talk(30, ours, theirs);
    assert.ok(lost > 30, `only ${lost} were lost`);
  });

  if (transport === 'poll' || transport === 'sse') test('lost, late and repeated requests are each done once', async () => {
    const random = seeded(7);
    const unruly: Fetch = async (url, init) => {
      const again = init.method === 'POST' && !url.endsWith('/sessions') && random() < 0.3;
      if (again) void pause(random() * 50).then(() => fetch(url, { ...init, signal: null })).catch(() => {});
      if (random() < 0.05) throw new TypeError('lost');
      await pause(random() * 5);
      const response = await fetch(url, init);
      if (random() < 0.05) throw new TypeError('lost');
      return response;
    };
    const { ours, theirs } = await meet(transport, unruly, unruly);
    await talk(30, ours, theirs);
  });

  test('a session that was ended is followed by another, with nothing missed', async () => {
    let credential = '';
    const noting: Fetch = (url, init) => {
      const handshake = /"sessionId":"([^"]+)"/.exec(String(init.body)); // which is all that some transports send over HTTP
      if (handshake) credential = `Bearer ${handshake[1]}`;
      return fetch(url, init);
    };
    const { a, ours, theirs } = await meet(transport, noting);
    await talk(5, ours, theirs);
    const { side } = a;
    const ended = await fetch(`${server.url}/v1/session`, { method: 'DELETE', headers: { Authorization: credential } });
    assert.equal(ended.status, 204);
    await talk(5, ours, theirs);
    assert.equal(a.side, side);
  });
});

test('a session is told if the other side is there, and what it has received, by every transport and after a reload', async () => {
  const one = async (transport: Options['transport']) => {
    const place = (appId: string, options: Partial<Options> = {}) => {
      const platform = { storage: storage(new Map()), WebSocket: Socket };
      return async () => {
        const session = await connect({ url: server.url, appId, ...options, platform: { ...platform, sessions: new Set<string>() } });
        sessions.push(session);
        return session;
      };
    };
    const load = place(`example.org/${transport}`, { transport, presence: true, receipts: true });
    const loadOther = place(`example.org/${transport}`);
    let a = await load();
    const b = await loadOther();
    const ours = await a.allocate();
    const theirs = await b.claim(ours.nameplate ?? '');
    const other = () => a.mailboxes.get(ours.id)?.sides.value.find(({ side }) => side === b.side);
    const told = (what: string, holds: () => boolean) => until(() => `${transport}: ${what}: ${JSON.stringify(other())}`, holds);
    await told('it is here', () => other()?.state === 'here');
    const { position } = await ours.add('talk', 'Tea at four?');
    for await (const _ of theirs.messages()) break;
    await told('it has the message', () => other()?.received === position);
    b.leave();
    await told('it is away', () => other()?.state === 'away');
    assert.equal(other()?.reason, 'silent');
    a.leave();
    a = await load();
    assert.deepEqual(other(), { side: b.side, state: 'away', reason: 'silent', received: position });
    await loadOther();
    await told('it is here again', () => other()?.state === 'here' && other()?.reason === undefined);
    const third = await connect({ url: server.url, appId: a.appId, platform: { storage: undefined } });
    sessions.push(third);
    await assert.rejects(third.open(ours.id), { code: 'CROWDED' });
    await told('a third side was refused', () => a.mailboxes.get(ours.id)?.crowded.value === 1);
  };
  await Promise.all([one('poll'), one('sse'), one('socket')]);
});
