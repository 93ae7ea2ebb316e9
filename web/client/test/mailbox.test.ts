import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { World } from './world.js';

describe('a mailbox with a name that every object has', () => {
  for (const id of Object.getOwnPropertyNames(Object.prototype)) {
    test(`is opened, read and closed as any other, also after a reload: ${id}`, async () => {
      const world = new World();
      const [ada, bob] = [world.place(1), world.place(2)];
      const [a, b] = [await ada.connect(), await bob.connect()];
      await ada.done(a.open(id));
      const theirs = await bob.done(b.open(id));
      ada.reload();
      const again = await ada.connect();
      assert.deepEqual([again.resumed, ...again.mailboxes.keys()], [true, id]);
      const ours = again.mailboxes.get(id)!;
      assert.equal(ours.sides.value.length, 2);
      await bob.done(theirs.add('talk', 'hello'));
      assert.equal((await ada.done(ours.messages().next())).value?.body, 'hello');
      await ada.done(ours.close());
      assert.equal(again.mailboxes.size, 0);
      assert.deepEqual(Object.keys(Object.prototype), [], 'the page has the objects that it had');
    });
  }
});
