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

  test('is completed to codes that begin with what was typed', async () => {
    assert.deepEqual(complete('7-cro'), ['7-crossover-']);
    assert.deepEqual(complete('7-CRO'), ['7-crossover-']);
    for (const prefix of ['', '7', 'x-', 'crossover']) assert.deepEqual(complete(prefix), []);
    await holds(
      fc.property(fc.string({ maxLength: 30 }), (typed) => {
        for (const code of complete(typed)) assert.ok(code.startsWith(typed.toLowerCase()), code);
      }),
    );
  });

  test('whose words are completed is well formed', () => {
    for (const first of complete('12-')) assert.deepEqual(check(`${first}clockwork`), { ok: true });
    for (const code of complete('12-crossover-')) assert.deepEqual(check(code), { ok: true });
  });
});
