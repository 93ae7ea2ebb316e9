import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { bytesToHex, hexToBytes } from '@noble/hashes/utils.js';
import { holds } from '@restante/testing';
import fc from 'fast-check';
import { peek } from '../../src/wormhole/conversation.js';
import { Exchange, type WireMessage } from '../../src/wormhole/exchange.js';
import { begin, load, type StateStore, type Kept } from '../../src/wormhole/store.js';
import { Key } from '../../src/wormhole/key.js';
import { encode } from '../../src/wormhole/payload.js';
import { Spake2 } from '../../src/wormhole/spake2.js';

const APP = 'example.org/tea';

/** One side, whose page may be loaded again at any time. */
class Side {
  kept: Kept;
  exchange: Exchange;
  #read = 0;

  constructor(
    readonly log: WireMessage[],
    side: string,
    code = '7-crossover-clockwork',
  ) {
    this.kept = begin(side, { code });
    this.exchange = new Exchange(APP, this.kept);
  }

  /** Says what is due, if `most` allows, and hears what is new. Answers whether anything happened. */
  step(): boolean {
    const due = this.exchange.outgoing();
    for (const message of due) {
      this.log.push(message);
      this.exchange.markSent(message.phase);
    }
    const fresh = this.log.slice(this.#read).filter(({ side }) => side !== this.kept.side);
    this.#read = this.log.length;
    for (const message of fresh) this.exchange.receive(message);
    return due.length + fresh.length > 0;
  }

  /** Loads what is kept, and hears the log from its beginning. */
  reload(kept = JSON.stringify(this.kept)): void {
    this.kept = JSON.parse(kept) as Kept;
    this.exchange = new Exchange(APP, this.kept);
    this.exchange.replay(this.log);
    this.#read = this.log.length;
  }

  get status(): string {
    return this.exchange.status.name;
  }

  heard(): string[] {
    return this.kept.notes.filter(({ mine }) => !mine).map(({ text }) => text);
  }

  said(): string[] {
    return this.kept.notes.filter(({ mine }) => mine).map(({ text, state }) => `${text}: ${state}`);
  }
}

function meet(...codes: string[]): [Side, Side] {
  const log: WireMessage[] = [];
  return [new Side(log, 'ada', codes[0]), new Side(log, 'bob', codes[1])];
}

/** Both go on until nothing happens. */
function settle(...sides: Side[]): void {
  while (sides.map((side) => side.step()).some(Boolean));
}

/** A peer who says what no peer of ours would. */
function stranger(ada: Side): { say: (phase: string, what: object) => void; raw: (phase: string, body: string) => void } {
  const spake = new Spake2('7-crossover-clockwork', APP, begin('x', {}).secret);
  const raw = (phase: string, body: string) => {
    ada.log.push({ side: 'bob', phase, body });
    settle(ada);
  };
  raw('pake', bytesToHex(encode({ pake_v1: bytesToHex(spake.message), and: 'more' })));
  const { pake_v1 } = JSON.parse(Buffer.from(ada.log.find(({ side }) => side === 'ada')!.body, 'hex').toString()) as { pake_v1: string };
  const key = new Key(spake.finish(hexToBytes(pake_v1))!);
  return { raw, say: (phase, what) => raw(phase, key.seal('bob', phase, encode(what))) };
}

describe('two sides', () => {
  test('meet, compare keys, and tell each other notes', () => {
    const [ada, bob] = meet();
    ada.exchange.say('before anybody is there');
    assert.deepEqual(ada.said(), ['before anybody is there: kept']);
    assert.equal(ada.status, 'waiting');
    ada.step();
    bob.step();
    assert.equal(bob.status, 'verifying');
    settle(ada, bob);
    assert.deepEqual(ada.exchange.status, bob.exchange.status);
    assert.equal(ada.status, 'connected');
    bob.exchange.say('one');
    bob.exchange.say('two');
    settle(ada, bob);
    assert.deepEqual(ada.heard(), ['one', 'two']);
    assert.deepEqual(bob.heard(), ['before anybody is there']);
    assert.deepEqual(ada.said(), ['before anybody is there: read']);
    assert.deepEqual(bob.said(), ['one: read', 'two: read']);
    assert.deepEqual(
      ada.log.filter(({ side }) => side === 'ada').map(({ phase }) => phase),
      ['pake', 'version', '0', '1', '2'],
    );
  });

  test('are connected if their codes are equal, and scared if not', async () => {
    const code = fc.constantFrom('7-crossover-clockwork', '7-crossover-timepiece', '8-crossover-clockwork', '7-a\u0308', '7-\u00e4', '7-', '7-A');
    await holds(
      fc.property(code, code, (one, other) => {
        const [ada, bob] = meet(one, other);
        settle(ada, bob);
        const wanted = one.normalize('NFC') === other.normalize('NFC') ? 'connected' : 'scary';
        assert.deepEqual([ada.status, bob.status], [wanted, wanted]);
      }),
      { numRuns: 60 },
    );
  });

  test('lose and repeat nothing, whenever either is loaded again, with what was kept then or before', async () => {
    const step = fc.record({
      who: fc.boolean(),
      does: fc.constantFrom('say', 'step', 'step', 'reload', 'reload older'),
    });
    await holds(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        const sides = meet();
        const wanted: [string[], string[]] = [[], []];
        const older = sides.map(({ kept }) => JSON.stringify(kept));
        steps.forEach(({ who, does }, n) => {
          const side = sides[who ? 0 : 1];
          if (does === 'say') {
            side.exchange.say(`note ${n}`);
            wanted[who ? 0 : 1].push(`note ${n}`);
            // What was said and neither kept nor sent is lost, of course.
            if (side.status !== 'connected') older[who ? 0 : 1] = JSON.stringify(side.kept);
            else side.step();
          } else if (does === 'step') side.step();
          else side.reload(does === 'reload' ? undefined : older[who ? 0 : 1]);
        });
        settle(...sides);
        assert.deepEqual(sides[1].heard(), wanted[0]);
        assert.deepEqual(sides[0].heard(), wanted[1]);
        for (const [n, side] of sides.entries()) {
          assert.deepEqual(side.said(), wanted[n]!.map((text) => `${text}: read`));
          assert.equal(new Set(side.kept.notes.map(({ id }) => id)).size, side.kept.notes.length);
          const phases = side.log.filter((message) => message.side === side.kept.side).map(({ phase }) => phase);
          assert.deepEqual(phases, ['pake', 'version', ...phases.slice(2).map((_, n) => String(n))]);
        }
      }),
      { numRuns: 150 },
    );
  });

