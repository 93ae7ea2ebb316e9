import assert from 'node:assert/strict';
import { after, afterEach, before, describe, test } from 'node:test';
import type { Mailbox, Platform } from '@restante/client';
import { Locks, Server } from '@restante/testing';
import { nameplate } from '../../src/wormhole/code.js';
import { Exchange } from '../../src/wormhole/exchange.js';
import { APP_ID, join, offer } from '../../src/wormhole/index.js';
import { begin } from '../../src/wormhole/store.js';
import { eventually, Tab, type Begin } from './page.js';
import { python, Terminal, william } from './terminal.js';
import { spoiltByWilliam } from './william.js';

let server: Server;
before(async () => {
  server = await Server.start('--drain=100ms');
});
after(() => server.remove());

let tabs: Tab[] = [];
let terminals: Terminal[] = [];
afterEach(async () => {
  for (const tab of tabs) tab.crash();
  for (const terminal of terminals) await terminal.givesUp();
  tabs = [];
  terminals = [];
});

const offering: Begin = (session, store) => offer(session, store);
const joining =
  (code: string): Begin =>
  (session, store) =>
    join(session, store, code);

async function open(begin: Begin, parts: Partial<Platform> = {}): Promise<Tab> {
  const tab = new Tab(server.url, begin, parts);
  tabs.push(tab);
  await tab.load();
  return tab;
}

function run(client: string, ...words: string[]): Terminal {
  const terminal = new Terminal(server.url, client, ...words);
  terminals.push(terminal);
  return terminal;
}

/** Has a page and a client meet, and meet again with a fresh code if, and only if, William's SPAKE2 has spoilt the exchange. */
async function meetWith(client: string, meeting: (attempt: number) => Promise<void>): Promise<void> {
  for (let attempt = 0; ; attempt++) {
    try {
      return await meeting(attempt);
    } catch (error) {
      if (client !== william || !spoiltByWilliam(tabs.at(-1)!)) throw error;
    }
  }
}

/** Two pages that are connected. */
async function meet(): Promise<[Tab, Tab]> {
  const ada = await open(offering);
  const bob = await open(joining(await ada.code()));
  await Promise.all([ada.stands('connected'), bob.stands('connected')]);
  return [ada, bob];
}

/** Whether the server has nothing left of a nameplate: a side that claims it is alone. */
async function nothing(code: string): Promise<void> {
  const { session } = await open(joining('nothing'));
  const mailbox = await session.claim(nameplate(code));
  assert.deepEqual(mailbox.sides.value.map(({ side }) => side), [session.side]);
  for await (const { phase } of mailbox.history()) assert.fail(`there is a ${phase}`);
}

/** Does as a wormhole client that has a file. */
async function offerFile(ada: Tab, mailbox: Mailbox, side: string): Promise<void> {
  const kept = begin(side, { code: await ada.code() });
  kept.said.push({ offer: { file: { filename: 'holiday.bin', filesize: 1 } } as object });
  const exchange = new Exchange(APP_ID, kept);
  const post = () => exchange.outgoing().map(({ phase, body }) => mailbox.add(phase, body));
  post();
  for await (const message of mailbox.messages()) {
    exchange.receive(message);
    post();
  }
}

