import { Condition } from './condition.js';
import type { Platform } from './platform.js';
import { ConnectionLost } from './problem.js';
import type { Frame } from './schemas.js';
import type { SessionRecord } from './store.js';

/** What a session receives: each frame once, in order, and acknowledged when it is processed. */
export interface Inbox {
  /** The next frame wanted: all below it are processed. */
  readonly ack: number;
  /** The frame that comes next: all below it were received. */
  readonly next: number;
  /** Notified when there is more to acknowledge. */
  readonly advanced: Condition;
  /** Takes frames in. It ignores those that came before. */
  take(frames: readonly Frame[]): void;
  /** Waits until what came last is processed, as far as something reads it, at most for so long. */
  drained(signal: AbortSignal, platform: Platform, ms: number): Promise<void>;
}

/**
 * Returns the inbox of a session. It hands frames to `deliver`, which calls `done` when the frame is processed and reports
 * whether something reads it, and calls `save` when the record has changed.
 */
export function inbox(record: SessionRecord, deliver: (frame: Frame, done: () => void) => boolean, save: () => void): Inbox {
  let next = record.frame;
  const done = new Set<number>(); // those above `record.frame`, as the reader of another mailbox was faster
  const awaited = new Set<number>(); // those that came last, and are being read
  const advanced = new Condition();
  const processed = new Condition();
  const advance = () => {
    const before = record.frame;
    while (done.delete(record.frame)) record.frame++;
    save();
    if (record.frame > before) advanced.notify();
  };
  return {
    advanced,
    get ack() {
      return record.frame;
    },
    get next() {
      return next;
    },
    take: (frames) => {
      awaited.clear();
      for (const frame of frames) {
        const { seq } = frame;
        if (seq > next) throw new ConnectionLost(`no frame ${next}`);
        if (seq < next) continue;
        next++;
        awaited.add(seq);
        const read = deliver(frame, () => {
          done.add(seq);
          awaited.delete(seq);
          processed.notify();
          advance();
        });
        if (!read) awaited.delete(seq);
      }
      if (frames.length > 0) advance();
    },
    drained: async (signal, platform, ms) => {
      const began = platform.now();
      // A clock that was set back by more ends it, too.
      while (awaited.size > 0 && Math.abs(platform.now() - began) < ms) await processed.wait(signal, platform, ms);
    },
  };
}