  test('are scared by anything that was tampered with', async () => {
    const change = fc.record({ at: fc.nat(), by: fc.integer({ min: 1, max: 15 }), which: fc.constantFrom('pake', 'version', '0', '1') });
    await holds(
      fc.property(change, ({ at, by, which }) => {
        const [ada, bob] = meet();
        ada.exchange.say('one');
        ada.exchange.say('two');
        const tampered = { count: 0 };
        const push = ada.log.push.bind(ada.log);
        ada.log.push = (message) => {
          if (message.side === 'ada' && message.phase === which) {
            tampered.count++;
            message = { ...message, body: which === 'pake' ? element(message.body, at, by) : nibble(message.body, at, by) };
          }
          return push(message);
        };
        settle(ada, bob);
        assert.equal(tampered.count, 1);
        assert.equal(bob.status, 'scary');
        if (which === 'pake' || which === 'version') assert.deepEqual(bob.heard(), []);
        for (const note of bob.heard()) assert.equal(note, 'one'); // what came before
      }),
      { numRuns: 100 },
    );
  });

  test('are scared by messages that change places', () => {
    const [ada, bob] = meet();
    settle(ada, bob);
    ada.exchange.say('one');
    ada.exchange.say('two');
    const [one, two] = ada.exchange.outgoing();
    bob.exchange.receive({ ...one!, phase: two!.phase });
    assert.equal(bob.status, 'scary');
  });
});

