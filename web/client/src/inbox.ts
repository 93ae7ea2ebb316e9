import { Bell } from './bell.js';
import type { Ledger } from './ledger.js';
import type { Platform } from './platform.js';
import { Lost } from './problem.js';
import type { Frame } from './wire.js';

/** What a session receives: each frame once, in order, and acknowledged when it is processed. */
export interface Inbox {
  /** The next frame wanted: all below it are processed. */
  readonly ack: number;
  /** Rings when there is more to acknowledge. */
  readonly moved: Bell;
  /** Takes frames in. Those that came before are passed over. */
  take(frames: readonly Frame[]): void;
  /** Whether all that was received is processed; waits for it for so long. */
  drained(signal: AbortSignal, platform: Platform, ms: number): Promise<boolean>;
}

/**
 * Frames are handed to `deliver`, which calls `done` when the frame is processed; `save` is called when the ledger
 * has changed.
 */
export function inbox(ledger: Ledger, deliver: (frame: Frame, done: () => void) => void, save: () => void): Inbox {
  let next = ledger.frame;
  const done = new Set<number>(); // those above, as another mailbox's reader was faster
  const moved = new Bell();
  const advance = () => {
    const before = ledger.frame;
    while (done.delete(ledger.frame)) ledger.frame++;
    save();
    if (ledger.frame > before) moved.ring();
  };
  return {
    moved,
    get ack() {
      return ledger.frame;
    },
    take: (frames) => {
      for (const frame of frames) {
        const { seq } = frame;
        if (seq > next) throw new Lost(`no frame ${next}`);
        if (seq < next) continue;
        next++;
        deliver(frame, () => {
          done.add(seq);
          advance();
        });
      }
      if (frames.length > 0) advance();
    },
    drained: async (signal, platform, ms) => {
      const until = platform.now() + ms;
      while (ledger.frame < next && platform.now() < until) await moved.heard(signal, platform, ms);
      return ledger.frame === next;
    },
  };
}
