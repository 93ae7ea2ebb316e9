import type { Challenge } from './schemas.js';

/** The most bits for which a browser works: that takes a minute or two. */
const MOST_BITS = 22;
/** How many stamps are hashed at a time. */
const AT_ONCE = 256;

/** Reports whether a browser does the work that a server asks for. Only pages served over HTTPS, and those of this computer, can hash. */
export function feasible({ bits }: Challenge): boolean {
  return bits <= MOST_BITS && !!(crypto.subtle as unknown);
}

/** Does the work, and returns the hashcash stamp that proves it. The page stays usable meanwhile, and a hidden tab is not slower. */
export async function work({ bits, resource }: Challenge, signal: AbortSignal): Promise<string> {
  const encoder = new TextEncoder();
  for (let first = 0; ; first += AT_ONCE) {
    signal.throwIfAborted();
    const stamps = Array.from({ length: AT_ONCE }, (_, i) => `1:${bits}:700101:${resource}::0:${first + i}`);
    const hashes = await Promise.all(stamps.map((stamp) => crypto.subtle.digest('SHA-1', encoder.encode(stamp))));
    const found = stamps.find((_, i) => !(new DataView(hashes[i]!).getUint32(0) >>> (32 - bits)));
    if (found) return found;
  }
}