describe('page and page', () => {
  test('tell each other notes, until one leaves', async () => {
    const ada = await open(offering);
    ada.conversation.say('before anybody is there');
    assert.match(await ada.code(), /^\d+-[a-z]+-[a-z]+$/);
    const bob = await open(joining(` ${(await ada.code()).replaceAll('-', ' ').toUpperCase()}\n`));
    const [one, other] = await Promise.all([ada.stands('connected'), bob.stands('connected')]);
    assert.deepEqual(one, other);
    assert.match(one.verifier, /^[0-9a-f]{64}$/);
    bob.conversation.say('Tee um vier? 🫖');
    bob.conversation.say('two\nlines');
    await eventually(() => 'all is read', () => [ada, bob].every((tab) => tab.said().length > 0 && tab.said().every((note) => note.endsWith(': read'))));
    assert.deepEqual(bob.heard(), ['before anybody is there']);
    assert.deepEqual(ada.heard(), ['Tee um vier? 🫖', 'two\nlines']);
    await ada.conversation.close();
    assert.deepEqual(await bob.stands('left'), { name: 'left', code: one.code, mood: 'happy' });
    bob.conversation.say('too late');
    assert.equal(bob.said().at(-1), 'too late: refused');
    assert.deepEqual(ada.names(), ['allocating', 'waiting', 'verifying', 'connected', 'closed']);
    assert.deepEqual(bob.names().filter((name) => name !== 'verifying'), ['waiting', 'connected', 'left']);
    await bob.reload();
    assert.equal(bob.conversation.status.value.name, 'left');
    for (const key of bob.items.keys()) if (key !== 'note') bob.items.delete(key); // the session is lost
    await bob.reload();
    assert.equal(bob.conversation.status.value.name, 'left');
    assert.equal(bob.heard().length, 1);
    assert.ok(bob.items.has('note'));
    await bob.conversation.close();
    assert.equal(bob.conversation.status.value.name, 'left');
    assert.ok(!bob.items.has('note'));
    await nothing(one.code);
  });

  test('are scared if the codes differ, also after a reload', async () => {
    const ada = await open(offering);
    ada.conversation.say('secret');
    const bob = await open(joining(`${(await ada.code()).split('-')[0]}-wrong-guess`));
    await Promise.all([ada.stands('scary'), bob.stands('scary')]);
    assert.deepEqual(ada.said(), ['secret: refused']);
    assert.deepEqual(bob.heard(), []);
    await ada.reload();
    assert.equal(ada.conversation.status.value.name, 'scary');
    await bob.conversation.close();
    await nothing((await ada.stands('scary')).code);
  });

  test('leave a number to others when no one came', async () => {
    const ada = await open(offering);
    const code = await ada.code();
    await ada.conversation.close();
    await ada.conversation.close();
    assert.deepEqual(ada.names(), ['allocating', 'waiting', 'closed']);
    const bob = await open(offering);
    await bob.conversation.close(); // before there is a code
    assert.deepEqual(bob.names(), ['allocating', 'closed']);
    assert.equal(bob.session.mailboxes.size, 0);
    await nothing(code);
  });

  test('are not disturbed by a third who comes later', async () => {
    const [ada, bob] = await meet();
    const code = await ada.code();
    const eve = await open(joining(code));
    ada.conversation.say('one');
    await eventually(() => 'it is read', () => ada.said()[0] === 'one: read');
    assert.deepEqual(bob.heard(), ['one']);
    assert.equal(eve.conversation.status.value.name, 'waiting'); // alone, as both have given the number up
  });

  test('tell a third that the code is taken', async () => {
    const ada = await open(offering);
    const number = (await ada.code()).split('-')[0]!;
    const bob = await open(offering);
    await bob.session.claim(number); // and says nothing
    const third = await open(joining(`${number}-a-b`));
    const { problem } = await third.stands('failed');
    assert.equal(problem.code, 'CROWDED');
    assert.match(problem.detail, /Ask for a new one/);
  });

  for (const [mood, does] of [
    ['lonely', (ada) => void ada.conversation.close()],
    ['scary', (_, mailbox) => void mailbox.add('pake', '00')],
    ['errory', (ada, mailbox, side) => void offerFile(ada, mailbox, side).catch(() => {})], // until the page is gone
  ] as [string, (ada: Tab, mailbox: Mailbox, side: string) => void][]) {
    test(`leave ${mood}, as wormhole clients do`, async () => {
      const ada = await open(offering);
      const bob = await open(offering);
      const mailbox = await bob.session.claim(nameplate(await ada.code()));
      does(ada, mailbox, bob.session.side);
      const moodOfAda = () => mailbox.sides.value.find(({ side }) => side === ada.session.side)?.mood;
      await eventually(() => `it is left ${mood}: ${moodOfAda()}`, () => moodOfAda() !== undefined);
      assert.equal(moodOfAda(), mood);
    });
  }

  test('go on when there is no more place to keep what they say', async () => {
    let full = false;
    const ada = await open((session, store) => {
      const save = (state: string) => {
        if (full) throw new DOMException('full', 'QuotaExceededError');
        store.save(state);
      };
      return offer(session, { ...store, save });
    });
    await ada.code();
    full = true;
    const bob = await open(joining(await ada.code()));
    ada.conversation.say('one');
    bob.conversation.say('two');
    await eventually(() => 'all is read', () => [ada, bob].every((tab) => tab.said()[0]?.endsWith(': read')));
    full = false;
    await ada.reload();
    await ada.stands('connected');
    await eventually(() => 'it is found again', () => ada.said()[0] === 'one: read' && ada.heard()[0] === 'two');
  });

  test('know a code that is none', async () => {
    const ada = await open(joining('crossover'));
    const { problem } = await ada.stands('failed');
    assert.equal(problem.code, 'MALFORMED_CODE');
    assert.ok(!ada.items.has('note'));
  });

  test('are told that a code has expired', async () => {
    /** A way to ask, and one to end the session that asks so. The one of a tab that is open begins another. */
    const expiring = () => {
      let credential = '';
      const fetch: Platform['fetch'] = (url, init) => {
        credential = (init.headers as Record<string, string>)['Authorization'] ?? credential;
        return globalThis.fetch(url, init);
      };
      return { fetch, expire: () => globalThis.fetch(`${server.url}/v1/session?mood=lonely`, { method: 'DELETE', headers: { Authorization: credential } }) };
    };
    const one = expiring();
    const ada = await open(offering, { fetch: one.fetch, WebSocket: undefined });
    await ada.code();
    ada.conversation.say('one');
    await one.expire();
    assert.equal((await ada.stands('failed')).problem.code, 'RETIRED');
    assert.deepEqual(ada.said(), ['one: refused']);
    const other = expiring();
    const bob = await open(offering, { fetch: other.fetch, WebSocket: undefined });
    await bob.code();
    bob.crash();
    await other.expire();
    await bob.load();
    assert.equal((await bob.stands('failed')).problem.code, 'RETIRED');
    const eve = await open(offering);
    await eve.code();
    eve.crash();
    for (const [key, value] of eve.items) {
      const ledger = JSON.parse(value) as { mailboxes?: object };
      if (ledger.mailboxes) eve.items.set(key, JSON.stringify({ ...ledger, mailboxes: {} })); // it was dropped
    }
    await eve.load();
    assert.equal((await eve.stands('failed')).problem.code, 'RETIRED');
  });

  test('are two, though a tab is duplicated', async () => {
    const locks = new Locks() as never;
    const ada = await open(offering, { locks });
    await ada.code();
    const copy = ada.duplicate();
    tabs.push(copy);
    await copy.load();
    assert.equal((await copy.stands('failed')).problem.code, 'LOST');
    const bob = await open(joining(await ada.code()));
    await Promise.all([ada.stands('connected'), bob.stands('connected')]);
  });

  test('stop where they are when the session is left, and end with it when it is closed', async () => {
    const [ada, bob] = await meet();
    ada.session.leave();
    await bob.session.close();
    await bob.stands('closed');
    assert.equal(ada.conversation.status.value.name, 'connected');
    await ada.load();
    await ada.stands('left');
  });

  test('are left by a page that was loaded again without what was kept', async () => {
    const [ada, bob] = await meet();
    const code = await ada.code();
    ada.crash();
    ada.items.delete('note'); // as it was left there
    await ada.load();
    await bob.stands('left');
    await eventually(() => 'one mailbox is open', () => ada.session.mailboxes.size === 1);
    assert.notEqual(await ada.code(), code);
    await nothing(code);
  });

  test('keep a note for one who is away', async () => {
    const [ada, bob] = await meet();
    bob.crash();
    ada.conversation.say('one');
    await eventually(() => 'it is sent', () => ada.said()[0] === 'one: sent');
    await bob.load();
    await eventually(() => 'it is read', () => ada.said()[0] === 'one: read');
  });

  test('hear what was said last before the other one left', async () => {
    let gate = Promise.resolve();
    const slow: Platform['fetch'] = async (url, init) => {
      if (new Headers(init.headers).get('Accept') === 'text/event-stream') throw new TypeError('only long-poll, which gathers');
      if (url.includes('/events')) await gate;
      return fetch(url, init);
    };
    const ada = await open(offering, { fetch: slow, WebSocket: undefined });
    const bob = await open(joining(await ada.code()));
    await Promise.all([ada.stands('connected'), bob.stands('connected')]);
    let pass = () => {};
    gate = new Promise((resolve) => (pass = resolve));
    bob.conversation.say('one'); // answers the receive that is under way
    await eventually(() => 'it is read', () => bob.said()[0] === 'one: read');
    bob.conversation.say('two');
    await bob.conversation.close();
    pass();
    await ada.stands('left');
    assert.deepEqual(ada.heard(), ['one', 'two']);
  });

  test('fail when the server takes no more', async () => {
    const small = await Server.start('--max-messages=4');
    try {
      const ada = new Tab(small.url, offering);
      tabs.push(ada);
      await ada.load();
      const bob = new Tab(small.url, joining(await ada.code()));
      tabs.push(bob);
      await bob.load();
      await Promise.all([ada.stands('connected'), bob.stands('connected')]);
      ada.conversation.say('one');
      assert.equal((await ada.stands('failed')).problem.code, 'QUOTA_EXCEEDED');
      assert.deepEqual(ada.said(), ['one: refused']);
      assert.equal((await bob.stands('left')).mood, 'errory');
    } finally {
      await small.remove();
    }
  });

  test('find each other again when the server was killed', async () => {
    const [ada, bob] = await meet();
    await server.kill();
    ada.conversation.say('one');
    await server.restart();
    await eventually(() => 'it is read', () => ada.said()[0] === 'one: read');
    assert.deepEqual(bob.heard(), ['one']);
  });
});

