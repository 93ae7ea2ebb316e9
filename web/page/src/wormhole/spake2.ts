import { ed25519 } from '@noble/curves/ed25519.js';
import { bytesToNumberBE, bytesToNumberLE, numberToBytesLE } from '@noble/curves/utils.js';
import { hkdf } from '@noble/hashes/hkdf.js';
import { sha256 } from '@noble/hashes/sha2.js';
import { bytesToHex, concatBytes, hexToBytes, utf8ToBytes } from '@noble/hashes/utils.js';

const { Point } = ed25519;
const ORDER = Point.Fn.ORDER;

/** The base point, but without the table that noble would make for it: a page multiplies it once. */
const BASE = Point.fromAffine(Point.BASE.toAffine());

/** A point whose logarithm is not known: python-spake2 derives it from the seed "symmetric". */
const S = Point.fromHex('6f00dae87c1be1a73b5922ef431cd8f57879569c222d22b1cd71e8546ab8e6f1');

/** The first byte of a message, 'S': neither side is the first. */
const SYMMETRIC = 0x53;

/** A new secret, as 64 hex digits (little-endian). 512 random bits are reduced, so that none is likelier. */
export function secret(): string {
  const random = bytesToNumberBE(crypto.getRandomValues(new Uint8Array(64)));
  return bytesToHex(numberToBytesLE((random % (ORDER - 1n)) + 1n, 32));
}

/**
 * One side of a SPAKE2 exchange (Abdalla and Pointcheval, 2005), symmetric and on Ed25519, as python-spake2 does it:
 * two sides that know the same password get the same key. A side that does not can try one password per exchange.
 */
export class Spake2 {
  /** What the other side is to be told. */
  readonly message: Uint8Array;
  readonly #password: Uint8Array;
  readonly #id: Uint8Array;
  readonly #secret: bigint;
  readonly #blinding: InstanceType<typeof Point>;

  /** `secret` as from `secret()`: the same one makes the same message. `id` is what both are a part of. */
  constructor(password: string, id: string, secret: string) {
    this.#password = utf8ToBytes(password.normalize('NFC'));
    this.#id = utf8ToBytes(id);
    this.#secret = bytesToNumberLE(hexToBytes(secret));
    // 16 bytes more than the order has, so that no scalar is likelier than another.
    const wide = hkdf(sha256, this.#password, undefined, utf8ToBytes('SPAKE2 pw'), 48);
    this.#blinding = S.multiply(bytesToNumberBE(wide) % ORDER);
    const point = BASE.multiply(this.#secret).add(this.#blinding);
    this.message = concatBytes(Uint8Array.of(SYMMETRIC), point.toBytes());
  }

  /** The key, given the other side's message; nothing if that is no message that an honest one would send. */
  finish(theirs: Uint8Array): Uint8Array | undefined {
    const point = element(theirs);
    const shared = point?.subtract(this.#blinding);
    if (!point || !shared || shared.is0()) return undefined;
    const messages = [this.message.subarray(1), theirs.subarray(1)].map(bytesToHex).sort();
    if (messages[0] === messages[1]) return undefined; // ours, reflected
    return sha256(
      concatBytes(
        sha256(this.#password),
        sha256(this.#id),
        ...messages.map(hexToBytes),
        shared.multiply(this.#secret).toBytes(),
      ),
    );
  }
}

/** The element of the group that a message carries, if it carries one. */
function element(message: Uint8Array): InstanceType<typeof Point> | undefined {
  if (message[0] !== SYMMETRIC) return undefined;
  try {
    const point = Point.fromBytes(message.subarray(1));
    return point.is0() || !point.isTorsionFree() ? undefined : point;
  } catch {
    return undefined; // not on the curve
  }
}
