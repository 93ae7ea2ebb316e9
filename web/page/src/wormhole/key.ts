import { xsalsa20poly1305 } from '@noble/ciphers/salsa.js';
import { hkdf } from '@noble/hashes/hkdf.js';
import { sha256 } from '@noble/hashes/sha2.js';
import { bytesToHex, concatBytes, hexToBytes, utf8ToBytes } from '@noble/hashes/utils.js';

/** Of a nonce, which precedes what is sealed. */
const NONCE = 24;
/** What sealing adds: the nonce and the tag. */
export const OVERHEAD = NONCE + 16;

/** The key that two sides with the same code share. Each phase of each side is sealed with a key of its own. */
export class Key {
  readonly #key: Uint8Array;

  constructor(key: Uint8Array) {
    this.#key = key;
  }

  /** 64 hex digits, the same on both sides: a comparison makes trust in the code unnecessary. */
  get verifier(): string {
    return bytesToHex(this.#derive(utf8ToBytes('wormhole:verifier')));
  }

  /** What a side says in a phase, as hex. */
  seal(side: string, phase: string, plain: Uint8Array): string {
    const nonce = crypto.getRandomValues(new Uint8Array(NONCE));
    return bytesToHex(concatBytes(nonce, xsalsa20poly1305(this.#of(side, phase), nonce).encrypt(plain)));
  }

  /** What a side said in a phase; nothing if it was said with another key, or was tampered with. */
  open(side: string, phase: string, sealed: string): Uint8Array | undefined {
    try {
      const bytes = hexToBytes(sealed);
      return xsalsa20poly1305(this.#of(side, phase), bytes.subarray(0, NONCE)).decrypt(bytes.subarray(NONCE));
    } catch {
      return undefined;
    }
  }

  #of(side: string, phase: string): Uint8Array {
    const [ofSide, ofPhase] = [side, phase].map((name) => sha256(utf8ToBytes(name)));
    return this.#derive(concatBytes(utf8ToBytes('wormhole:phase:'), ofSide!, ofPhase!));
  }

  #derive(purpose: Uint8Array): Uint8Array {
    return hkdf(sha256, this.#key, undefined, purpose, 32);
  }
}