for (const [client, refusal] of [
  [python, 'Key confirmation failed'],
  [william, 'decrypt message failed'],
] as const) describe(`page and ${client}`, () => {
  test('page sends', () => meetWith(client, async () => {
    const ada = await open(offering);
    ada.conversation.say('Tee um vier? 🫖');
    const bob = run(client, 'receive', await ada.code());
    await bob.ends(0, 'Tee um vier? 🫖');
    await eventually(() => 'it is read', () => ada.said()[0] === 'Tee um vier? 🫖: read');
    if (client === python) assert.equal((await ada.stands('left')).mood, 'happy'); // the other may exit before it says so
  }));

  for (const given of [false, true]) {
    test(`page receives, code ${given ? 'given' : 'allocated'}`, () => meetWith(client, async (attempt) => {
      const bob = run(client, 'send', '--text', 'Tee um vier? 🫖', ...(given ? ['--code', `${4321 + attempt}-夜汽車-🚂`] : []));
      const ada = await open(joining(await bob.code()));
      await bob.ends(0, 'text message sent');
      assert.deepEqual(ada.heard(), ['Tee um vier? 🫖']);
      if (client === python) await ada.stands('left');
    }));
  }

  test('the receiver has a wrong code', async () => {
    const ada = await open(offering);
    ada.conversation.say('secret');
    const bob = run(client, 'receive', `${(await ada.code()).split('-')[0]}-wrong-guess`);
    await bob.ends(1, refusal);
    await ada.stands('scary');
  });

  test('the page has a wrong code', async () => {
    const bob = run(client, 'send', '--text', 'secret', '--code', client === python ? '5001-a-b' : '5002-a-b');
    const ada = await open(joining((await bob.code()).replace('a-b', 'b-a')));
    await bob.ends(1, refusal);
    await ada.stands('scary');
    assert.deepEqual(ada.heard(), []);
  });
});

