import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, test } from 'node:test';
import { connect, type Options, type RestanteError, type Session, type Work } from '../src/index.js';
import { storage } from './page.js';
import { Server } from './server.js';
import { refused } from './world.js';

let server: Server;
before(async () => {
  server = await Server.start('--hashcash-bits=10', '--drain=100ms');
});
after(() => server.remove());

/** The function that the docs propose. */
function proposed(): NonNullable<Options['permit']> {
  const docs = readFileSync(`${process.cwd()}/../../docs/browser.md`, 'utf8');
  const source = /<!-- permit -->\n```js\n([^]*?)```/.exec(docs)?.[1];
  assert.ok(source, 'docs/browser.md proposes nothing');
  return new Function(`return ${source}`)() as NonNullable<Options['permit']>;
}

describe('a server that asks for work', () => {
  const kept = new Map<string, string>();
  let requests = 0;
  const join = (permit?: Options['permit']): Promise<Session> => {
    const counting: typeof fetch = (url, init) => {
      requests++;
      return fetch(url, init);
    };
    const platform = { fetch: counting, storage: storage(kept), sessions: new Set<string>() };
    return connect({ url: server.url, appId: 'example.org/work', transport: 'poll', platform, ...(permit && { permit }) });
  };

  test('is the end for a client that does none, at once, with what there is to do', async () => {
    requests = 0;
    const error = (await refused(join())) as unknown as RestanteError;
    assert.deepEqual([error.code, error.action, error.retriable, error.status, requests], ['PERMISSION_REQUIRED', 'stop', false, 403, 1]);
    assert.equal(error.permissionRequired?.hashcash.bits, 10);
    assert.match(error.detail, /hashcash/);
  });

  test('is the end for one whose proof is none', async () => {
    requests = 0;
    const error = (await refused(join(() => '1:10:261121:elsewhere::x:0'))) as unknown as RestanteError;
    assert.deepEqual([error.code, error.action, requests], ['PERMISSION_REQUIRED', 'stop', 2]);
  });

  test('is the end for one whose application fails', async () => {
    const failing = () => Promise.reject(new Error('no worker'));
    const error = (await refused(join(failing))) as unknown as RestanteError;
    assert.deepEqual([error.code, error.action], ['INTERNAL', 'stop']);
    assert.match(error.detail, /no worker/);
  });

  test('is served with what the docs propose, each time that it shakes hands', { timeout: 60_000 }, async () => {
    const work: Work[] = [];
    const permit = proposed();
    const counting: typeof permit = (asked, signal) => {
      work.push(asked);
      return permit(asked, signal);
    };
    const session = await join(counting);
    const mailbox = await session.allocate();
    assert.equal((await mailbox.add('talk', 'one')).position, 1);
    session.leave();
    await refused(join()); // which does not cost the session
    const again = await join(counting);
    assert.deepEqual([again.resumed, again.side, [...again.mailboxes.keys()]], [true, session.side, [mailbox.id]]);
    assert.equal((await again.mailboxes.get(mailbox.id)?.add('talk', 'two'))?.position, 2);
    again.leave();
    assert.equal(work.length, 2);
  });
});
