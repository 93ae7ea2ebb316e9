import { frames, handshake, run } from "./exchange";
import type { Frame } from "./generated/orval";
import { addMessage, allocateNameplate, beginSession, claimNameplate, openMailbox, receive } from "./generated/orval";

const received = (f: Frame) => ({ seq: f.seq, message: f.type === "message" ? f : undefined });

run(async () => {
  const begun = await beginSession(handshake("example.org/orval"));
  if (begun.status !== 201) throw new Error(`handshake: ${begun.status}`);
  const options = { headers: { Authorization: `Bearer ${begun.data.sessionId}` } };
  return {
    async allocate() {
      const answer = await allocateNameplate({}, options);
      if (answer.status !== 201) throw new Error(`allocate: ${answer.status}`);
      return answer.data;
    },
    async claim(nameplate) {
      const answer = await claimNameplate(nameplate, {}, options);
      if (answer.status !== 200) throw new Error(`claim: ${answer.status}`);
      return answer.data;
    },
    async open(mailbox) {
      const answer = await openMailbox(mailbox, {}, undefined, options);
      if (answer.status !== 200) throw new Error(`open: ${answer.status}`);
    },
    async add(mailbox, draft) {
      // A message may be JSON or text. Where there is a choice, orval leaves the content type to its caller, and fetch
      // would say that it is text.
      const asJSON = { headers: { ...options.headers, "Content-Type": "application/json" } };
      const answer = await addMessage(mailbox, draft, undefined, asJSON);
      if (answer.status !== 201) throw new Error(`add: ${answer.status}`);
    },
    async receive(ack) {
      const answer = await receive({ ack }, options);
      if (answer.status !== 200) throw new Error(`receive: ${answer.status}`);
      return frames(answer.data).map(received);
    },
  };
});
