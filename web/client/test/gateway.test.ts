import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { RestanteError, type Mailbox, type Session } from '../src/index.js';
import { problem, type Call, type Reply } from './model.js';
import { refused, World, type Place } from './world.js';

/** Ada, who has a mailbox open, behind a gateway. */
async function opened(): Promise<{ world: World; ada: Place; a: Session; ours: Mailbox }> {
  const world = new World();
  const ada = world.place();
  const a = await ada.connect();
  return { world, ada, a, ours: await ada.done(a.open('box')) };
}

const bodies = (world: World) => world.model.mailboxes.get('box')?.messages.map(({ body }) => body);
const handshakes = (place: Place) => place.network.sent.filter((line) => line === HANDSHAKE).length;
const is = (call: Call, request: string) => `${call.method} ${call.path}`.startsWith(request);
const json = (status: number, body: unknown): Reply => ({ status, headers: { 'Content-Type': 'application/json' }, body });
const own = (status: number, body: object): Reply => ({ status, headers: { 'Content-Type': 'application/problem+json' }, body });
const page = (status: number, headers: Record<string, string> = {}): Reply => ({ status, headers: { 'Content-Type': 'text/html', ...headers }, body: '<h1>no</h1>' });

const POLL = 'GET /v1/session/events';
const ADD = 'POST /v1/mailboxes/box/messages';
const HANDSHAKE = 'POST /v1/sessions';

const notOfTheServer: [string, Reply][] = [
  ['200 and nothing', json(200, undefined)],
  ['204', { status: 204, headers: {}, body: undefined }],
  ['200 and an empty object', json(200, {})],
  ['200 and null', json(200, 'null')],
  ['200 and a page', page(200)],
  ['a problem of its own with 503', own(503, { type: 'about:blank', title: 'Service Unavailable', status: 503 })],
  ['a problem of its own with 401', own(401, { type: 'about:blank', title: 'Unauthorized', status: 401 })],
  ['a problem that is none', own(502, [])],
];

describe('what is not of the server is a lost connection', () => {
  for (const [what, reply] of notOfTheServer) for (const request of [POLL, ADD, HANDSHAKE, 'GET /v1/mailboxes/box/messages', 'PUT /v1/mailboxes/two']) {
    test(`${what} to ${request}`, async () => {
      const { world, ada, a, ours } = await opened();
      ada.network.gateway = (call, pass) => (is(call, request) ? reply : pass());
      ada.page.tell('online');
      const adding = ours.add('talk', 'one');
      const opening = a.open('two');
      const reading = ours.history().next();
      await world.clock.pass(60_000);
      ada.network.gateway = undefined;
      assert.equal((await ada.done(adding)).position, 1);
      assert.equal((await ada.done(opening)).id, 'two');
      assert.equal((await ada.done(reading)).value?.body, 'one');
      await world.clock.until('it is connected', () => a.state.value.name === 'connected');
      assert.equal(ada.kept(a), [...world.model.sessions.values()][0], 'it is the same session');
      assert.deepEqual(bodies(world), ['one']);
    });
  }

  for (const [what, reply] of notOfTheServer) test(`${what} to the deletion of a mailbox${reply.status === 204 ? ' is an answer' : ''}`, async () => {
    const { world, ada, a, ours } = await opened();
    ada.network.gateway = (call, pass) => (is(call, 'DELETE') ? reply : pass());
    const closing = ours.close();
    await world.clock.pass(60_000);
    ada.network.gateway = undefined;
    await ada.done(closing);
    assert.equal(world.model.mailboxes.has('box'), reply.status === 204);
    await ada.done(a.open('box'));
  });

  for (const [what, reply] of notOfTheServer) test(`${what} to every handshake of a page that was loaded again costs it no session`, async () => {
    const { ada, a } = await opened();
    ada.reload();
    ada.network.gateway = () => reply;
    assert.equal((await refused(ada.connect())).code, 'UNREACHABLE');
    ada.network.gateway = undefined;
    const again = await ada.connect();
    assert.deepEqual([again.resumed, again.side], [true, a.side]);
  });

  for (const transport of ['sse', 'socket'] as const) test(`a problem of its own to what begins, by ${transport}`, async () => {
    const world = new World();
    const ada = world.place();
    ada.network.gateway = (call, pass) => (call.headers['Accept'] === 'text/event-stream' ? own(503, { title: 'away' }) : pass());
    const a = await ada.connect({ transport });
    const opening = a.open('box');
    await world.clock.pass(30_000);
    ada.network.gateway = undefined;
    assert.equal((await ada.done(opening)).id, 'box');
    await world.clock.until('it is connected', () => a.state.value.name === 'connected');
  });

  test('what the server itself says of things with odd names is taken', async () => {
    const { ada, a } = await opened();
    for (const name of ['messages', 'mailboxes', 'nameplates', 'metadata', 'session', 'events', 'a/messages']) {
      assert.equal((await ada.done(a.open(name))).id, name);
      assert.ok((await ada.done(a.claim(name))).id.startsWith('box-'));
    }
  });

  test('the reply to the handshake of another session', async () => {
    const { world, ada, a } = await opened();
    const other = world.place(2);
    const b = await other.connect();
    ada.network.gateway = async (call, pass) => {
      const reply = await pass();
      return is(call, HANDSHAKE) ? { ...reply, body: { ...(reply.body as object), sessionId: other.kept(b).id, side: b.side, epoch: 1 } } : reply;
    };
    const side = a.side;
    ada.page.tell('online');
    await world.clock.pass(10_000);
    assert.deepEqual([a.state.value.name === 'connected', a.side], [false, side]);
    ada.network.gateway = undefined;
    await world.clock.until('it is connected', () => a.state.value.name === 'connected');
    assert.equal(a.side, side);
  });
});

