import { complete } from '../wormhole/index.js';
import { make } from './element.js';

/** How many words are shown at once. */
const SHOWN = 6;

/** A field for a code, which completes the words while they are typed (WAI-ARIA: an editable combobox with a list). */
export class Combobox {
  readonly input: HTMLInputElement;
  readonly #list: HTMLElement;
  #active = -1;

  constructor(input: HTMLInputElement, list: HTMLElement) {
    this.input = input;
    this.#list = list;
    input.addEventListener('input', () => this.#typed());
    input.addEventListener('keydown', (event) => this.#key(event));
    input.addEventListener('blur', () => this.#close());
    list.addEventListener('pointerdown', (event) => event.preventDefault()); // the field keeps the focus
    list.addEventListener('click', ({ target }) => this.#take((target as HTMLElement).closest('li')));
  }

  get value(): string {
    return this.input.value;
  }

  set value(code: string) {
    this.input.value = code;
    this.#close();
  }

  #typed(): void {
    const { value } = this.input;
    const link = value.lastIndexOf('#');
    const meant = (link < 0 ? value : value.slice(link + 1)).trimStart().replace(/\s+/g, '-');
    if (meant !== value) this.input.value = meant; // a link that was pasted, or words with spaces
    this.#show(/-[^-]+$/.test(meant) ? complete(meant).filter((code) => code !== meant) : []);
  }

  #show(codes: readonly string[]): void {
    this.#active = -1;
    this.#list.replaceChildren(
      ...codes.slice(0, SHOWN).map((code, n) => {
        const option = make('li', { id: `word-${n}`, textContent: code.replace(/-$/, '') });
        option.dataset['code'] = code;
        option.setAttribute('role', 'option');
        option.setAttribute('aria-selected', 'false');
        return option;
      }),
    );
    this.#list.hidden = codes.length === 0;
    this.input.setAttribute('aria-expanded', String(codes.length > 0));
    this.input.removeAttribute('aria-activedescendant');
  }

  #close(): void {
    this.#show([]);
  }

  #key(event: KeyboardEvent): void {
    const options = this.#list.children;
    if (options.length === 0) return;
    const active = options[this.#active];
    switch (event.key) {
      case 'ArrowDown':
        this.#move((this.#active + 1) % options.length);
        break;
      case 'ArrowUp':
        this.#move((this.#active <= 0 ? options.length : this.#active) - 1);
        break;
      case 'Tab':
        if (event.shiftKey) return;
        this.#take(active ?? options[0]);
        break;
      case 'Enter':
        if (!active) return;
        this.#take(active);
        break;
      case 'Escape':
        this.#close();
        break;
      default:
        return;
    }
    event.preventDefault();
  }

  #move(to: number): void {
    this.#active = to;
    [...this.#list.children].forEach((option, n) => option.setAttribute('aria-selected', String(n === to)));
    this.input.setAttribute('aria-activedescendant', `word-${to}`);
  }

  #take(option: Element | null | undefined): void {
    const code = (option as HTMLElement | null | undefined)?.dataset['code'];
    if (code === undefined) return;
    this.value = code;
    this.input.focus();
  }
}
