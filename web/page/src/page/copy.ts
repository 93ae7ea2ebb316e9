import { element, make } from './element.js';

const SHOWN_MS = 2000;

/** Has a button copy a text, and say so. */
export function copying(button: HTMLButtonElement, text: () => string): HTMLButtonElement {
  const label = button.textContent!;
  let timer: ReturnType<typeof setTimeout> | undefined;
  button.addEventListener('click', async () => {
    const done = await copy(text());
    button.textContent = done ? 'Copied' : 'Select it, and copy it by hand';
    element('said').textContent = button.textContent;
    clearTimeout(timer);
    timer = setTimeout(() => {
      button.textContent = label;
      element('said').textContent = '';
    }, SHOWN_MS);
  });
  return button;
}

/** Copies a text; where pages have no clipboard, as without https, in the way of old. */
async function copy(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const field = make('textarea', { value: text, className: 'unseen', readOnly: true });
    const focused = document.activeElement;
    document.body.append(field);
    field.select();
    const done = document.execCommand('copy');
    field.remove();
    if (focused instanceof HTMLElement) focused.focus();
    return done;
  }
}