test('a command whose answer cannot be taken in is rejected, and the session ends', async () => {
  const { ada, a, ours } = await opened();
  ada.network.gateway = async (call, pass) => {
    const reply = await pass();
    return is(call, ADD) ? json(201, { ...(reply.body as object), position: undefined, positions: null }) : reply;
  };
  const error = await refused(ada.done(ours.add('talk', 'one')));
  assert.equal(error.name, 'RestanteError');
  assert.equal((await a.closed)?.code, 'INTERNAL');
});

test('a gateway that drops the header `Ack` is not noticed', async () => {
  const world = new World();
  const [ada, bob] = [world.place(1), world.place(2)];
  ada.network.gateway = async (_, pass) => {
    const reply = await pass();
    return { ...reply, headers: { ...reply.headers, Ack: '' } };
  };
  const [a, b] = [await ada.connect(), await bob.connect()];
  const ours = await ada.done(a.allocate());
  await bob.done(b.claim(ours.nameplate!));
  const third = world.place(3);
  const c = await third.connect();
  third.network.gateway = ada.network.gateway;
  assert.equal((await refused(third.done(c.claim(ours.nameplate!)))).code, 'CROWDED'); // which uses up its number
  assert.ok((await third.done(c.allocate())).nameplate);
  world.model.refusesCommands = problem('INVALID_REQUEST', { status: 400, action: 'stop' });
  assert.equal((await refused(ada.done(ours.add('talk', 'bad')))).code, 'INVALID_REQUEST'); // which does not
  world.model.refusesCommands = undefined;
  ada.network.weather = { loseAnswer: 1 };
  const adding = ours.add('talk', 'one');
  await world.clock.pass(0);
  ada.network.weather = {};
  assert.deepEqual([(await ada.done(adding)).position, (await ada.done(ours.add('talk', 'two'))).position], [1, 2]);
  assert.deepEqual([handshakes(ada), handshakes(third)], [1, 1]);
});

