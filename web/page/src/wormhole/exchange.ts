import { bytesToHex, hexToBytes, utf8ToBytes } from '@noble/hashes/utils.js';
import { Key, OVERHEAD } from './key.js';
import type { Entry, Kept } from './store.js';
import { problem } from './problem.js';
import { decode, encode, type Payload } from './payload.js';
import { Spake2 } from './spake2.js';
import type { End, Status } from './status.js';

/** What a side says in a phase, as it is in the log. */
export interface WireMessage {
  side: string;
  phase: string;
  body: string;
}

/** The longest body that the server takes. */
const BODY = 64 << 10;

/**
 * The wormhole protocol as one side sees it: it hears what is in the log, and tells what is to be added. After a reload it
 * hears the whole log again; what it heard before changes nothing, and what is kept may be older than the log.
 */
export class Exchange {
  readonly #kept: Kept;
  readonly #appId: string;
  /** Our phases that are in the log, or on their way. */
  readonly #put = new Set<string>();
  readonly #heard = new Set<string>();
  /** What came before the other side's key. */
  readonly #sealed: WireMessage[] = [];
  /** What came before what precedes it. */
  readonly #ahead = new Map<number, Payload>();
  #spake: Spake2 | undefined;
  #key: Key | undefined;

  constructor(appId: string, kept: Kept) {
    this.#appId = appId;
    this.#kept = kept;
    if (kept.peer?.pake !== undefined && !kept.end) this.#meet(kept.peer.pake);
  }

