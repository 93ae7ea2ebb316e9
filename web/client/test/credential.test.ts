import assert from 'node:assert/strict';
import { createHmac } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { Server, until } from '@restante/testing';
import { connect, type Session } from '../src/index.js';
import { refused, World, type Place } from './world.js';

/** A server whose tokens live for a minute, and who asks for how many. */
function guarded(): { world: World; credential: () => Promise<string>; asked: () => number } {
  const world = new World();
  world.model.tokenMs = 60_000;
  let asked = 0;
  const credential = () => {
    const token = `token-${++asked}`;
    world.model.tokens.add(token);
    return Promise.resolve(token);
  };
  return { world, credential, asked: () => asked };
}

const count = (place: Place, request: string) => place.network.sent.filter((line) => line.startsWith(request)).length;

describe('a server that asks for tokens', () => {
  for (const transport of ['poll', 'sse', 'socket'] as const) test(`is sent newer ones in time, by ${transport}`, async () => {
    const { world, credential, asked } = guarded();
    const place = world.place();
    const session = await place.connect({ transport, credential });
    const mailbox = await place.done(session.open('m'));
    await world.clock.pass(600_000);
    assert.deepEqual([session.progress.epoch, session.state.value.name], [1, 'connected']);
    assert.ok(asked() > 15, `it asked ${asked()} times`);
    assert.equal((await place.done(mailbox.add('talk', 'still here'))).position, 1);
    assert.equal(session.progress.nextFrame, asked() - 1, 'each frame asks once, and is processed');
  });

  test('is asked again when the application has no token for a while', async () => {
    const { world, credential } = guarded();
    const place = world.place();
    let away = false;
    const session = await place.connect({ credential: () => (away ? Promise.reject(new Error('away')) : credential()) });
    away = true;
    await world.clock.pass(45_000);
    away = false;
    await world.clock.pass(60_000);
    assert.equal(session.progress.epoch, 1);
    away = true;
    await world.clock.pass(120_000);
    assert.notEqual(session.state.value.name, 'connected');
    away = false;
    await world.clock.pass(120_000);
    assert.equal(session.state.value.name, 'connected', 'another session took the place of the one that ended');
  });

  test('that refuses every token is the end, after three', async () => {
    const { world } = guarded();
    const place = world.place();
    const error = await refused(place.connect({ credential: () => Promise.resolve('forged') }));
    assert.deepEqual([error.code, count(place, 'POST /v1/sessions')], ['TOKEN_REQUIRED', 3]);
  });

  test('is the end of a client without any, at once', async () => {
    const { world } = guarded();
    const place = world.place();
    const error = await refused(place.connect({ hello: { metadata: { plan: 'gold' } } }));
    assert.deepEqual([error.code, count(place, 'POST /v1/sessions')], ['TOKEN_REQUIRED', 1]);
  });
});

/** Signs a token as the application's own server does. */
function issue(secret: string, seconds: number): string {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const claims = { appId: 'example.org/tokens', exp: Math.floor(Date.now() / 1000) + seconds };
  const text = `${part({ alg: 'HS256', typ: 'JWT' })}.${part(claims)}`;
  return `${text}.${createHmac('sha256', secret).update(text).digest('base64url')}`;
}

test('the real server admits a client with tokens, and lets it stay as long as it sends newer ones', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'restante-tokens-'));
  const secret = 's'.repeat(32);
  writeFileSync(join(directory, 'secret'), secret);
  const server = await Server.start(`--token-secret-file=${join(directory, 'secret')}`, '--drain=100ms');
  const sessions: Session[] = [];
  try {
    await Promise.all((['poll', 'sse', 'socket'] as const).map(async (transport) => {
      let asked = 0;
      const credential = () => {
        asked++;
        return Promise.resolve(issue(secret, 6));
      };
      const join = (name: string) => connect({ url: server.url, appId: 'example.org/tokens', transport, credential, name: `${transport} ${name}` });
      const [a, b] = [await join('a'), await join('b')];
      sessions.push(a, b);
      const [ours, theirs] = [await a.open(`by-${transport}`), await b.open(`by-${transport}`)];
      let heard = 0;
      const hearing = (async () => {
        for await (const { body } of theirs.messages()) {
          assert.equal(body, String(heard++));
          if (body === '3') return;
        }
      })();
      for (let sent = 0; sent < 4; sent++) {
        const before = asked;
        await ours.add('talk', String(sent));
        await until(() => `${transport} was asked for a token`, () => asked > before);
      }
      await hearing;
    }));
  } finally {
    for (const session of sessions) session.leave();
    await server.remove();
    rmSync(directory, { recursive: true });
  }
});

test('a credential that throws is one that is away, too, and connecting tells why', async () => {
  const { world, credential } = guarded();
  const place = world.place();
  let throws = true;
  const error = await refused(place.connect({ credential: () => (throws ? JSON.parse('<html>') : credential()) as Promise<string> }));
  assert.equal(error.code, 'UNREACHABLE');
  assert.match(error.message, /no credential: SyntaxError/);
  const connecting = place.connecting({ credential: () => (throws ? JSON.parse('<html>') : credential()) as Promise<string> });
  await world.clock.pass(100);
  throws = false;
  const session = await place.done(connecting, 10_000);
  throws = true;
  await world.clock.pass(35_000);
  throws = false;
  await world.clock.pass(20_000);
  assert.deepEqual([session.state.value.name, session.progress.epoch], ['connected', 1]);
});

test('a credential that never comes is one that is away: it is asked for again', async () => {
  const { world, credential } = guarded();
  const place = world.place();
  let hangs = true;
  const connecting = place.connecting({ credential: () => (hangs ? new Promise(() => {}) : credential()) });
  await world.clock.pass(20_000);
  hangs = false;
  const session = await place.done(connecting, 12_000);
  hangs = true;
  await world.clock.pass(35_000);
  hangs = false;
  await world.clock.pass(20_000);
  assert.deepEqual([session.state.value.name, session.progress.epoch], ['connected', 1]);
});

test('a session that waits for a credential can be left, and goes on at once on another network', async () => {
  const { world, credential } = guarded();
  const place = world.place();
  let hangs = true;
  const stop = new AbortController();
  const connecting = place.connecting({ signal: stop.signal, credential: () => (hangs ? new Promise(() => {}) : credential()) });
  await world.clock.pass(1000);
  hangs = false;
  place.page.tell('online');
  await place.done(connecting, 0);
  assert.equal(count(place, 'POST /v1/sessions'), 1);
});
