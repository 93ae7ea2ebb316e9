import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Subject } from '../src/index.js';

describe('a value that is watched', () => {
  test('is told to each watcher in the order in which it was set, also by one of them', () => {
    const subject = new Subject(0);
    subject.subscribe((value) => value === 1 && subject.set(2));
    const seen: number[] = [];
    subject.subscribe((value) => seen.push(value));
    subject.set(1);
    assert.deepEqual(seen, [0, 1, 2]);
    assert.equal(subject.value, 2);
  });

  test('is at once what a watcher has set it to', () => {
    const subject = new Subject(0);
    const then: number[] = [];
    subject.subscribe((value) => {
      if (value !== 1) return;
      subject.set(2);
      then.push(subject.value);
    });
    subject.set(1);
    assert.deepEqual(then, [2]);
  });

  test('is told to those who begin to watch meanwhile from then on, and no older one', () => {
    const subject = new Subject(0);
    const seen: number[] = [];
    subject.subscribe((value) => {
      if (value !== 1) return;
      subject.set(2);
      subject.subscribe((later) => seen.push(later));
      subject.set(3);
    });
    subject.set(1);
    assert.deepEqual(seen, [2, 3]);
  });

  test('is not told to a watcher that another one has stopped', () => {
    const subject = new Subject(0);
    const seen: number[] = [];
    let stop = () => {};
    subject.subscribe((value) => value === 1 && stop());
    stop = subject.subscribe((value) => seen.push(value));
    subject.set(1);
    assert.deepEqual(seen, [0]);
  });

  test('is told twice to a function that watches twice, and once when one of them stops', () => {
    const subject = new Subject(0);
    const seen: number[] = [];
    const see = (value: number) => seen.push(value);
    const stop = subject.subscribe(see);
    subject.subscribe(see);
    subject.set(1);
    stop();
    stop();
    subject.set(2);
    assert.deepEqual(seen, [0, 0, 1, 1, 2]);
  });

  test('is told to the others if a watcher throws', (t) => {
    t.mock.method(console, 'error', () => {});
    const subject = new Subject(0);
    subject.subscribe(() => {
      throw new Error('mine');
    });
    const seen: number[] = [];
    subject.subscribe((value) => seen.push(value));
    subject.set(1);
    subject.set(2);
    assert.deepEqual(seen, [0, 1, 2]);
  });
});
