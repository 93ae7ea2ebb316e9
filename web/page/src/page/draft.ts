import { say } from './element.js';

/** As much as every client can read at once, in bytes of JSON. */
const LONGEST = 16_000;

/** Enter begins a new line of a note; with Control or Command it sends it. */
export function submitting(field: HTMLTextAreaElement): void {
  field.addEventListener('keydown', (event) => {
    if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) field.form!.requestSubmit();
  });
}

/** What is wrong with a note; nothing if it may be sent. */
export function tooMuch(text: string): string {
  if (text.trim() === '') return 'Write something first.';
  const bytes = new TextEncoder().encode(JSON.stringify(text)).length;
  return bytes > LONGEST ? `This is too long for one note, by ${bytes - LONGEST} bytes. Send it in parts.` : '';
}

/** Says what is wrong with a field, and goes there; or that nothing is. */
export function complain(field: HTMLElement, where: HTMLElement, problem: string): void {
  say(where, problem);
  field.setAttribute('aria-invalid', String(problem !== ''));
  if (problem !== '') field.focus();
}
