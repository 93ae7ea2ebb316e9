import type { Line } from './line.js';
import { Lost, RestanteError } from './problem.js';
import type { Frame, Problem } from './wire.js';

/**
 * Receives a stream of events, until the connection is lost. Reading it is no sign of life: each heartbeat is answered
 * with an acknowledgement, as is what was processed. It has proven itself when the first of these was answered.
 */
export async function stream(line: Line, proven: (ask?: undefined) => void): Promise<never> {
  const { http, inbox, epoch, signal } = line;
  const path = `/v1/session/events?ack=${inbox.ack}&epoch=${epoch}`;
  return http.open(signal, path, { headers: { Accept: 'text/event-stream' } }, async (response, dog) => {
    if (!response.ok) throw new RestanteError((await response.json()) as Problem);
    let beat = false;
    const read = async (): Promise<never> => {
      for await (const { name, data } of events(response, () => dog.feed())) {
        if (name === 'error') throw new RestanteError(data as Problem);
        if (name === 'frame') inbox.take([data as Frame]);
        if (name === 'heartbeat') {
          beat = true;
          inbox.moved.ring();
        }
      }
      throw new Lost('lost');
    };
    const acknowledge = async (): Promise<never> => {
      for (let acknowledged = inbox.ack; ; ) {
        while (!beat && inbox.ack === acknowledged) await inbox.moved.heard(signal);
        const answers = beat;
        beat = false;
        acknowledged = inbox.ack;
        const { error } = await line.ask(signal, 'POST', '/v1/session/ack', JSON.stringify({ ack: acknowledged }));
        if (error) throw error;
        if (answers) proven();
      }
    };
    return Promise.race([read(), acknowledge()]);
  });
}

/** The events of a stream as this server writes them: a name, and a line of JSON. */
async function* events(response: Response, heard: () => void): AsyncGenerator<{ name: string | undefined; data: unknown }> {
  const reader = response.body!.getReader();
  const decoder = new TextDecoder();
  for (let text = ''; ; ) {
    const { done, value } = await reader.read();
    if (done) return;
    heard();
    const blocks = (text + decoder.decode(value, { stream: true })).split('\n\n');
    text = blocks.pop() ?? '';
    for (const block of blocks) {
      const data = /^data: (.*)/m.exec(block)?.[1];
      if (data !== undefined) yield { name: /^event: (.*)/m.exec(block)?.[1], data: JSON.parse(data) as unknown };
    }
  }
}
