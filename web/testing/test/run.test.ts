import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { until } from '../src/until.js';

/** Runs these files of tests by the runner, with this limit for a test. `during` gets the id of the runner. */
async function run(files: Record<string, string>, limitS = 200, during: (folder: string, runner: number) => Promise<void> = async () => {}): Promise<{
  status: number | null;
  output: string;
  left: string[];
  alive: (name: string) => boolean;
}> {
  const folder = mkdtempSync(join(tmpdir(), 'run-'));
  mkdirSync(join(folder, 'test'));
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, 'test', `${name}.test.ts`), text);
  const env = { ...process.env, RESTANTE_TEST_LIMIT: String(limitS), FOLDER: folder };
  const child = spawn(process.execPath, [join(process.cwd(), 'run.mjs')], { cwd: folder, env, stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (text: Buffer) => (output += String(text)));
  const status = new Promise<number | null>((resolve) => child.once('close', resolve));
  await during(folder, child.pid!);
  // A process that has ended stays in the table, as a zombie, until the one that inherited it looks.
  const alive = (name: string) => {
    const pid = readFileSync(join(folder, name), 'utf8').trim();
    try {
      return !/^\d+ \(.*\) Z /s.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
    } catch {
      return false;
    }
  };
  return { status: await status, output, left: readdirSync(join(folder, 'test')).filter((name) => name.startsWith('.built-')), alive };
}

/** Begins a file of tests with a process that a test starts and does not end. Its id is written to `pid`. */
const starts = `
  import { spawn } from 'node:child_process';
  import { writeFileSync } from 'node:fs';
  import { describe, test } from 'node:test';
  const start = () => {
    const child = spawn('sleep', ['1000'], { stdio: 'ignore' });
    child.unref();
    writeFileSync(process.env.FOLDER + '/pid', String(child.pid));
  };
`;

describe('the runner', () => {
  test('is green when all tests pass, and says how many there were', async () => {
    const { status, output, left } = await run({ one: `import { test } from 'node:test'; test('a', () => {}); test('b', () => {});` });
    assert.equal(status, 0, output);
    assert.match(output, /✔ one\.test\.ts: 2 tests/);
    assert.deepEqual(left, []);
  });

  for (const [how, hangs] of [
    ['waits for ever', 'await new Promise(() => setInterval(() => {}, 1000))'],
    ['never yields', 'for (let told = setImmediate; ; ) await new Promise((go) => told(go)).then(() => { for (;;); })'],
  ] as const) {
    test(`ends a test that ${how}, names it, and leaves nothing running`, async () => {
      const { status, output, left, alive } = await run({
        good: `import { test } from 'node:test'; test('passes', () => {});`,
        bad: `${starts} describe('a suite', () => { test('passes', () => {}); test('that hangs', async () => { start(); ${hangs}; }); });`,
      }, 2);
      assert.equal(status, 1);
      assert.match(output, /✔ good\.test\.ts/);
      assert.match(output, /bad\.test\.ts: HUNG: a test ran for more than 2 s: “that hangs”\n/);
      assert.match(output, /FAILED bad\.test\.ts/);
      assert.deepEqual(left, []);
      await until(() => 'the process of the test is gone', () => !alive('pid'));
    });
  }

  test('ends a process whose tests are done and that goes on', async () => {
    const { status, output } = await run({ bad: `import { test } from 'node:test'; test('passes', () => void setInterval(() => {}, 1000));` }, 2);
    assert.equal(status, 1);
    assert.match(output, /bad\.test\.ts: HUNG: no test ran for 2 s, and the process did not end/);
  });

  test('is red when a test leaves a process behind, and ends that', async () => {
    const { status, output, alive } = await run({ bad: `${starts} test('passes', start);` });
    assert.equal(status, 1);
    assert.match(output, /bad\.test\.ts: processes were left running: sleep 1000/);
    await until(() => 'the process of the test is gone', () => !alive('pid'));
  });

  test('is red when a test fails or is skipped, and when there is none', async () => {
    const { status, output } = await run({
      fails: `import { test } from 'node:test'; test('a', () => {}); test('b', () => { throw new Error('for this reason'); });`,
      skips: `import { test } from 'node:test'; test('a', () => {}); test('b', { skip: true }, () => {});`,
      empty: '',
    });
    assert.equal(status, 1);
    assert.match(output, /for this reason/);
    assert.match(output, /skips\.test\.ts: “b” was skipped/);
    for (const name of ['fails', 'skips', 'empty']) assert.match(output, new RegExp(`FAILED ${name}`));
  });

  test('takes everything with it when it is killed', async () => {
    const { status, alive } = await run({ bad: `${starts} test('that hangs', async () => { start(); await new Promise(() => setInterval(() => {}, 1000)); });` }, 200, async (folder, runner) => {
      await until(() => 'the test has begun', () => existsSync(join(folder, 'pid')));
      process.kill(runner, 'SIGKILL');
    });
    assert.equal(status, null);
    await until(() => 'the process of the test is gone', () => !alive('pid'));
  });
});
