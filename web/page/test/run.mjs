// Bundles the tests for this version of Node, which runs no TypeScript, and runs those that are named, or all.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const here = fileURLToPath(new URL('.', import.meta.url));
const names = process.argv.slice(2);
const entryPoints = readdirSync(here, { recursive: true })
  .filter((file) => file.endsWith('.test.ts') && (names.length === 0 || names.some((name) => basename(file).startsWith(name))))
  .map((file) => join(here, file));
const outdir = mkdtempSync(join(here, '.built-'));
try {
  await build({ entryPoints, outdir, outbase: here, bundle: true, platform: 'node', format: 'esm', target: 'node20', packages: 'external', sourcemap: 'inline', outExtension: { '.js': '.mjs' } });
  const tests = readdirSync(outdir, { recursive: true }).filter((file) => file.endsWith('.mjs')).map((file) => join(outdir, file));
  const { status } = spawnSync(process.execPath, ['--enable-source-maps', '--experimental-websocket', '--test', '--test-reporter=spec', '--test-timeout=120000', ...tests], { stdio: 'inherit' });
  process.exitCode = status ?? 1;
} finally {
  rmSync(outdir, { recursive: true });
}