describe('what is asked to come again later', () => {
  const limited = (after: string): Reply => {
    const { status, headers, body } = problem('QUOTA_EXCEEDED', { code: 'RATE_LIMITED' });
    return { status, headers: { ...headers, 'Retry-After': after }, body };
  };
  const at = (world: World, ms: number) => new Date(world.clock.now + ms).toUTCString();
  const answers: [string, (world: World) => Reply][] = [
    ['the page of a proxy, 429', () => page(429, { 'Retry-After': '30' })],
    ['the page of a proxy, 503', () => page(503, { 'Retry-After': '30' })],
    ['a problem of its own with 503', () => ({ ...own(503, {}), headers: { 'Content-Type': 'application/problem+json', 'Retry-After': '30' } })],
    ['the page of a proxy, with a date', (world) => page(503, { 'Retry-After': at(world, 30_000) })],
    ['the server', () => limited('30')],
    ['the server, with a date', (world) => limited(at(world, 30_000))],
  ];

  for (const [what, reply] of answers) for (const request of [HANDSHAKE, ADD, POLL]) test(`by ${what}, to ${request}, waits so long, also if the page is looked at`, async () => {
    const { world, ada, ours } = await opened();
    const times: number[] = [];
    ada.network.gateway = (call, pass) => (is(call, request) ? (times.push(world.clock.now), reply(world)) : pass());
    ada.page.tell('online');
    void ours.add('talk', 'one').catch(() => {});
    for (let i = 0; i < 28; i++) {
      await world.clock.pass(1000);
      ada.page.tell('visibilitychange');
    }
    assert.equal(times.length, 1);
    ada.network.gateway = (call, pass) => (is(call, request) ? (times.push(world.clock.now), pass()) : pass());
    await world.clock.until('it is tried again', () => times.length > 1, 8000);
    await world.clock.until('it is added', () => !!bodies(world)?.length);
  });

  test('tries at once on another network', async () => {
    const { world, ada, a } = await opened();
    ada.network.gateway = () => page(503, { 'Retry-After': '600' });
    ada.page.tell('online');
    await world.clock.pass(10_000);
    ada.network.gateway = undefined;
    ada.page.tell('online');
    assert.equal(await world.clock.until('it is back', () => a.state.value.name === 'connected'), 0);
  });

  for (const after of ['2592000', '1e99', 'Fri, 31 Dec 9999 23:59:59 GMT']) test(`${after} is not more than a timer can wait`, async () => {
    const world = new World();
    const ada = world.place();
    const waits: number[] = [];
    const { setTimeout } = ada.page.platform;
    ada.page.platform.setTimeout = (run, ms) => (waits.push(ms), setTimeout(run, ms));
    await ada.connect();
    ada.network.gateway = () => page(429, { 'Retry-After': after });
    ada.page.tell('online');
    await world.clock.pass(10_000);
    assert.equal(Math.max(...waits), 2 ** 31 - 1);
  });

  for (const after of ['-5', 'soon', '', 'Thu, 01 Jan 1970 00:00:00 GMT']) test(`\`${after}\` asks for nothing`, async () => {
    const { world, ada } = await opened();
    ada.network.gateway = (call, pass) => (is(call, HANDSHAKE) ? page(503, { 'Retry-After': after }) : pass());
    ada.page.tell('online');
    await world.clock.pass(10_000);
    assert.ok(handshakes(ada) > 4, `${handshakes(ada)} handshakes`);
  });
});

