// run.mjs [NAME...]: runs the tests of the package in the current folder: all, or the files whose names begin so.
//
// Each file runs in a process group of its own, as many at once as there are cores. The runner ends by force what takes
// too long, names the test that hung, and leaves no process and no file behind. It has two limits, in seconds, which exist
// only so that a hang is reported: RESTANTE_TEST_LIMIT for one test, RESTANTE_RUN_LIMIT for all of them.
import { mkdirSync, mkdtempSync, readdirSync, realpathSync, rmSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { basename, join, relative } from 'node:path';
import { build } from 'esbuild';
import { TestFile } from './file.mjs';

const limitS = { test: Number(process.env.RESTANTE_TEST_LIMIT ?? 300), run: Number(process.env.RESTANTE_RUN_LIMIT ?? 1800) };

const names = process.argv.slice(2);
const here = join(process.cwd(), 'test');
const entryPoints = readdirSync(here, { recursive: true })
  .filter((file) => file.endsWith('.test.ts') && !file.startsWith('.') && (names.length === 0 || names.some((name) => basename(file).startsWith(name))))
  .map((file) => join(here, file));

const folder = realpathSync(mkdtempSync(join(here, '.built-')));
const running = new Set();
const cleanUp = () => {
  for (const file of running) file.kill();
  rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
};
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
  process.on(signal, () => {
    cleanUp();
    process.exit(1);
  });
}

try {
  await build({
    ...{ entryPoints, outdir: join(folder, 'tests'), outbase: here, outExtension: { '.js': '.mjs' } },
    ...{ bundle: true, platform: 'node', format: 'esm', target: 'node20', sourcemap: 'inline', conditions: ['@restante/source'] },
    plugins: [{ name: 'workspace', setup: external }],
  });
  const failed = await all(entryPoints.map((entry) => relative(here, entry)));
  for (const name of failed) console.log(`FAILED ${name}`);
  if (entryPoints.length === 0) console.log('FAILED: there is no such test');
  process.exitCode = failed.length > 0 || entryPoints.length === 0 ? 1 : 0;
} finally {
  cleanUp();
}

/** Leaves packages to be imported, but for those of this workspace: they are TypeScript, which this version of Node cannot import. */
function external({ onResolve }) {
  onResolve({ filter: /^[^./]/ }, ({ kind, path }) => (kind === 'entry-point' || path.startsWith('@restante/') ? undefined : { path, external: true }));
}

/** Runs files, and returns the names of those that failed. */
async function all(files) {
  const began = Date.now();
  const failed = [];
  const queue = [...files];
  const worker = async () => {
    for (let name = queue.shift(); name !== undefined; name = queue.shift()) {
      const temporary = join(folder, name.replaceAll('/', '-'));
      mkdirSync(temporary);
      const left = began + 1000 * limitS.run - Date.now();
      const file = new TestFile(name, join(folder, 'tests', name.replace(/\.ts$/, '.mjs')), { temporary, shared: folder });
      running.add(file);
      const passed = await file.run({ testMs: 1000 * limitS.test, fileMs: left });
      running.delete(file);
      if (!passed) failed.push(name);
    }
  };
  await Promise.all(Array.from({ length: availableParallelism() }, worker));
  return failed;
}
