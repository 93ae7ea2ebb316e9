/** Shows the contract, to read and to try, in the theme that the reader likes. */

import { a11y, labelFields } from './accessible.js';
import { execute } from './execute.js';
import { follow } from './follow.js';
import { here, server } from './here.js';
import { samples } from './samples.js';

declare function SwaggerUIBundle(options: object): void;

/** Sends a request below the path of this server. A proxy may take that path off, and then the contract does not have it. */
function below(request: { url: string }): { url: string } {
  const { origin } = location;
  if (request.url.startsWith(`${origin}/`) && !request.url.startsWith(`${server}/`)) request.url = server + request.url.slice(origin.length);
  return request;
}

/** Sorts the operations of a tag: as the contract has them, but what ends something comes last. */
function order(a: Listed, b: Listed): number {
  return Number(a.get('method') === 'delete') - Number(b.get('method') === 'delete');
}
interface Listed {
  get(what: 'method'): string;
}

const dark = matchMedia('(prefers-color-scheme: dark)');
const theme = () => document.documentElement.classList.toggle('dark-mode', dark.matches);
dark.addEventListener('change', theme);
theme();
const reference = document.getElementById('reference');
if (reference !== null) labelFields(reference);

SwaggerUIBundle({
  url: 'openapi.json', // which takes a browser less time than YAML
  requestInterceptor: below,
  dom_id: '#reference',
  docExpansion: 'list',
  defaultModelsExpandDepth: -1, // each operation shows its schemas
  operationsSorter: order,
  syntaxHighlight: false, // its colours are hard to read, and it takes long
  tryItOutEnabled: true,
  validatorUrl: null,
  plugins: [samples(here), a11y, execute, follow],
});
