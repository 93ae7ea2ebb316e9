import createClient from "openapi-fetch";

import { frames, handshake, run, server, want } from "./exchange";
import type { components, paths } from "./generated/openapi-typescript";

const received = (f: components["schemas"]["Frame"]) => ({ seq: f.seq, message: f.type === "message" ? f : undefined });

run(async () => {
  const client = createClient<paths>({ baseUrl: server });
  const begun = await client.POST("/v1/sessions", { body: handshake("example.org/openapi-fetch") });
  const { sessionId } = want(begun.response.status, 201, begun.data);
  client.use({
    onRequest({ request }) {
      request.headers.set("Authorization", `Bearer ${sessionId}`);
    },
  });
  return {
    async allocate() {
      const { data, response } = await client.POST("/v1/nameplates", { body: {} });
      return want(response.status, 201, data);
    },
    async claim(nameplate) {
      const { data, response } = await client.PUT("/v1/nameplates/{nameplate}", { params: { path: { nameplate } }, body: {} });
      return want(response.status, 200, data);
    },
    async open(mailbox) {
      const { data, response } = await client.PUT("/v1/mailboxes/{mailbox}", { params: { path: { mailbox } }, body: {} });
      want(response.status, 200, data);
    },
    async add(mailbox, draft) {
      const { data, response } = await client.POST("/v1/mailboxes/{mailbox}/messages", { params: { path: { mailbox } }, body: draft });
      want(response.status, 201, data);
    },
    async receive(ack) {
      const { data, response } = await client.GET("/v1/session/events", { params: { query: { ack } } });
      return frames(want(response.status, 200, data)).map(received);
    },
  };
});
