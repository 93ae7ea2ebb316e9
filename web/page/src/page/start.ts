import { Combobox } from './combobox.js';
import { complain, submitting, tooMuch } from './draft.js';
import { element } from './element.js';

/** Where one writes a note, or gives a code. */
export class Start {
  readonly #section = element('start');
  readonly #note = element<HTMLTextAreaElement>('note');
  readonly #noteProblem = element('note-problem');
  readonly #code = new Combobox(element<HTMLInputElement>('code'), element('words'));
  readonly #codeProblem = element('code-problem');

  constructor({ write, read }: { write: (text: string) => void; read: (code: string) => void }) {
    element('write').addEventListener('submit', (event) => {
      event.preventDefault();
      const { value } = this.#note;
      const problem = tooMuch(value);
      complain(this.#note, this.#noteProblem, problem);
      if (problem !== '') return;
      this.#note.value = '';
      write(value);
    });
    element('read').addEventListener('submit', (event) => {
      event.preventDefault();
      read(this.#code.value);
    });
    submitting(this.#note);
    this.#note.addEventListener('input', () => complain(this.#note, this.#noteProblem, ''));
    this.#code.input.addEventListener('input', () => complain(this.#code.input, this.#codeProblem, ''));
  }

  /**
   * Shows it with a text that was not read, before one that was typed and not sent, or with a code that was not joined with,
   * and moves the focus here.
   */
  again(unread: string, code: string): void {
    this.show(unread);
    this.#code.value = code;
    (code === '' ? this.#note : this.#code.input).focus();
  }

  show(unread = ''): void {
    document.title = 'Restante';
    this.#note.value = [unread, this.#note.value].filter(Boolean).join('\n\n');
    this.#code.value = '';
    complain(this.#note, this.#noteProblem, '');
    complain(this.#code.input, this.#codeProblem, '');
    this.#section.hidden = false;
  }

  /** Shows it, with what is wrong with a code. */
  refuse(code: string, problem: string): void {
    this.#section.hidden = false;
    this.#code.value = code;
    complain(this.#code.input, this.#codeProblem, problem);
  }

  hide(): void {
    this.#section.hidden = true;
  }
}
