// bundle.mjs FILE: bundles the client into FILE. esbuild puts it together; terser, which is slower, makes it smaller.
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { minify } from 'terser';

const [file] = process.argv.slice(2);
const entry = fileURLToPath(new URL('src/index.ts', import.meta.url));
const { outputFiles } = await build({ entryPoints: [entry], bundle: true, write: false, minify: true, format: 'esm', target: 'es2022' });
const { code } = await minify(outputFiles[0].text, { module: true, ecma: 2020, compress: { passes: 4, unsafe_arrows: true }, mangle: true });
mkdirSync(dirname(file), { recursive: true });
writeFileSync(file, code);
