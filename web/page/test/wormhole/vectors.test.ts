import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { bytesToHex, hexToBytes, utf8ToBytes } from '@noble/hashes/utils.js';
import { complete } from '../../src/wormhole/code.js';
import { Key } from '../../src/wormhole/key.js';
import { secret, Spake2 } from '../../src/wormhole/spake2.js';
import { threeSyllables, twoSyllables } from '../../src/wormhole/words.js';

interface Vectors {
  exchanges: {
    code: string;
    app: string;
    secrets: [string, string];
    messages: [string, string];
    key: string;
    verifier: string;
    said: { side: string; phase: string; plain: string; sealed: string }[];
  }[];
  foreign: string[];
  words: { odd: string[]; even: string[] };
  completions: Record<string, string[]>;
}

const file = readFileSync('test/wormhole/vectors.json', 'utf8');
const { exchanges, foreign, words, completions } = JSON.parse(file) as Vectors;

describe('what the Python client makes of the same, we do', () => {
  for (const { code, app, secrets, messages, key, verifier, said } of exchanges) {
    test(`${code.slice(0, 40)} ${messages[0].slice(2, 6)}…`, () => {
      const [ours, theirs] = [new Spake2(code, app, secrets[0]), new Spake2(code, app, secrets[1])];
      assert.equal(bytesToHex(ours.message), messages[0]);
      assert.equal(bytesToHex(theirs.message), messages[1]);
      assert.equal(bytesToHex(ours.finish(theirs.message)!), key);
      assert.equal(bytesToHex(theirs.finish(ours.message)!), key);
      const shared = new Key(hexToBytes(key));
      assert.equal(shared.verifier, verifier);
      for (const { side, phase, plain, sealed } of said) {
        assert.deepEqual(shared.open(side, phase, sealed), utf8ToBytes(plain));
        const resealed = shared.seal(side, phase, utf8ToBytes(plain));
        assert.deepEqual(shared.open(side, phase, resealed), utf8ToBytes(plain));
        assert.notEqual(resealed, shared.seal(side, phase, utf8ToBytes(plain)), 'a nonce was used twice');
        assert.equal(shared.open(side, `${phase}0`, sealed), undefined);
        assert.equal(shared.open(`${side}0`, phase, sealed), undefined);
      }
    });
  }

  test('the words, and how they are completed', () => {
    assert.deepEqual(threeSyllables, words.odd);
    assert.deepEqual(twoSyllables, words.even);
    for (const [prefix, wanted] of Object.entries(completions)) assert.deepEqual(complete(prefix), wanted, prefix);
  });

  test('the vectors are what the Python client installed here makes', () => {
    const made = spawnSync('/usr/bin/python3', ['test/wormhole/vectors.py'], { encoding: 'utf8' });
    assert.equal(made.status, 0, `it does not run (apt-get install magic-wormhole): ${made.stderr}`);
    assert.equal(made.stdout, file);
  });
});

describe('messages that no honest side sends are refused', () => {
  const ours = new Spake2('7-crossover-clockwork', 'app', secret());
  const refused = (message: Uint8Array) => assert.equal(ours.finish(message), undefined, bytesToHex(message));

  test('as the Python client refuses them', () => {
    assert.equal(foreign.length, 6);
    for (const message of foreign) refused(hexToBytes(message));
  });

  test('our own, reflected', () => refused(ours.message));

  test('of another kind, or of another length', () => {
    const { message } = new Spake2('7-crossover-clockwork', 'app', secret());
    assert.notEqual(ours.finish(message), undefined);
    for (const first of [0x41, 0x42, 0]) refused(Uint8Array.of(first, ...message.subarray(1)));
    refused(message.subarray(0, 32));
    refused(Uint8Array.of(...message, 0));
    refused(new Uint8Array());
  });
});

test('a handshake computes no longer than a person notices', (t) => {
  // The time that this process computes, which another process beside it does not lengthen.
  const computing = (work: () => unknown) => {
    const before = process.cpuUsage();
    work();
    const { user, system } = process.cpuUsage(before);
    return (user + system) / 1000;
  };
  const theirs = new Spake2('7-crossover-clockwork', 'app', secret());
  const tookMs = Array.from({ length: 10 }, () => computing(() => new Spake2('7-crossover-clockwork', 'app', secret()).finish(theirs.message)));
  const medianMs = tookMs.sort((a, b) => a - b)[5]!;
  t.diagnostic(`${medianMs.toFixed(1)} ms, at worst ${tookMs.at(-1)!.toFixed(1)} ms`);
  assert.ok(medianMs < 250, `${medianMs} ms`);
});