/** Changes a hex digit. */
function nibble(hex: string, at: number, by: number): string {
  const place = at % hex.length;
  return hex.slice(0, place) + (parseInt(hex[place]!, 16) ^ by).toString(16) + hex.slice(place + 1);
}

/** Changes a hex digit of the element in a `pake`. */
function element(body: string, at: number, by: number): string {
  const { pake_v1 } = JSON.parse(Buffer.from(body, 'hex').toString()) as { pake_v1: string };
  return bytesToHex(encode({ pake_v1: nibble(pake_v1, at, by) }));
}

describe('a side', () => {
  const met = (): { ada: Side } & ReturnType<typeof stranger> => {
    const ada = new Side([], 'ada');
    settle(ada);
    return { ada, ...stranger(ada) };
  };

  test('answers a note, and knows which of its own was read', () => {
    const { ada, say } = met();
    ada.exchange.say('one');
    ada.exchange.say('two');
    say('version', { app_versions: {}, 'can-dilate': ['1'] });
    assert.deepEqual(ada.said(), ['one: sent', 'two: sent']);
    say('0', { answer: { message_ack: 'ok' } });
    say('1', { answer: { message_ack: 'no' } });
    say('2', { offer: { message: 'three' } });
    assert.deepEqual(ada.said(), ['one: read', 'two: refused']);
    assert.deepEqual(ada.heard(), ['three']);
    assert.deepEqual(ada.kept.said.at(-1), { answer: { message_ack: 'ok' } });
    assert.equal(ada.log.at(-1)!.phase, '2');
  });

  test('puts phases in order, and hears each once', () => {
    const { ada, say, raw } = met();
    say('1', { offer: { message: 'two' } });
    assert.equal(ada.status, 'connected');
    assert.deepEqual(ada.heard(), []);
    say('0', { offer: { message: 'one' } });
    say('0', { offer: { message: 'another' } });
    raw('1', 'not even hex');
    assert.deepEqual(ada.heard(), ['one', 'two']);
    assert.equal(ada.status, 'connected');
  });

  test('does not mind what newer clients say', () => {
    const { ada, say, raw } = met();
    say('version', {});
    raw('dilate-0', 'not even hex');
    raw('00', 'not even hex');
    raw('1e3', 'not even hex');
    say('0', { transit: { 'hints-v1': [] } });
    say('1', [1, 2]);
    say('2', { offer: 'a text' });
    ada.exchange.say('two');
    say('3', { answer: null, offer: null });
    say('4', { answer: 7 });
    say('5', { offer: { message: 'one' }, more: true });
    assert.deepEqual(ada.said(), ['two: sent']);
    assert.equal(ada.status, 'connected');
    assert.deepEqual(ada.heard(), ['one']);
  });

  for (const what of [{ file: { filename: 'holiday.bin', filesize: 1 } }, { directory: { mode: 'zipfile/deflated' } }, { message: 7 }, {}]) {
    test(`refuses to be offered ${JSON.stringify(what)}`, () => {
      const { ada, say } = met();
      ada.exchange.say('one');
      say('version', {});
      say('0', { offer: what });
      assert.equal(ada.status, 'failed');
      assert.equal(ada.kept.end?.name === 'failed' && ada.kept.end.problem.code, 'UNSUPPORTED');
      assert.deepEqual(ada.kept.said.at(-1), { error: 'only text can be received here' });
      assert.equal(ada.log.at(-1)!.phase, '1');
      assert.deepEqual(ada.said(), ['one: refused']);
    });
  }

  for (const error of ['no space left', '', 7, null]) {
    test(`ends with the error ${JSON.stringify(error)} of the other side`, () => {
      const { ada, say } = met();
      ada.exchange.say('one');
      say('version', {});
      say('0', { error });
      const { end } = ada.kept;
      assert.ok(end?.name === 'failed' && end.problem.code === 'PEER');
      assert.equal(end.problem.detail.includes('no space left'), error === 'no space left');
      assert.deepEqual(ada.said(), ['one: refused']);
    });
  }

  test('says nothing before the other side has proven to have the same key', () => {
    const { ada, say } = met();
    ada.exchange.say('secret');
    settle(ada);
    assert.deepEqual([ada.status, ada.log.at(-1)!.phase], ['verifying', 'version']);
    say('version', {});
    assert.equal(ada.log.at(-1)!.phase, '0');
  });

  test('tells the other side that the codes differ, before it leaves', () => {
    const [ada, bob] = meet('7-a', '7-b');
    ada.exchange.say('secret');
    ada.step();
    bob.step();
    bob.step();
    ada.step(); // hears bob's version, and is scared
    assert.equal(ada.status, 'scary');
    settle(ada, bob);
    assert.deepEqual(
      ada.log.filter(({ side }) => side === 'ada').map(({ phase }) => phase),
      ['pake', 'version'],
    );
    assert.equal(bob.status, 'scary');
  });

  for (const body of ['', 'zz', '7b7d', bytesToHex(encode({ pake_v1: 7 })), bytesToHex(encode({ pake_v1: '53' })), bytesToHex(encode([]))]) {
    test(`is scared by the pake ${JSON.stringify(body)}`, () => {
      const ada = new Side([], 'ada');
      ada.log.push({ side: 'bob', phase: 'pake', body });
      settle(ada);
      assert.equal(ada.status, 'scary');
    });
  }

  test('is scared by its own pake, reflected', () => {
    const ada = new Side([], 'ada');
    settle(ada);
    ada.log.push({ ...ada.log[0]!, side: 'bob' });
    settle(ada);
    assert.equal(ada.status, 'scary');
  });

  test('is scared by a later phase that cannot be opened, and tells nothing more', () => {
    const { ada, say, raw } = met();
    say('version', {});
    raw('0', '00'.repeat(50));
    assert.equal(ada.status, 'scary');
    ada.exchange.say('too late');
    say('1', { offer: { message: 'too late' } });
    assert.deepEqual(ada.said(), ['too late: refused']);
    assert.deepEqual(ada.heard(), []);
    assert.ok(!ada.log.some(({ side, phase }) => side === 'ada' && phase === '0'));
  });

  test('that is scared does not send what it was about to', () => {
    const { ada, say } = met();
    say('version', {});
    ada.exchange.say('secret');
    ada.exchange.receive({ side: 'bob', phase: '0', body: '00' });
    assert.deepEqual(ada.exchange.outgoing(), []);
  });

  test('hears what came before the key, and the key that came first', () => {
    const [ada, bob] = meet();
    settle(ada, bob);
    ada.exchange.say('one');
    ada.step();
    const late = new Side(ada.log, 'bob');
    late.kept = JSON.parse(JSON.stringify({ ...begin('bob', { code: '7-crossover-clockwork' }), secret: bob.kept.secret })) as Kept;
    late.exchange = new Exchange(APP, late.kept);
    const [pake, version, one] = ada.log.filter(({ side }) => side === 'ada');
    for (const message of [one!, version!, { ...one!, body: '00' }]) late.exchange.receive(message);
    assert.equal(late.status, 'waiting');
    for (const message of [pake!, { ...pake!, body: '00' }]) late.exchange.receive(message);
    assert.equal(late.status, 'connected');
    assert.deepEqual(late.heard(), ['one']);
  });

  test('that has ended hears nothing, and has ended for one reason', () => {
    const { ada, say } = met();
    ada.exchange.left('lonely');
    say('version', {});
    ada.exchange.left('scary');
    assert.deepEqual([ada.status, ada.exchange.verified], ['left', false]);
    const { ada: eve, say: tell } = met();
    tell('version', {});
    tell('1', { offer: { message: 'too late' } });
    tell('0', { offer: { file: {} } });
    assert.deepEqual([eve.status, eve.heard()], ['failed', []]);
  });

  test('knows where it stands before it has heard the log again', () => {
    const [ada, bob] = meet();
    settle(ada, bob);
    assert.deepEqual(new Exchange(APP, JSON.parse(JSON.stringify(ada.kept)) as Kept).status, bob.exchange.status);
  });

  test('is not loaded from what is not its own', () => {
    const store = (state?: string): StateStore => ({ load: () => state, save: () => {}, forget: () => {} });
    const kept = begin('ada', { words: 'a-b' });
    assert.deepEqual(load(store(JSON.stringify(kept))), kept);
    for (const state of [undefined, '', 'null', '[]', '{', JSON.stringify({ ...kept, version: 2 })]) assert.equal(load(store(state)), undefined);
  });

  test('is known by what is kept, before there is a session', () => {
    const known = (state?: string) => {
      const conversation = peek({ load: () => state, save: () => {}, forget: () => {} }, APP);
      return conversation && { status: conversation.status.value, notes: conversation.notes.value.map(({ text, state }) => `${text}: ${state}`) };
    };
    assert.equal(known(), undefined);
    assert.equal(known('{'), undefined);
    assert.deepEqual(known(JSON.stringify(begin('ada', { words: 'a-b' }))), { status: { name: 'allocating' }, notes: [] });
    const [ada, bob] = meet();
    ada.exchange.say('one');
    assert.deepEqual(known(JSON.stringify(ada.kept)), { status: ada.exchange.status, notes: ['one: kept'] });
    settle(ada, bob);
    ada.exchange.say('two');
    assert.deepEqual(known(JSON.stringify(ada.kept)), { status: bob.exchange.status, notes: ['one: read', 'two: kept'] });
    ada.exchange.left('happy');
    assert.deepEqual(known(JSON.stringify(ada.kept)), { status: ada.exchange.status, notes: ['one: read', 'two: refused'] });
  });

  test('ends if there is a third', () => {
    const { ada, say } = met();
    say('version', {});
    ada.log.push({ side: 'eve', phase: 'pake', body: ada.log[0]!.body });
    settle(ada);
    assert.ok(ada.kept.end?.name === 'failed' && ada.kept.end.problem.code === 'CROWDED');
  });

  test('ends when the other side leaves, and knows what it did not read', () => {
    const { ada, say } = met();
    ada.exchange.say('one');
    ada.exchange.say('two');
    say('version', {});
    say('0', { answer: { message_ack: 'ok' } });
    ada.exchange.left('happy');
    assert.deepEqual(ada.exchange.status, { name: 'left', code: '7-crossover-clockwork', mood: 'happy' });
    assert.deepEqual(ada.said(), ['one: read', 'two: refused']);
  });

  test('is scared when the other side leaves scared', () => {
    const { ada } = met();
    ada.exchange.left('scary');
    assert.equal(ada.status, 'scary');
  });

  test('does not send what the server would not take', () => {
    const { ada, say } = met();
    say('version', {});
    for (const text of ['a'.repeat(32_704), 'a'.repeat(32_705), 'ü'.repeat(16_353), 'one \ud800 half']) ada.exchange.say(text);
    settle(ada);
    assert.deepEqual(
      ada.kept.notes.map(({ state }) => state),
      ['sent', 'refused', 'refused', 'sent'],
    );
    assert.equal(ada.log.at(-2)!.body.length, 64 << 10);
    assert.equal(ada.log.at(-1)!.phase, '1');
    assert.equal(ada.kept.notes.at(-1)!.text, 'one \ufffd half');
  });

  for (const when of ['it began', 'they met']) test(`finds again in the log what was not kept since ${when}`, () => {
    const [ada, bob] = meet();
    if (when === 'they met') settle(ada, bob);
    const before = JSON.stringify(ada.kept);
    settle(ada, bob);
    bob.exchange.say('two');
    bob.step();
    ada.exchange.say('one');
    settle(ada, bob);
    ada.reload(before);
    settle(ada, bob);
    assert.deepEqual(ada.said(), ['one: read']);
    assert.deepEqual(ada.heard(), ['two']);
    assert.equal(ada.log.length, 8);
    for (const phase of ['2', '00', '1e0', '']) ada.log.push({ side: 'ada', phase, body: '00' }); // by a client that uses our side
    ada.reload();
    assert.equal(ada.kept.said.length, 2);
    assert.equal(ada.kept.notes.length, 2);
  });
});
