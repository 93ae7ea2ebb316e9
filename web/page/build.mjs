// build.mjs DIR: builds the pages into DIR as they are embedded, each file compressed with gzip.
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';

const here = fileURLToPath(new URL('.', import.meta.url));
const [dir] = process.argv.slice(2);

/** What browsers of 2022 and later run. */
const target = ['chrome100', 'firefox100', 'safari15.4'];

const bundle = async (entry) => {
  const { outputFiles } = await build({ entryPoints: [join(here, entry)], bundle: true, write: false, minify: true, format: 'esm', conditions: ['@restante/source'], target, charset: 'utf8', legalComments: 'inline' });
  return outputFiles[0].contents;
};
const file = (name) => readFileSync(join(here, name));
const installed = createRequire(import.meta.url).resolve;
/** A file of the viewer of /docs, without the address of a map that is not there. */
const viewer = (name) => readFileSync(installed(`swagger-ui-dist/${name}`)).toString().replace(/^(\/\/|\/\*)# sourceMappingURL=.*$/gm, '');
const licences = ['LICENSE', 'NOTICE', 'swagger-ui-bundle.js.LICENSE.txt'].map(viewer).join('\n\n');

const files = {
  'index.html': file('index.html'),
  'docs.html': file('docs.html'),
  'assets/icon.svg': file('icon.svg'),
  'assets/page.js': await bundle('src/page/page.ts'),
  'assets/page.css': await bundle('src/page/page.css'),
  'assets/docs.css': await bundle('src/docs/docs.css'),
  'assets/docs.js': await bundle('src/docs/docs.ts'),
  'assets/swagger-ui.css': viewer('swagger-ui.css'),
  'assets/swagger-ui.js': viewer('swagger-ui-bundle.js'),
  'assets/swagger-ui.LICENSE.txt': licences,
};
rmSync(dir, { recursive: true, force: true });
for (const [name, content] of Object.entries(files)) {
  const path = join(dir, `${name}.gz`);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, gzipSync(content, { level: 9 }));
}
