import { spawn, spawnSync, type ChildProcess } from 'node:child_process';
import { existsSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';

/** Limits that a test runs into on a slow machine, and is not about. */
const RAISED = ['--request-rate=0', '--claim-rate=0', '--max-connections=1000000', '--max-nameplates-per-address=1000000', '--nameplate-rest=0s', '--identify-within=10m', '--slow-reader=10m'];

/** The real server, as a process that can be killed and started again. */
export class Server {
  readonly url: string;
  readonly #directory: string;
  readonly #port: number;
  readonly #flags: string[];
  #process: ChildProcess | undefined;
  #log = '';

  private constructor(directory: string, port: number, flags: string[]) {
    this.#directory = directory;
    this.#port = port;
    this.#flags = flags;
    this.url = `http://127.0.0.1:${port}`;
  }

  /** Starts the server, with a database of its own. It is built once for all tests of a run. */
  static async start(...flags: string[]): Promise<Server> {
    const server = new Server(mkdtempSync(join(tmpdir(), 'restante-client-')), await freePort(), flags);
    try {
      await server.restart();
    } catch (error) {
      await server.remove();
      throw error;
    }
    return server;
  }

  /** Ends the server as `kill -9` does. */
  async kill(): Promise<void> {
    await this.#end('SIGKILL');
  }

  /** Stops the server as an operator does: it tells all its clients, and answers what is under way. Returns its exit code. */
  async stop(): Promise<unknown> {
    return this.#end('SIGTERM');
  }

  async #end(signal: NodeJS.Signals): Promise<unknown> {
    const child = this.#process;
    if (!child || child.exitCode !== null || child.signalCode !== null) return child?.exitCode;
    const exited = new Promise((resolve) => child.once('exit', resolve));
    child.kill(signal);
    return exited;
  }

  /** Starts the server again, and waits until it is ready: the limit of the test is the only one. */
  async restart(...more: string[]): Promise<void> {
    const flags = [`--listen=127.0.0.1:${this.#port}`, `--database=${join(this.#directory, 'restante.db')}`, ...RAISED];
    const child = (this.#process = spawn(binary(), [...flags, ...this.#flags, ...more], { stdio: ['ignore', 'ignore', 'pipe'] }));
    child.stderr?.on('data', (text: Buffer) => (this.#log += String(text)));
    while (child.exitCode === null && child.signalCode === null) {
      const ready = await fetch(`${this.url}/readyz`).then(({ ok }) => ok, () => false);
      if (ready) return;
      await pause(20);
    }
    throw new Error(`the server does not start:\n${this.#log}`);
  }

  async remove(): Promise<void> {
    await this.kill();
    rmSync(this.#directory, { recursive: true, force: true });
  }
}

/** The path of the server, which is built if the tests of this run have not built it yet. */
function binary(): string {
  const shared = process.env['RESTANTE_TEST_SHARED'] ?? tmpdir();
  const path = join(shared, 'restante');
  if (existsSync(path)) return path;
  const built = `${path}-${process.pid}`;
  const build = spawnSync('go', ['build', '-trimpath', '-o', built, '.'], { cwd: join(process.cwd(), '../..'), encoding: 'utf8' });
  if (build.status !== 0) throw new Error(`the server cannot be built (is Go installed?): ${build.stderr} ${build.error ?? ''}`);
  renameSync(built, path);
  return path;
}

/**
 * A port that nothing listens on. It is below those that systems give to outgoing connections: one of these could
 * take the port of a server that is down.
 */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = 12_000 + Math.floor(Math.random() * 18_000);
    const free = await new Promise<boolean>((resolve) => {
      const server = createServer()
        .once('error', () => resolve(false))
        .listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
    });
    if (free) return port;
  }
}