describe('a server that makes mistakes', () => {
  const mistake = problem('INTERNAL', { status: 500, action: 'retry' });
  mistake.status = 500;
  for (const transport of ['poll', 'sse', 'socket'] as const) test(`is asked ever less to do a command, by ${transport}`, async () => {
    const world = new World();
    const ada = world.place();
    ada.page.platform.random = () => 1;
    const a = await ada.connect({ transport });
    await world.clock.pass(30_000);
    let asked = 0;
    const { handle } = world.model;
    world.model.handle = (call) => (is(call, 'POST /v1/nameplates') ? (asked++, Promise.resolve(mistake)) : handle.call(world.model, call));
    const allocating = a.allocate();
    await world.clock.pass(20_000);
    assert.ok(asked >= 5 && asked <= 8, `it was asked ${asked} times`);
    world.model.handle = handle;
    assert.equal((await ada.done(allocating)).nameplate, '1');
    assert.equal(handshakes(ada), 1);
  });

  test('is asked ever less for frames', async () => {
    const { world, ada } = await opened();
    let asked = 0;
    ada.network.gateway = (call, pass) => (is(call, POLL) ? (asked++, mistake) : pass());
    ada.page.tell('online');
    await world.clock.pass(30_000);
    assert.ok(asked >= 5 && asked <= 25, `it was asked ${asked} times`);
  });
});

describe('a command that a proxy always answers with a page', () => {
  for (const [status, code] of [[403, 'UNREACHABLE'], [413, 'PAYLOAD_TOO_LARGE']] as const) test(`${status} is rejected after three, and the next one takes its number`, async () => {
    const { world, ada, a, ours } = await opened();
    let blocked = 0;
    ada.network.gateway = (call, pass) => (call.body?.includes('bad') ? (blocked++, page(status)) : pass());
    const [bad, good] = [ours.add('talk', 'bad'), ours.add('talk', 'good')];
    const error = (await refused(ada.done(bad))) as RestanteError;
    assert.ok(error instanceof RestanteError);
    assert.deepEqual([error.code, error.status, error.action, error.retriable, blocked], [code, status, 'stop', false, 3]);
    assert.equal((await ada.done(good)).position, 1);
    assert.deepEqual([bodies(world), ada.kept(a).replies.length, a.state.value.name], [['good'], 2, 'connected']);
  });

  test('though the server did it is not done again, and the next one takes the next number', async () => {
    const { world, ada, ours } = await opened();
    ada.network.gateway = async (call, pass) => {
      const reply = await pass();
      return call.body?.includes('bad') ? page(403) : reply;
    };
    const [bad, good] = [ours.add('talk', 'bad'), ours.add('talk', 'good')];
    assert.equal((await refused(ada.done(bad))).code, 'UNREACHABLE');
    assert.equal((await ada.done(good)).position, 2);
    assert.deepEqual(bodies(world), ['bad', 'good']);
  });

  for (const status of [401, 407, 408, 425, 429, 500, 502, 503]) test(`${status} is sent on: that is not about the command`, async () => {
    const { world, ada, ours } = await opened();
    ada.network.gateway = (call, pass) => (is(call, ADD) ? page(status) : pass());
    const adding = ours.add('talk', 'one');
    await world.clock.pass(100_000);
    ada.network.gateway = undefined;
    assert.equal((await ada.done(adding)).position, 1);
  });

  test('is sent on while there is no handshake either', async () => {
    const { world, ada, ours } = await opened();
    ada.network.gateway = () => page(404);
    const adding = ours.add('talk', 'one');
    await world.clock.pass(100_000);
    ada.network.gateway = undefined;
    assert.equal((await ada.done(adding)).position, 1);
  });
});

describe('an answer that comes in pieces', () => {
  /** A gateway that passes on a receive with frames in pieces of so many characters, one every so many milliseconds. */
  const dripping = (size: number, everyMs: number) => async (call: Call, pass: () => Promise<Reply>): Promise<Reply> => {
    const reply = await pass();
    return is(call, POLL) && JSON.stringify(reply.body).includes('long') ? { ...reply, pieces: { size, everyMs } } : reply;
  };

  test('may take longer than a silence may last', async () => {
    const { world, ada, ours } = await opened();
    ada.network.gateway = dripping(50, 20_000);
    const bob = world.place(2);
    const theirs = await bob.done((await bob.connect()).open('box'));
    const reading = ours.messages().next();
    const text = `long ${'äöü'.repeat(100)}`;
    await bob.done(theirs.add('talk', text));
    assert.equal((await ada.done(reading)).value?.body, text);
    assert.equal(handshakes(ada), 1);
  });

  test('and stops is noticed', async () => {
    const { world, ada, a, ours } = await opened();
    ada.network.gateway = dripping(50, 90_000);
    const bob = world.place(2);
    const theirs = await bob.done((await bob.connect()).open('box'));
    const reading = ours.messages().next();
    await bob.done(theirs.add('talk', 'long'));
    assert.equal(await world.clock.until('it is noticed', () => handshakes(ada) > 1 || a.state.value.name !== 'connected'), 60_000);
    ada.network.gateway = undefined;
    assert.equal((await ada.done(reading)).value?.body, 'long');
  });
});

