// imports.mjs: fails if files of the package in the current folder import each other in a circle, types included, or import a file
// of another package instead of what that package exports.
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';

const here = process.cwd();
const files = ['src', 'test'].flatMap((folder) => sources(join(here, folder)));

/** The files that each file imports. */
const imports = new Map(
  files.map((file) => {
    const found = readFileSync(file, 'utf8').matchAll(/^(?:import|export)\b[^;]*?\bfrom '(\.[^']*)'|^import '(\.[^']*)'/gm);
    return [file, [...found].map(([, from, effect]) => resolve(dirname(file), from ?? effect).replace(/\.js$/, '.ts'))];
  }),
);

const problems = [];
for (const [file, imported] of imports) {
  for (const other of imported) if (relative(here, other).startsWith('..')) problems.push(`${relative(here, file)} imports a file of another package: ${relative(here, other)}`);
}

const clear = new Set();
/** Reports the first circle that is reached from a file. */
function visit(file, path) {
  if (path.includes(file)) {
    problems.push(`circle: ${[...path.slice(path.indexOf(file)), file].map((name) => relative(here, name)).join(' → ')}`);
    return;
  }
  if (clear.has(file)) return;
  for (const other of imports.get(file) ?? []) visit(other, [...path, file]);
  clear.add(file);
}
for (const file of files) visit(file, []);

for (const problem of problems) console.error(problem);
process.exitCode = problems.length > 0 ? 1 : 0;

/** The TypeScript files below a folder. Names that begin with a dot are left out: a run of the tests may be removing them. */
function sources(folder) {
  return readdirSync(folder, { withFileTypes: true })
    .filter(({ name }) => !name.startsWith('.'))
    .flatMap((entry) => {
      const path = join(folder, entry.name);
      if (entry.isDirectory()) return sources(path);
      return path.endsWith('.ts') ? [path] : [];
    });
}
