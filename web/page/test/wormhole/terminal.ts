import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { eventually } from './page.js';

export const python = 'wormhole';
export const william = 'wormhole-william';

/** A person at a terminal who runs a wormhole client, and answers all its questions with yes. */
export class Terminal {
  screen = '';
  readonly directory: string;
  readonly #what: string;
  readonly #process: ChildProcess;
  readonly #ended: Promise<number | null>;

  constructor(url: string, client: string, ...words: string[]) {
    this.directory = mkdtempSync(join(tmpdir(), 'restante-page-'));
    this.#what = [client, ...words].join(' ');
    const flags = ['--relay-url', `${url.replace('http', 'ws')}/v1`, ...(client === python ? ['--transit-helper', ''] : [])];
    const env = { ...process.env, HOME: this.directory, LC_ALL: 'C.UTF-8', PYTHONUNBUFFERED: '1' };
    this.#process = spawn(client, [...flags, ...words], { cwd: this.directory, env });
    this.#process.stdin!.end('yes\n');
    for (const stream of [this.#process.stdout!, this.#process.stderr!]) stream.on('data', (text: Buffer) => (this.screen += String(text)));
    this.#ended = new Promise((resolve) => {
      this.#process.once('close', resolve);
      this.#process.once('error', (error) => {
        this.screen += `${error.message} (apt-get install magic-wormhole wormhole-william)`;
        resolve(-1);
      });
    });
    void this.#ended.then(() => rmSync(this.directory, { recursive: true, force: true }));
  }

  /** Waits until something is on the screen. */
  async sees(wanted: RegExp): Promise<string> {
    await eventually(() => `${wanted} is on the screen of ${this.#what}: ${this.screen}`, () => wanted.test(this.screen));
    return wanted.exec(this.screen)!.at(-1)!;
  }

  code(): Promise<string> {
    return this.sees(/Wormhole code is: (\S+)\n/);
  }

  async ends(status: number, ...texts: string[]): Promise<void> {
    assert.equal(await this.#ended, status, `${this.#what}: ${this.screen}`);
    for (const text of texts) assert.ok(this.screen.includes(text), `${this.#what} does not say ${text}: ${this.screen}`);
  }

  async givesUp(): Promise<void> {
    this.#process.kill('SIGINT');
    await this.#ended;
  }
}
