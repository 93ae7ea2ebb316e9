import { spawn, type ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { freePort } from './server.js';

/** A real nginx in front of a server. */
export class Nginx {
  readonly url: string;
  readonly #directory: string;
  readonly #process: ChildProcess;

  private constructor(url: string, directory: string, process: ChildProcess) {
    this.url = url;
    this.#directory = directory;
    this.#process = process;
  }

  /** Starts an nginx that passes everything on, with these directives, and waits until it answers. */
  static async start(server: string, directives: string): Promise<Nginx> {
    const directory = mkdtempSync(join(tmpdir(), 'restante-nginx-'));
    const port = await freePort();
    const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((kind) => `${kind}_temp_path ${directory};`);
    const config = `daemon off; master_process off; pid ${directory}/pid; error_log ${directory}/error.log;
      events {}
      http {
        access_log off; ${temporary.join(' ')}
        server { listen 127.0.0.1:${port}; location / { proxy_pass ${server}; ${directives} } }
      }`;
    writeFileSync(join(directory, 'nginx.conf'), config);
    const path = `${process.env['PATH']}:/usr/sbin`;
    const child = spawn('nginx', ['-c', join(directory, 'nginx.conf'), '-e', join(directory, 'error.log')], { env: { ...process.env, PATH: path } });
    let log = '';
    let ended = false;
    child.once('exit', () => (ended = true));
    child.once('error', (error) => {
      log = `${error.message}: apt-get install nginx-light`;
      ended = true;
    });
    child.stderr?.on('data', (text: Buffer) => (log += String(text)));
    const nginx = new Nginx(`http://127.0.0.1:${port}`, directory, child);
    while (!ended) {
      if (await fetch(`${nginx.url}/livez`).then(({ ok }) => ok, () => false)) return nginx;
      await pause(20);
    }
    rmSync(directory, { recursive: true, force: true });
    throw new Error(`nginx does not start: ${log}`);
  }

  async stop(): Promise<void> {
    const exited = new Promise((resolve) => this.#process.once('exit', resolve));
    this.#process.kill('SIGKILL');
    await exited;
    rmSync(this.#directory, { recursive: true, force: true });
  }
}
