import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { describe, test } from 'node:test';

/** Checks a package with these files. */
function check(files: Record<string, string>): { status: number | null; stderr: string } {
  const folder = mkdtempSync(join(tmpdir(), 'imports-'));
  for (const [name, text] of Object.entries({ 'src/index.ts': '', 'test/a.test.ts': '', ...files })) {
    mkdirSync(join(folder, dirname(name)), { recursive: true });
    writeFileSync(join(folder, name), text);
  }
  return spawnSync(process.execPath, [join(process.cwd(), 'imports.mjs')], { cwd: folder, encoding: 'utf8' });
}

describe('the check of imports', () => {
  test('passes files that import each other in one direction', () => {
    const { status, stderr } = check({
      'src/a.ts': `import { b } from './b.js';\nimport { c } from './deep/c.js';`,
      'src/b.ts': `import type { c } from './deep/c.js';`,
      'src/deep/c.ts': `import { x } from 'package';`,
    });
    assert.deepEqual([status, stderr], [0, '']);
  });

  test('finds a circle, of types, too', () => {
    const { status, stderr } = check({
      'src/a.ts': `import {\n  b,\n} from './b.js';`,
      'src/b.ts': `import type { c } from './deep/c.js';`,
      'src/deep/c.ts': `export { a } from '../a.js';`,
    });
    assert.deepEqual([status, stderr], [1, 'circle: src/a.ts → src/b.ts → src/deep/c.ts → src/a.ts\n']);
  });

  test('finds an import from another package', () => {
    const { status, stderr } = check({ 'test/a.test.ts': `import { a } from '../../client/src/a.js';` });
    assert.deepEqual([status, stderr], [1, 'test/a.test.ts imports a file of another package: ../client/src/a.ts\n']);
  });
});
