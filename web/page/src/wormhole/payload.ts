import { utf8ToBytes } from '@noble/hashes/utils.js';

/** What is said in a numbered phase. Files are announced with `transit`, and offered; we take only messages. */
export interface Payload {
  offer?: { message?: unknown };
  answer?: { message_ack?: unknown };
  error?: unknown;
}

export function encode(what: object): Uint8Array {
  return utf8ToBytes(JSON.stringify(what));
}

/** What was said. What neither side ever says counts as nothing said. */
export function decode(bytes: Uint8Array): Payload {
  try {
    const { offer, answer, error } = JSON.parse(new TextDecoder().decode(bytes)) as Record<string, unknown>;
    return {
      ...(isObject(offer) && { offer }),
      ...(isObject(answer) && { answer }),
      ...(error !== undefined && { error }),
    };
  } catch {
    return {};
  }
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}