/** What is said once in all, on a page that may go meanwhile. */
async function say(tab: Tab, text: string): Promise<void> {
  while (!tab.said().some((note) => note.startsWith(`${text}:`))) {
    tab.conversation.say(text);
    if (tab.gone) await tab.load();
  }
}

for (const who of ['who offers', 'who joins'] as const) describe(`the page of the one ${who} is loaded again`, () => {
  /** Runs a conversation in which one page goes at a write. Answers how many there were. */
  async function talk(fatal: number): Promise<number> {
    const page = async (begin: Begin, goes: boolean) => {
      const tab = new Tab(server.url, begin, { WebSocket: undefined });
      tabs.push(tab);
      if (goes) tab.fatal = fatal;
      await tab.load();
      return tab;
    };
    const ada = await page(offering, who === 'who offers');
    const all: Tab[] = [ada];
    const go = (what: string, so: () => boolean) => eventually(() => `${what}: ${JSON.stringify(all.map((tab) => [tab.conversation.status.value, tab.conversation.notes.value]))}`, so, all);
    await say(ada, 'one');
    await go('there is a code', () => ada.conversation.status.value.name !== 'allocating');
    const bob = await page(joining(await ada.code()), who === 'who joins');
    all.push(bob);
    await say(bob, 'two');
    await go('both are connected', () => all.every(({ conversation }) => conversation.status.value.name === 'connected'));
    await say(ada, 'three');
    await say(bob, 'four');
    await go('all is read', () => all.every((tab) => tab.said().length === 2 && tab.said().every((note) => note.endsWith(': read'))));
    assert.deepEqual(bob.heard(), ['one', 'three']);
    assert.deepEqual(ada.heard(), ['two', 'four']);
    const [goes, stays] = who === 'who offers' ? [ada, bob] : [bob, ada];
    const mailbox = [...stays.session.mailboxes.values()][0]!; // the other page may go now
    const phases: string[] = [];
    for await (const { side, phase } of mailbox.history()) phases.push(`${side === ada.session.side ? 'ada' : 'bob'} ${phase}`);
    const wanted = ['ada', 'bob'].flatMap((side) => ['pake', 'version', '0', '1', '2', '3'].map((phase) => `${side} ${phase}`));
    assert.deepEqual(phases.sort(), wanted.sort());
    const { writes } = goes;
    for (const tab of all) tab.crash();
    return writes;
  }

  test('at each of its writes', async (t) => {
    const before = await talk(-1);
    t.diagnostic(`${before} writes`);
    for (let fatal = 0; fatal < before; fatal++) await talk(fatal);
  });
});

