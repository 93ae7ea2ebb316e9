import type { Connection } from './connection.js';
import { pieces } from './http.js';
import { ConnectionLost } from './problem.js';
import { refusal } from './reply.js';
import type { Frame } from './schemas.js';

/**
 * Receives a stream of events until the connection is lost. To read it is no sign of life: each heartbeat is answered with an
 * acknowledgement, as is what was processed. It calls `proven` when the first of these was answered.
 */
export async function stream(connection: Connection, proven: (request?: undefined) => void): Promise<never> {
  const { platform, http, inbox, epoch, signal } = connection;
  const path = `/v1/session/events?ack=${inbox.ack}&epoch=${epoch}`;
  return http.open(signal, path, { headers: { Accept: 'text/event-stream' } }, async (response, dog) => {
    if (!response.ok) throw refusal(platform, await response.json(), response, response.headers.get('Retry-After'));
    let heartbeat = false;
    const read = async (): Promise<never> => {
      for await (const { name, data } of events(pieces(response, dog))) {
        if (name === 'error') throw refusal(platform, data);
        if (name === 'frame') inbox.take([data as Frame]);
        if (name === 'heartbeat') {
          heartbeat = true;
          inbox.advanced.notify();
        }
      }
      throw new ConnectionLost('the stream has ended');
    };
    const acknowledge = async (): Promise<never> => {
      for (let acknowledged = inbox.ack; ; ) {
        while (!heartbeat && inbox.ack === acknowledged) await inbox.advanced.wait(signal);
        const answersHeartbeat = heartbeat;
        heartbeat = false;
        acknowledged = inbox.ack;
        const { error } = await connection.request(signal, 'POST', '/v1/session/ack', JSON.stringify({ ack: acknowledged, epoch }));
        if (error) throw error;
        if (answersHeartbeat) proven();
      }
    };
    return Promise.race([read(), acknowledge()]);
  });
}

/** The events of a stream as this server writes them: a name, and a line of JSON. */
async function* events(text: AsyncIterable<string>): AsyncGenerator<{ name: string | undefined; data: unknown }> {
  let rest = '';
  for await (const piece of text) {
    const blocks = (rest + piece).split('\n\n');
    rest = blocks.pop() ?? '';
    for (const block of blocks) {
      const data = /^data: (.*)/m.exec(block)?.[1];
      if (data !== undefined) yield { name: /^event: (.*)/m.exec(block)?.[1], data: JSON.parse(data) as unknown };
    }
  }
}
