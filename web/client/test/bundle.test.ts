import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { VERSION } from '../src/handshake.js';

const read = (path: string) => readFileSync(`${process.cwd()}/${path}`);

test('the bundle is under 12 KB compressed', () => {
  const size = gzipSync(read('dist/restante.js'), { level: 9 }).length;
  assert.ok(size < 12 * 1024, `it is ${size} bytes`);
});

test('the client tells the server the version of its package', () => {
  assert.equal(VERSION, (JSON.parse(read('package.json').toString()) as { version: string }).version);
});