  get status(): Status {
    const { code, end, peer } = this.#kept;
    if (end) return end;
    if (code === undefined) return { name: 'allocating' };
    if (!this.#key) return { name: 'waiting', code };
    if (!peer?.verified) return { name: 'verifying', code };
    return { name: 'connected', code, verifier: this.#key.verifier };
  }

  /** Whether the other side has said anything. */
  get met(): boolean {
    return this.#kept.peer !== undefined;
  }

  /** Whether the other side has proven to have the same key. */
  get verified(): boolean {
    return this.#kept.peer?.verified === true;
  }

  /** A message to the other side: it goes as soon as both have the same key. */
  say(anything: string): void {
    const text = new TextDecoder().decode(utf8ToBytes(anything)); // without half characters, which no other program can read
    const { said, notes, end } = this.#kept;
    const offer: Payload = { offer: { message: text } };
    const fits = 2 * (encode(offer).length + OVERHEAD) <= BODY;
    const note: Entry = { id: String(notes.length), mine: true, text, state: 'kept' };
    if (end || !fits) note.state = 'refused';
    else note.phase = said.push(offer) - 1;
    notes.push(note);
  }

  /** Takes in what is in the log, of either side. */
  receive(message: WireMessage): void {
    const { end, side } = this.#kept;
    if (end) return;
    if (message.side === side) this.markSent(message.phase);
    else {
      const peer = (this.#kept.peer ??= { side: message.side, verified: false });
      if (peer.side !== message.side) this.end({ name: 'failed', problem: problem('CROWDED') });
      else if (!this.#heard.has(message.phase)) this.#take(message);
    }
  }

  /** Takes in the whole log. What we said comes first: what we say next follows it. */
  replay(log: readonly WireMessage[]): void {
    for (const message of log) if (message.phase === 'pake') this.receive(message);
    for (const message of log) if (message.side === this.#kept.side) this.#recall(message);
    for (const message of log) this.receive(message);
  }

  /** The other side closed the mailbox. */
  left(mood: string): void {
    const { code = '' } = this.#kept;
    this.end(mood === 'scary' ? { name: 'scary', code } : { name: 'left', code, mood });
  }

  /** It is over. What the other side has not read it never will. */
  end(end: End): void {
    if (this.#kept.end) return;
    this.#kept.end = end;
    for (const note of this.#kept.notes) if (note.mine && note.state !== 'read') note.state = 'refused';
  }

  /** What is to be added to the log now. It is on its way then, and not answered again. */
  outgoing(): WireMessage[] {
    const { code, side, said, notes, end } = this.#kept;
    const messages: WireMessage[] = [];
    const put = (phase: string, body: () => string) => {
      if (this.#put.has(phase)) return;
      this.#put.add(phase);
      messages.push({ side, phase, body: body() });
    };
    if (code === undefined) return [];
    put('pake', () => bytesToHex(encode({ pake_v1: bytesToHex(this.#ours(code).message) })));
    const key = this.#key;
    if (key) put('version', () => key.seal(side, 'version', encode({ app_versions: {} })));
    if (!key || !this.verified || (end && end.name !== 'failed')) return messages;
    said.forEach((what, n) => put(String(n), () => key.seal(side, String(n), encode(what))));
    for (const note of notes) if (note.state === 'kept') note.state = 'sending';
    return messages;
  }

  /** Something of ours is in the log. */
  markSent(phase: string): void {
    const { notes, said } = this.#kept;
    this.#put.add(phase);
    const number = numbered(phase);
    if (number === undefined) return;
    const text = said[number]?.offer?.message;
    const note = notes.find((note) => note.phase === number);
    if (note?.state === 'kept' || note?.state === 'sending') note.state = 'sent';
    if (note || typeof text !== 'string') return;
    notes.push({ id: String(notes.length), mine: true, text, state: 'sent', phase: number });
  }

  /** What we said, as the log has it: what is kept may be older. */
  #recall({ side, phase, body }: WireMessage): void {
    const { said } = this.#kept;
    if (numbered(phase) !== said.length || !this.#key) return;
    const plain = this.#key.open(side, phase, body);
    if (plain) said.push(decode(plain)); // or it is not ours: a socket may say anything in our name
  }

  #take(message: WireMessage): void {
    if (message.phase === 'pake') {
      this.#heard.add(message.phase);
      this.#kept.peer!.pake = message.body;
      if (!this.#key) this.#meet(message.body);
      for (const sealed of this.#sealed.splice(0)) this.receive(sealed);
    } else if (this.#key) {
      this.#heard.add(message.phase);
      this.#open(message);
    } else this.#sealed.push(message);
  }

  /** The other side's half of the key. */
  #meet(body: string): void {
    const key = this.#ours(this.#kept.code!).finish(pake(body));
    if (key) this.#key = new Key(key);
    else this.#scare();
  }

  #open({ side, phase, body }: WireMessage): void {
    const number = numbered(phase);
    if (number === undefined && phase !== 'version') return; // of newer clients
    const plain = this.#key!.open(side, phase, body);
    if (!plain) {
      this.#scare();
      return;
    }
    this.#kept.peer!.verified = true;
    if (number === undefined) return;
    this.#ahead.set(number, decode(plain));
    for (let next; (next = this.#ahead.get(this.#kept.heard)); ) {
      this.#ahead.delete(this.#kept.heard);
      this.#kept.heard++;
      this.#understand(next);
    }
  }

  #understand({ offer, answer, error }: Payload): void {
    const { said, notes, end } = this.#kept;
    if (end) return;
    if (typeof offer?.message === 'string') {
      notes.push({ id: String(notes.length), mine: false, text: offer.message, state: 'read' });
      const answered = said.filter(({ answer }) => answer).length;
      if (answered < notes.filter(({ mine }) => !mine).length) said.push({ answer: { message_ack: 'ok' } });
    } else if (offer) {
      said.push({ error: 'only text can be received here' });
      this.end({ name: 'failed', problem: problem('UNSUPPORTED') });
    }
    if (answer) {
      const note = notes.find(({ mine, state }) => mine && state !== 'read' && state !== 'refused');
      if (note) note.state = answer.message_ack === 'ok' ? 'read' : 'refused';
    }
    if (error !== undefined) {
      const detail = typeof error === 'string' && error !== '' ? `The other side says: ${error}` : undefined;
      this.end({ name: 'failed', problem: problem('PEER', detail) });
    }
  }

  #scare(): void {
    this.end({ name: 'scary', code: this.#kept.code ?? '' });
  }

  #ours(code: string): Spake2 {
    return (this.#spake ??= new Spake2(code, this.#appId, this.#kept.secret));
  }
}

/** The number of a phase, if it is one of a number. */
function numbered(phase: string): number | undefined {
  return /^(0|[1-9]\d{0,8})$/.test(phase) ? Number(phase) : undefined;
}

/** The message of SPAKE2 in the body of a `pake`; empty if there is none. */
function pake(body: string): Uint8Array {
  try {
    const { pake_v1 } = JSON.parse(new TextDecoder().decode(hexToBytes(body))) as { pake_v1: string };
    return hexToBytes(pake_v1);
  } catch {
    return new Uint8Array();
  }
}
