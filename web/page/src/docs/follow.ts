import type { System } from './viewer.js';

/** What an answer may name, that later requests are about. */
interface Answer {
  sessionId?: string;
  nameplate?: string;
  mailbox?: string;
}

/** A response, as the viewer keeps it. */
interface Response {
  status: number;
  body?: unknown;
}

/**
 * Fills in what a reader would otherwise copy: after a handshake, requests are authorised by its session; after an
 * answer with a nameplate or a mailbox, the other operations are about these.
 */
export const follow = {
  statePlugins: {
    spec: {
      wrapActions: {
        setResponse: (set: (...args: unknown[]) => unknown, system: System) => (path: string, method: string, response: Response) => {
          const result = set(path, method, response);
          const answer = read(response);
          if (answer.sessionId !== undefined && path === '/v1/sessions') authorise(system, answer.sessionId);
          fill(system, 'nameplate', answer.nameplate);
          fill(system, 'mailbox', answer.mailbox);
          return result;
        },
      },
    },
  },
};

function read({ status, body }: Response): Answer {
  return status >= 200 && status < 300 && typeof body === 'object' && body !== null ? body : {};
}

function authorise({ authActions, specSelectors }: System, sessionId: string): void {
  const schema = specSelectors.specJson().getIn(['components', 'securitySchemes', 'session']);
  authActions.authorize({ session: { name: 'session', schema, value: sessionId } });
}

/** Sets a parameter of the path in each operation that has it. */
function fill({ specActions, specSelectors }: System, name: string, value: string | undefined): void {
  if (value === undefined) return;
  const paths = specSelectors.specJson().getIn(['paths'])?.toJS() as Record<string, Record<string, unknown>>;
  for (const [path, item] of Object.entries(paths)) {
    if (!path.includes(`{${name}}`)) continue;
    for (const method of ['get', 'put', 'post', 'delete']) {
      if (method in item) specActions.changeParam([path, method], name, 'path', value, false);
    }
  }
}
