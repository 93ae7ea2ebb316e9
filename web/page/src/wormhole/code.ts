import { threeSyllables, twoSyllables } from './words.js';

/** How many words the clients expect, unless they are told otherwise. */
export const WORDS = 2;

const LONGEST = 200;

/** Random words, joined: what follows the nameplate in a code. */
export function choose(count: number): string {
  const bytes = crypto.getRandomValues(new Uint8Array(count));
  return Array.from(bytes, (byte, place) => list(place)[byte]).join('-');
}

/** A code as it was meant: people put spaces around it and between its words, and telephones begin words with a capital. */
export function normal(code: string): string {
  const joined = code.trim().replace(/\s+/g, '-');
  const small = joined.toLowerCase();
  const ours = small.split('-').slice(1).every((word, place) => list(place).includes(word));
  return ours ? small : joined; // a person's own words may have capitals
}

/** The number of a code that is well formed. */
export function nameplate(code: string): string {
  return code.split('-', 1)[0]!;
}

/** Whether a code, as a person typed it, is well formed; and what to say if it is not. */
export function check(code: string): { ok: true } | { ok: false; detail: string } {
  const meant = normal(code);
  const no = (detail: string) => ({ ok: false, detail }) as const;
  if (meant === '') return no('Type the code that the other side tells you, such as 7-crossover-clockwork.');
  if (!/^[0-9]/.test(meant)) return no('A code begins with a number, such as the 7 of 7-crossover-clockwork.');
  if (!/^[0-9]{1,40}(-|$)/.test(meant)) return no('After its number, a code goes on with a dash: 7-crossover-clockwork.');
  if (!/-./.test(meant)) return no('After the number come words, joined by dashes: 7-crossover-clockwork.');
  if (meant.endsWith('-')) return no('The last word is missing.');
  if (meant.length > LONGEST) return no(`A code has no more than ${LONGEST} characters.`);
  return { ok: true };
}

/** What may complete this beginning of a code: "7-cro" becomes "7-crossover-". Numbers are not completed. */
export function complete(prefix: string): readonly string[] {
  const parts = prefix.split('-');
  const place = parts.length - 2;
  const begun = parts.pop()!.toLowerCase();
  if (!/^[0-9]+$/.test(parts[0] ?? '')) return [];
  const before = parts.join('-');
  const more = place + 1 < WORDS ? '-' : '';
  return list(place)
    .filter((word) => word.startsWith(begun))
    .sort()
    .map((word) => `${before}-${word}${more}`);
}

/** The words for a place in a code, from 0. */
function list(place: number): readonly string[] {
  return place % 2 === 0 ? threeSyllables : twoSyllables;
}
