import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { holds } from '@restante/testing';
import fc from 'fast-check';
import { check, choose, complete, nameplate, normal } from '../../src/wormhole/code.js';
import { threeSyllables, twoSyllables } from '../../src/wormhole/words.js';

describe('a code', () => {
  test('is made of random words by turns', () => {
    const seen = new Set<string>();
    for (let tries = 0; tries < 100; tries++) {
      const words = choose(3);
      seen.add(words);
      const [first, second, third] = words.split('-');
      assert.ok(threeSyllables.includes(first!) && twoSyllables.includes(second!) && threeSyllables.includes(third!), words);
    }
    assert.ok(seen.size > 95, `${seen.size} of 100 differ`);
  });

  for (const [typed, meant] of [
    ['7-crossover-clockwork', '7-crossover-clockwork'],
    [' 7-crossover-clockwork\n', '7-crossover-clockwork'],
    ['7 crossover clockwork', '7-crossover-clockwork'],
    ['7-Crossover-CLOCKWORK', '7-crossover-clockwork'],
    ['7-Crossover-Penguin', '7-Crossover-Penguin'], // their own words are as they wrote them
    ['007-a', '007-a'],
    ['3-夜汽車-🚂', '3-夜汽車-🚂'],
  ] as const) {
    test(`${JSON.stringify(typed)} means ${meant}`, () => {
      assert.deepEqual(check(typed), { ok: true });
      assert.equal(normal(typed), meant);
      assert.match(meant, new RegExp(`^${nameplate(meant)}-`));
    });
  }

  for (const [typed, detail] of [
    ['', /tells you/],
    ['   ', /tells you/],
    ['crossover-clockwork', /begins with a number/],
    ['-crossover', /begins with a number/],
    ['٣-crossover', /begins with a number/],
    ['7crossover', /goes on with a dash/],
    [`${'1'.repeat(41)}-crossover`, /goes on with a dash/],
    ['7', /come words/],
    ['7-', /come words/],
    ['7-crossover-', /last word is missing/],
    [`7-${'long'.repeat(60)}`, /no more than 200/],
  ] as const) {
    test(`${JSON.stringify(typed.slice(0, 50))} is none`, () => {
      const checked = check(typed);
      assert.ok(!checked.ok);
      assert.match(checked.detail, detail);
    });
  }

  test('is completed', () => {
    assert.deepEqual(complete('7-cro'), ['7-crossover-']);
    assert.deepEqual(complete('7-CRO'), ['7-crossover-']);
    assert.deepEqual(complete('7-Penguin-clockw'), ['7-Penguin-clockwork']);
    for (const prefix of ['', '7', 'x-', 'crossover']) assert.deepEqual(complete(prefix), []);
  });

  // A word that stands before the last dash stays as it was typed: it may be a person's own, which may have capitals.
  test('is completed to what was typed up to its last dash, and a word that begins with the rest', async () => {
    const cased = (words: readonly string[]) =>
      fc.record({ word: fc.constantFrom(...words), kept: fc.nat(12), capitals: fc.boolean() }).map(({ word, kept, capitals }) => {
        const begun = word.slice(0, kept);
        return capitals ? begun.toUpperCase() : begun;
      });
    const word = fc.oneof(cased(threeSyllables), cased(twoSyllables), fc.string({ maxLength: 5 }));
    const typed = fc.tuple(fc.nat(999).map(String), fc.array(word, { minLength: 1, maxLength: 4 })).map(([number, words]) => [number, ...words].join('-'));
    await holds(
      fc.property(fc.oneof({ weight: 9, arbitrary: typed }, { weight: 1, arbitrary: fc.string({ maxLength: 30 }) }), (prefix) => {
        const kept = prefix.slice(0, prefix.lastIndexOf('-') + 1);
        const begun = prefix.slice(kept.length).toLowerCase();
        for (const code of complete(prefix)) assert.ok(code.startsWith(kept + begun), code);
      }),
    );
  });

  test('whose words are completed is well formed', () => {
    for (const first of complete('12-')) assert.deepEqual(check(`${first}clockwork`), { ok: true });
    for (const code of complete('12-crossover-')) assert.deepEqual(check(code), { ok: true });
  });
});
