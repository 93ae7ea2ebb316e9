import { frames, handshake, run, server, want } from "./exchange";
import { addMessage, allocateNameplate, beginSession, claimNameplate, openMailbox, receive } from "./generated/hey-api";
import { createClient, createConfig } from "./generated/hey-api/client";
import type { Frame } from "./generated/hey-api";

const received = (f: Frame) => ({ seq: f.seq, message: f.type === "message" ? f : undefined });
const status = (r: { response?: Response }) => r.response?.status ?? 0;

run(async () => {
  const anonymous = createClient(createConfig({ baseUrl: server }));
  const begun = await beginSession({ client: anonymous, body: handshake("example.org/hey-api") });
  const { sessionId } = want(status(begun), 201, begun.data);
  const client = createClient(createConfig({ baseUrl: server, auth: ({ scheme }) => (scheme === "bearer" ? sessionId : undefined) }));
  return {
    async allocate() {
      const answer = await allocateNameplate({ client, body: {} });
      return want(status(answer), 201, answer.data);
    },
    async claim(nameplate) {
      const answer = await claimNameplate({ client, path: { nameplate }, body: {} });
      return want(status(answer), 200, answer.data);
    },
    async open(mailbox) {
      const answer = await openMailbox({ client, path: { mailbox }, body: {} });
      want(status(answer), 200, answer.data);
    },
    async add(mailbox, draft) {
      const answer = await addMessage({ client, path: { mailbox }, body: draft });
      want(status(answer), 201, answer.data);
    },
    async receive(ack) {
      const answer = await receive({ client, query: { ack } });
      return frames(want(status(answer), 200, answer.data)).map(received);
    },
  };
});
