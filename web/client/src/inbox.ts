import { Bell } from './bell.js';
import type { Ledger } from './ledger.js';
import { Lost } from './problem.js';
import type { Platform } from './platform.js';
import type { Frame } from './wire.js';

/** What a session receives: each frame once, in order, and acknowledged when it is processed. */
export class Inbox {
  readonly #ledger: Ledger;
  readonly #deliver: (frame: Frame, done: () => void) => void;
  readonly #save: () => void;
  readonly #bell = new Bell();
  #next: number;

  /**
   * Frames are handed to `deliver`, which calls `done` when the frame is processed; `save` is called when the ledger
   * has changed.
   */
  constructor(ledger: Ledger, deliver: (frame: Frame, done: () => void) => void, save: () => void) {
    this.#ledger = ledger;
    this.#deliver = deliver;
    this.#save = save;
    this.#next = ledger.frame;
  }

  /** The next frame that was not received. */
  get next(): number {
    return this.#next;
  }

  /** The next frame wanted: all below it are processed. */
  get ack(): number {
    return this.#ledger.frame;
  }

  /** Takes frames in. Those that came before are passed over. */
  take(frames: readonly Frame[]): void {
    for (const frame of frames) {
      if (frame.seq > this.#next) throw new Lost(`frame ${frame.seq} came, ${this.#next} was wanted`);
      if (frame.seq < this.#next) continue;
      this.#next++;
      if (!this.#ledger.done.includes(frame.seq)) this.#deliver(frame, () => this.#done(frame.seq));
    }
    if (frames.length > 0) this.#advance();
  }

  /** Settles when all that was received is processed, or after `ms`. */
  async drained(signal: AbortSignal, platform: Platform, ms: number): Promise<void> {
    const patience = { platform, ms };
    const until = platform.now() + ms;
    while (this.ack < this.#next && platform.now() < until) await this.#bell.heard(signal, patience);
  }

  /** Settles when more is to be acknowledged than `ack`. */
  async moved(ack: number, signal: AbortSignal): Promise<void> {
    while (this.ack <= ack) await this.#bell.heard(signal);
  }

  #done(seq: number): void {
    this.#ledger.done.push(seq);
    this.#advance();
  }

  #advance(): void {
    const before = this.ack;
    const done = new Set(this.#ledger.done);
    while (done.delete(this.#ledger.frame)) this.#ledger.frame++;
    this.#ledger.done = [...done];
    this.#save();
    if (this.ack > before) this.#bell.ring();
  }
}
