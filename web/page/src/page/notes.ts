import type { Note } from '../wormhole/index.js';
import { copying } from './copy.js';
import { element, make, say } from './element.js';
import { fate } from './phrase.js';

/** What both sides wrote. */
export class Notes {
  readonly #log = element('notes');
  readonly #shown = new Map<string, HTMLElement>();

  show(notes: readonly Note[]): void {
    const gone = new Set(this.#shown.keys());
    for (const note of notes) {
      gone.delete(note.id);
      const shown = this.#shown.get(note.id);
      if (shown) say(shown.querySelector('.fate')!, described(note));
      else this.#add(note);
    }
    for (const id of gone) {
      this.#shown.get(id)!.remove();
      this.#shown.delete(id);
    }
  }

  #add(note: Note): void {
    const { id, mine, text } = note;
    const foot = make('footer', {}, make('span', { className: 'fate', textContent: described(note) }));
    if (!mine) foot.append(copying(make('button', { type: 'button', className: 'quiet', textContent: 'Copy the note' }), () => text));
    const shown = make('article', { className: mine ? 'mine' : 'theirs' }, make('p', { dir: 'auto', textContent: text }), foot);
    this.#shown.set(id, shown);
    this.#log.append(shown);
  }
}

function described({ mine, state }: Note): string {
  return mine ? `You. ${fate[state]}` : 'The other side';
}
