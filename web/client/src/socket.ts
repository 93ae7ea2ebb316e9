import { linked } from './bell.js';
import type { Answer } from './http.js';
import type { Ask, Line } from './line.js';
import { Lost, LUCK, RestanteError } from './problem.js';
import type { Frame, Problem } from './wire.js';

/** What the server says on a socket: one of these. */
interface Said {
  heartbeat?: object;
  frame?: Frame;
  error?: Problem;
  reply?: { status: number; headers?: Record<string, string>; body?: unknown };
  id?: string;
  ack?: number;
}

/**
 * Receives over a WebSocket, until it is closed, and sends commands over it. It has proven itself when the first
 * heartbeat has come and a question was answered.
 */
export async function socket(line: Line, proven: (ask: Ask) => void): Promise<never> {
  const { platform, http, inbox, sessionId, epoch, signal } = line;
  const wire = new platform.WebSocket!(`${http.base.replace(/^http/, 'ws')}/v1/session/socket`);
  const waiting = new Map<string, { resolve: (answer: Answer) => void; reject: (reason: unknown) => void }>();
  const over = linked(signal);
  const end = (why: unknown) => over.abort(why);
  const dog = http.watch(() => end(new Lost('silence')));
  let asked = 0;

  const say = (what: object) => wire.readyState === 1 && wire.send(JSON.stringify(what));
  const ask: Ask = (_, method, path, body, seq) =>
    new Promise((resolve, reject) => {
      over.signal.throwIfAborted();
      const id = String(++asked);
      waiting.set(id, { resolve, reject });
      const head = JSON.stringify({ id, seq, method, path });
      // The body goes byte for byte as it would over HTTP: that is how a command sent again is known.
      wire.send(body === undefined ? head : `${head.slice(0, -1)},"body":${body}}`);
    });

  wire.onopen = () => say({ sessionId, epoch, ack: inbox.ack });
  wire.onerror = wire.onclose = () => end(new Lost('lost', LUCK));
  wire.onmessage = ({ data }) => {
    try {
      dog.feed();
      if (asked > 0) line.heard(); // the first heartbeat alone is no success
      hear(JSON.parse(String(data)) as Said);
    } catch (error) {
      end(error);
    }
  };
  const hear = ({ heartbeat, frame, error, reply, id, ack }: Said) => {
    if (heartbeat) {
      say({ ack: inbox.ack });
      if (asked === 0) ask(signal, 'GET', '/v1/session').then(() => proven(ask), end);
    }
    if (frame) inbox.take([frame]);
    if (error) throw new RestanteError(error);
    if (!reply || id === undefined) return;
    const retryAfterMs = 1000 * Number(reply.headers?.['Retry-After']) || 0;
    const refused = reply.status < 400 ? undefined : new RestanteError(reply.body as Problem);
    waiting.get(id)?.resolve({ ack: ack ?? 0, retryAfterMs, body: reply.body, error: refused });
    waiting.delete(id);
  };

  try {
    for (;;) {
      await inbox.moved.heard(over.signal);
      say({ ack: inbox.ack });
    }
  } finally {
    for (const { reject } of waiting.values()) reject(over.signal.reason);
    http.unwatch(dog);
    wire.onerror = wire.onclose = wire.onmessage = null;
    wire.close();
  }
}
