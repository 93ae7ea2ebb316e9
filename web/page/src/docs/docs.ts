/** Shows the contract, with the `curl` form of each operation, in the theme that the reader likes. */

/** As much as is needed of Swagger UI, which is a script of its own. */
interface System {
  React: { createElement(type: unknown, props: object | null, ...children: unknown[]): unknown; Fragment: unknown };
  specSelectors: { specJson(): { getIn(path: string[]): { toJS(): Sample[] } | undefined } };
}
interface Sample {
  lang: string;
  source: string;
}
interface Operation {
  pathMethod: [path: string, method: string];
}
declare function SwaggerUIBundle(options: object): void;

/** Puts the samples of an operation before its parameters. */
const samples = {
  wrapComponents: {
    parameters: (Parameters: unknown, { React, specSelectors }: System) => (operation: Operation) => {
      const list = specSelectors.specJson().getIn(['paths', ...operation.pathMethod, 'x-codeSamples'])?.toJS() ?? [];
      const show = ({ source }: Sample, key: number) => React.createElement('pre', { key, tabIndex: 0 }, here(source.trim()));
      return React.createElement(
        React.Fragment,
        null,
        React.createElement('section', { className: 'samples' }, React.createElement('h4', null, 'On the command line'), ...list.map(show)),
        React.createElement(Parameters, operation),
      );
    },
  },
};

/** The address of this server, which may be reached below a path. */
const server = new URL('.', document.baseURI).href.replace(/\/$/, '');

/** A command as it is to be typed for this server. */
function here(command: string): string {
  return command.replaceAll('$SERVER', server).replace(/wss?:\/\/(localhost:4000|mail\.example)/g, server.replace(/^http/, 'ws'));
}

/** Sends a request below the path of this server. A proxy may take that path off, and then the contract does not have it. */
function below(request: { url: string }): { url: string } {
  const { origin } = location;
  if (request.url.startsWith(`${origin}/`) && !request.url.startsWith(`${server}/`)) request.url = server + request.url.slice(origin.length);
  return request;
}

const dark = matchMedia('(prefers-color-scheme: dark)');
const theme = () => document.documentElement.classList.toggle('dark-mode', dark.matches);
dark.addEventListener('change', theme);
theme();

SwaggerUIBundle({
  url: 'openapi.yaml',
  requestInterceptor: below,
  dom_id: '#reference',
  deepLinking: true,
  docExpansion: 'list',
  defaultModelsExpandDepth: 0,
  validatorUrl: null,
  plugins: [samples],
});