describe('page and the Python client', () => {
  for (const status of ['allocating', 'waiting', 'verifying', 'connected'] as const) {
    test(`the page sends, and is loaded again when it stands ${status}`, async () => {
      const ada = await open(offering);
      ada.goesAt = status;
      await ada.reload();
      await say(ada, 'one');
      const bob = run(python, 'receive', await ada.code());
      assert.equal((await ada.stands('left')).mood, 'happy');
      await bob.ends(0, 'one\n');
      assert.deepEqual(ada.said(), ['one: read']);
      assert.equal(ada.goesAt, undefined);
    });

    if (status !== 'allocating') test(`the page receives, and is loaded again when it stands ${status}`, async () => {
      const bob = run(python, 'send', '--text', 'one');
      const ada = new Tab(server.url, joining(await bob.code()));
      tabs.push(ada);
      ada.goesAt = status;
      await ada.load();
      await ada.stands('left');
      await bob.ends(0, 'text message sent');
      assert.deepEqual(ada.heard(), ['one']);
      assert.equal(ada.goesAt, undefined);
    });
  }

  test('a file is refused, and its sender is told', async () => {
    const bob = run(python, 'send', '--no-listen', '--hide-progress', '--code', '5003-a-b', '/etc/hostname');
    const ada = await open(joining('5003-a-b'));
    assert.equal((await ada.stands('failed')).problem.code, 'UNSUPPORTED');
    await bob.ends(1, 'only text can be received here');
  });

  test('the verifier is the same', async () => {
    const ada = await open(offering);
    ada.conversation.say('one');
    const bob = run(python, 'receive', '--verify', await ada.code());
    const { verifier } = await ada.stands('connected');
    await bob.ends(0, `Verifier ${verifier}.`);
  });

  test('one who takes a single note leaves the others unread', async () => {
    const ada = await open(offering);
    for (const text of ['one', 'two']) ada.conversation.say(text);
    const bob = run(python, 'receive', await ada.code());
    await bob.ends(0, 'one');
    await ada.stands('left');
    assert.deepEqual(ada.said(), ['one: read', 'two: refused']);
  });
});
