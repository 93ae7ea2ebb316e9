import { ed25519 } from '@noble/curves/ed25519.js';
import { bytesToNumberBE, bytesToNumberLE } from '@noble/curves/utils.js';
import { hkdf } from '@noble/hashes/hkdf.js';
import { sha256 } from '@noble/hashes/sha2.js';
import { hexToBytes, utf8ToBytes } from '@noble/hashes/utils.js';
import type { Tab } from './page.js';

const { Point } = ed25519;
const S = Point.fromHex('6f00dae87c1be1a73b5922ef431cd8f57879569c222d22b1cd71e8546ab8e6f1');

/**
 * Reports whether an exchange is one that William's SPAKE2 (gospake2 0.2.1) spoils: it drops the zero byte at the end of the encoded
 * point that both sides share, about once in 256 exchanges, and so gets another key than any other implementation.
 */
export function spoiltByWilliam(tab: Tab): boolean {
  const { code, secret, peer } = JSON.parse(tab.items.get('note') ?? '{}') as { code?: string; secret?: string; peer?: { pake?: string } };
  if (code === undefined || secret === undefined || peer?.pake === undefined) return false;
  const wide = hkdf(sha256, utf8ToBytes(code.normalize('NFC')), undefined, utf8ToBytes('SPAKE2 pw'), 48);
  const blinding = S.multiply(bytesToNumberBE(wide) % Point.Fn.ORDER);
  const { pake_v1 } = JSON.parse(Buffer.from(peer.pake, 'hex').toString()) as { pake_v1: string };
  const received = Point.fromBytes(hexToBytes(pake_v1).subarray(1));
  return received.subtract(blinding).multiply(bytesToNumberLE(hexToBytes(secret))).toBytes().at(-1) === 0;
}