describe('an address that redirects', () => {
  const to = 'https://mail.example.org/v1/sessions';
  /** What a browser gets that follows a 301: another method, and no credential. */
  const followed = (call: Call, pass: () => Promise<Reply>): Reply | Promise<Reply> => {
    if (call.method !== 'POST') return pass();
    return { ...problem('METHOD_NOT_ALLOWED', { status: 405, action: 'stop' }), status: 405, redirected: to };
  };

  test('with another method is a lost connection that says so, and costs no session', async () => {
    const { ada, a } = await opened();
    ada.reload();
    ada.network.gateway = followed;
    const error = await refused(ada.connect());
    assert.equal(error.code, 'UNREACHABLE');
    assert.match(error.message, /the address redirects to https:\/\/mail\.example\.org\/v1\/sessions/);
    ada.network.gateway = undefined;
    const again = await ada.connect();
    assert.deepEqual([again.resumed, again.side], [true, a.side]);
  });

  test('without the credential is a lost connection, too', async () => {
    const { world, ada, a, ours } = await opened();
    const stripped = { ...problem('SESSION_REQUIRED', { status: 401, action: 'restart' }), status: 401, redirected: to };
    ada.network.gateway = (call, pass) => (is(call, HANDSHAKE) ? pass() : stripped);
    const [adding, before] = [ours.add('talk', 'one'), ada.kept(a)];
    await world.clock.pass(30_000);
    ada.network.gateway = undefined;
    assert.equal((await ada.done(adding)).position, 1);
    assert.equal(ada.kept(a), before);
  });

  test('with the same method is no trouble', async () => {
    const world = new World();
    const ada = world.place();
    ada.network.gateway = async (_, pass) => ({ ...(await pass()), redirected: to });
    const a = await ada.connect();
    assert.equal((await ada.done(a.open('box'))).id, 'box');
    assert.equal((await refused(ada.done(a.open('new', { after: 99 })))).code, 'INVALID_REQUEST');
  });
});

describe('to inspect a session', () => {
  test('works during a handshake', async () => {
    const { world, ada, a } = await opened();
    ada.network.gateway = (call, pass) => (is(call, HANDSHAKE) ? new Promise(() => {}) : pass());
    ada.page.tell('online');
    await world.clock.until('it shakes hands', () => a.state.value.name === 'handshaking');
    await world.clock.pass(100);
    assert.equal((await ada.done(a.inspect())).epoch, 1);
  });

  test('fails as all else does', async () => {
    const { ada, a } = await opened();
    for (const [what, gateway] of [['a page', () => page(502)], ['nothing', () => json(200, undefined)], ['its own', () => own(503, {})]] as const) {
      ada.network.gateway = gateway;
      const error = (await refused(ada.done(a.inspect()))) as RestanteError;
      assert.ok(error instanceof RestanteError, what);
      assert.deepEqual([error.code, error.action, error.retriable], ['UNREACHABLE', 'retry', true]);
    }
    ada.network.down = true;
    assert.ok((await refused(ada.done(a.inspect()))) instanceof RestanteError);
    const signal = AbortSignal.abort(new Error('enough'));
    assert.equal((await refused(a.inspect({ signal }))).message, 'enough');
  });
});
