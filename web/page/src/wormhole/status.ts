import type { Problem } from './problem.js';

/** How a conversation stands, in the order in which it usually goes. */
export type Status =
  /** Asking for a nameplate. */
  | { readonly name: 'allocating' }
  /** The other side has not come yet. */
  | { readonly name: 'waiting'; readonly code: string }
  /** The other side came; keys are being compared. */
  | { readonly name: 'verifying'; readonly code: string }
  /** Both have the same key. `verifier` is 64 hex digits, the same on both sides. */
  | { readonly name: 'connected'; readonly code: string; readonly verifier: string }
  /** We left. Final. */
  | { readonly name: 'closed' }
  | End;

/** A conversation that is over, though we did not leave. */
export type End =
  /** One side had a wrong code, or what it said was tampered with: someone may have guessed. */
  | { readonly name: 'scary'; readonly code: string }
  /** The other side left. */
  | { readonly name: 'left'; readonly code: string; readonly mood: string }
  | { readonly name: 'failed'; readonly problem: Problem };
