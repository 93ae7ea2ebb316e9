// exchange has two sides exchange two messages through a generated client, and prints what each receives. What it needs
// of the client is what a side does.

declare const process: { argv: string[]; exitCode: number };

/** The server that is given as the argument. */
export const server = process.argv[2] ?? "";

export interface Received {
  seq: number;
  message?: { position: number; phase: string; body: string };
}

export interface Side {
  allocate(): Promise<{ nameplate: string; mailbox: string }>;
  claim(nameplate: string): Promise<{ nameplate: string; mailbox: string }>;
  open(mailbox: string): Promise<void>;
  add(mailbox: string, draft: { phase: string; body: string }): Promise<void>;
  /** receive returns the frames from ack on. */
  receive(ack: number): Promise<Received[]>;
}

/** handshake returns that of a new session. */
export function handshake(appId: string) {
  return { protocolVersion: "1", appId, expectedSessionState: { nextExpectedSeq: 0, nextSentSeq: 0 } };
}

/** frames returns those of an answer. To the type system, the answer may be a stream of events, which is a text. */
export function frames<F>(answer: string | { frames: F[] }): F[] {
  if (typeof answer === "string") throw new Error("a stream, which was not asked for");
  return answer.frames;
}

/** want returns what an answer holds, which must have this status. */
export function want<T>(status: number, wanted: number, data: T | undefined): T {
  if (status !== wanted || data === undefined) throw new Error(`${status}: ${JSON.stringify(data)}`);
  return data;
}

async function next(side: Side, from: { ack: number }): Promise<string> {
  for (;;) {
    for (const { seq, message } of await side.receive(from.ack)) {
      from.ack = seq + 1;
      if (message) return `${message.position} ${message.phase} ${message.body}`;
    }
  }
}

export async function exchange(begin: () => Promise<Side>): Promise<void> {
  const [a, b] = [await begin(), await begin()];
  const { nameplate } = await a.allocate();
  const { mailbox } = await b.claim(nameplate);
  await a.open(mailbox);
  await b.open(mailbox);
  await a.add(mailbox, { phase: "chat", body: "ping" });
  console.log(await next(b, { ack: 0 }));
  await b.add(mailbox, { phase: "chat", body: "pong" });
  console.log(await next(a, { ack: 0 }));
}

export function run(begin: () => Promise<Side>): void {
  exchange(begin).catch((error: unknown) => {
    console.error(error);
    process.exitCode = 1;
  });
}
