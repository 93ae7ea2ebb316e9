import { linked } from './condition.js';
import type { Connection, Request } from './connection.js';
import type { Platform } from './platform.js';
import { clientError, ConnectionLost, RestanteError, TRANSIENT } from './problem.js';
import { refusal, type Reply } from './reply.js';
import type { Frame, Problem } from './schemas.js';

/** A message of the server: it has one of these. */
interface Message {
  heartbeat?: object;
  frame?: Frame;
  error?: Problem;
  reply?: { status: number; headers?: Record<string, string>; body?: unknown };
  id?: string;
  ack?: number;
}

/**
 * Receives over a WebSocket until it is closed. It calls `proven`, with the way to send requests over the socket, when the first
 * heartbeat has come and a query was answered.
 */
export async function socket(connection: Connection, proven: (request: Request) => void): Promise<never> {
  const { platform, http, inbox, sessionId, epoch, signal } = connection;
  const webSocket = begin(platform, `${http.base.replace(/^http/, 'ws')}/v1/session/socket`);
  const waiting = new Map<string, { resolve: (reply: Reply) => void; reject: (reason: unknown) => void }>();
  const over = linked(signal);
  const end = (reason: unknown) => over.abort(reason);
  const dog = http.watch(() => end(new ConnectionLost('silence')));
  let requests = 0;

  const send = (message: object) => webSocket.readyState === 1 && webSocket.send(JSON.stringify(message));
  const request: Request = (_, method, path, body, seq) =>
    new Promise((resolve, reject) => {
      over.signal.throwIfAborted();
      const id = String(++requests);
      waiting.set(id, { resolve, reject });
      const head = JSON.stringify({ id, seq, method, path });
      // The bytes of the body are the same as over HTTP: the server knows by them a command that is sent again.
      webSocket.send(body === undefined ? head : `${head.slice(0, -1)},"body":${body}}`);
    });

  webSocket.onopen = () => send({ sessionId, epoch, ack: inbox.ack });
  webSocket.onerror = webSocket.onclose = () => end(new ConnectionLost('the socket is closed', TRANSIENT));
  webSocket.onmessage = ({ data }) => {
    try {
      dog.reset();
      receive(JSON.parse(String(data)) as Message);
    } catch (error) {
      end(error instanceof RestanteError ? error : new ConnectionLost(String(error)));
    }
  };
  const receive = ({ heartbeat, frame, error, reply, id, ack }: Message) => {
    if (requests > 0 && !reply && !error) connection.alive(); // the first heartbeat alone is no success
    if (heartbeat) {
      send({ ack: inbox.ack });
      if (requests === 0) request(signal, 'GET', '/v1/session').then(() => proven(request), end);
    }
    if (frame) inbox.take([frame]);
    if (error) throw refusal(platform, error);
    if (!reply || id === undefined) return;
    const { status, headers, body } = reply;
    waiting.get(id)?.resolve({ ack: ack ?? 0, body, error: status < 400 ? undefined : refusal(platform, body, { status }, headers?.['Retry-After']) });
    waiting.delete(id);
  };

  try {
    for (;;) {
      await inbox.advanced.wait(over.signal);
      send({ ack: inbox.ack });
    }
  } finally {
    // A refusal of the socket is not one of each request: these are sent again, over HTTP.
    const { reason } = over.signal as { reason: unknown };
    const lost = reason instanceof RestanteError && !reason.ofSession ? new ConnectionLost(reason.message, TRANSIENT) : reason;
    for (const { reject } of waiting.values()) reject(lost);
    http.unwatch(dog);
    webSocket.onerror = webSocket.onclose = webSocket.onmessage = null;
    webSocket.close();
  }
}

/** Begins a socket. Where there is none, or it is forbidden, that is the refusal of this transport. */
function begin(platform: Platform, url: string): WebSocket {
  try {
    return new platform.WebSocket!(url);
  } catch (error) {
    throw clientError('UNREACHABLE', String(error));
  }
}
