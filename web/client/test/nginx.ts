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

  /** Starts one that passes everything on, with these directives about it. */
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
    let failed = '';
    child.on('error', (error) => (failed = `${error.message}: apt-get install nginx-light`));
    child.stderr?.on('data', (text: Buffer) => (failed += String(text)));
    const nginx = new Nginx(`http://127.0.0.1:${port}`, directory, child);
    for (let tries = 0; tries < 100; tries++) {
      if (await fetch(`${nginx.url}/livez`).then(({ ok }) => ok, () => false)) return nginx;
      await pause(50);
    }
    throw new Error(`nginx does not start: ${failed}`);
  }

  async stop(): Promise<void> {
    const dead = new Promise((resolve) => this.#process.once('exit', resolve));
    this.#process.kill('SIGKILL');
    await dead;
    rmSync(this.#directory, { recursive: true });
  }
}
