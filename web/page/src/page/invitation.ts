import { copying } from './copy.js';
import { element, make, say } from './element.js';
import { qr } from './qr.js';
import { server } from './server.js';

/** The code, in all ways in which it may be told. */
export class Invitation {
  readonly #section = element('invitation');
  #code = '';

  constructor() {
    copying(element<HTMLButtonElement>('copy-code'), () => this.#code);
    copying(element<HTMLButtonElement>('copy-link'), () => this.#link);
    copying(element<HTMLButtonElement>('copy-terminal'), () => `${relay()} receive ${this.#code}`);
    const share = element('share');
    share.hidden = !('share' in navigator);
    share.addEventListener('click', () => {
      navigator.share({ title: 'A note for you', text: `The code is ${this.#code}`, url: this.#link }).catch(() => {}); // or they thought better of it
    });
    for (const where of document.querySelectorAll<HTMLElement>('.relay')) say(where, relay());
  }

  /** Shows a code, or none. */
  show(code: string | undefined): void {
    this.#section.hidden = code === undefined;
    if (code === undefined || code === this.#code) return;
    this.#code = code;
    const parts = code.split('-').map((part, n) => make('span', { className: n === 0 ? 'number' : 'word', textContent: part }));
    element('big-code').replaceChildren(...parts.flatMap((part, n) => (n === 0 ? [part] : ['-', make('wbr'), part])));
    element('qr').replaceChildren(qr(this.#link));
    element('terminal').replaceChildren(`${relay()} receive `, make('span', { className: 'whole', textContent: code }));
  }

  get #link(): string {
    return `${server}/#${this.#code}`;
  }
}

/** The command that speaks to this server. */
function relay(): string {
  return `wormhole --relay-url ${server.replace(/^http/, 'ws')}/v1`;
}
