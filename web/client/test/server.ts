import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';

/** The real server, as a process that can be killed and started again. */
export class Server {
  readonly url: string;
  readonly #directory: string;
  readonly #port: number;
  readonly #flags: string[];
  #process: ChildProcess | undefined;
  #said = '';

  private constructor(directory: string, port: number, flags: string[]) {
    this.#directory = directory;
    this.#port = port;
    this.#flags = flags;
    this.url = `http://127.0.0.1:${port}`;
  }

  /** Builds the server and starts it, with a database of its own. */
  static async start(...flags: string[]): Promise<Server> {
    const directory = mkdtempSync(join(tmpdir(), 'restante-client-'));
    const root = join(process.cwd(), '../..');
    const build = spawnSync('go', ['build', '-o', join(directory, 'restante'), '.'], { cwd: root, encoding: 'utf8' });
    if (build.status !== 0) throw new Error(`the server cannot be built (is Go installed?): ${build.stderr} ${build.error ?? ''}`);
    const server = new Server(directory, await freePort(), flags);
    await server.restart();
    return server;
  }

  /** kill -9. */
  async kill(): Promise<void> {
    await this.#end('SIGKILL');
  }

  /** As an operator stops it: it tells all its clients, and answers what is under way. Answers its exit code. */
  async stop(): Promise<unknown> {
    return this.#end('SIGTERM');
  }

  async #end(signal: NodeJS.Signals): Promise<unknown> {
    const dead = new Promise((resolve) => this.#process?.once('exit', resolve));
    this.#process?.kill(signal);
    return dead;
  }

  async restart(...more: string[]): Promise<void> {
    const flags = [`--listen=127.0.0.1:${this.#port}`, `--database=${join(this.#directory, 'restante.db')}`, '--request-rate=0'];
    this.#process = spawn(join(this.#directory, 'restante'), [...flags, ...this.#flags, ...more], { stdio: ['ignore', 'ignore', 'pipe'] });
    this.#process.stderr?.on('data', (text: Buffer) => (this.#said += String(text)));
    for (let tries = 0; tries < 200; tries++) {
      const ready = await fetch(`${this.url}/readyz`).then(({ ok }) => ok, () => false);
      if (ready) return;
      if (this.#process.exitCode !== null) break;
      await pause(50);
    }
    throw new Error(`the server does not start:\n${this.#said}`);
  }

  async remove(): Promise<void> {
    await this.kill();
    rmSync(this.#directory, { recursive: true });
  }
}

/** A port that nobody listens on. */
export function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address() as AddressInfo;
      server.close(() => resolve(port));
    });
  });
}
