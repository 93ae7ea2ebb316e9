import { spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const beside = (name) => fileURLToPath(new URL(name, import.meta.url));

/** How many times as long as a test it may take to load a file. */
const LOADING = 10;

/** One file of tests, which runs in a process group of its own. */
export class TestFile {
  #name;
  #path;
  #folders;
  #process;
  /** The tests and suites that run now, by their places. */
  #running = new Map();
  #passed = 0;
  #begun = false;
  #problems = [];

  constructor(name, path, folders) {
    this.#name = name;
    this.#path = path;
    this.#folders = folders;
  }

  /** Runs it within limits, prints its result, and reports whether all its tests passed and nothing was left behind. */
  async run({ testMs, fileMs }) {
    const began = Date.now();
    const flags = ['--enable-source-maps', '--experimental-websocket', '--no-warnings=ExperimentalWarning', '--import', beside('guard.mjs')];
    const reporters = ['--test-reporter=spec', '--test-reporter-destination=stdout', `--test-reporter=${beside('reporter.mjs')}`, '--test-reporter-destination=stderr'];
    const env = { ...process.env, TMPDIR: this.#folders.temporary, RESTANTE_TEST_SHARED: this.#folders.shared };
    delete env.NODE_OPTIONS;
    const child = (this.#process = spawn(process.execPath, [...flags, ...reporters, this.#path], {
      env,
      detached: true, // it leads a process group
      stdio: ['pipe', 'pipe', 'pipe', 'pipe'],
    }));
    let output = '';
    for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text) => (output += text));
    let events = '';
    child.stdio[3].setEncoding('utf8').on('data', (text) => {
      const lines = (events + text).split('\n');
      events = lines.pop();
      for (const line of lines) this.#note(JSON.parse(line));
    });
    const fileTimer = setTimeout(() => this.#hang('the limit of the run is reached'), Math.max(fileMs, 0));
    let lastTest = Date.now() + LOADING * testMs; // until a test begins
    const testTimer = setInterval(() => {
      const tests = this.#tests();
      if (this.#begun) lastTest = Math.min(lastTest, Date.now());
      if (tests.length > 0) lastTest = Date.now();
      const hung = tests.filter(({ since }) => Date.now() - since > testMs);
      if (hung.length > 0) this.#hang(`a test ran for more than ${testMs / 1000} s`, hung);
      else if (Date.now() - lastTest > testMs) this.#hang(`no test ran for ${testMs / 1000} s, and the process did not end`);
    }, Math.min(1000, testMs / 4));
    const status = await new Promise((resolve) => {
      child.once('exit', (code, signal) => resolve(signal ?? code));
      child.once('error', (error) => resolve(String(error)));
    });
    clearTimeout(fileTimer);
    clearInterval(testTimer);
    const left = processes(child.pid);
    if (left.length > 0) this.#problems.push(`processes were left running: ${left.join(', ')}`);
    this.kill();
    await closed([child.stdout, child.stderr, child.stdio[3]]);
    if (status !== 0) this.#problems.push(`it ended with ${status}`);
    if (this.#passed === 0) this.#problems.push('no test passed');
    const seconds = ((Date.now() - began) / 1000).toFixed(1);
    const good = this.#problems.length === 0;
    if (!good) console.log(output.trimEnd());
    console.log(`${good ? '✔' : '✖'} ${this.#name}: ${this.#passed} tests, ${seconds} s`);
    for (const problem of this.#problems) console.log(`✖ ${this.#name}: ${problem}`);
    return good;
  }

  /** Ends the whole process group by force. */
  kill() {
    try {
      process.kill(-this.#process.pid, 'SIGKILL');
    } catch {
      // It has ended.
    }
  }

  #hang(why, tests = this.#tests()) {
    const names = tests.map(({ name }) => `“${name}”`).join(', ');
    this.#problems.push(`HUNG: ${why}${names && `: ${names}`}`);
    this.kill();
  }

  #note({ kind, name, place, nesting, skipped }) {
    if (kind === 'begin') this.#begun = true;
    if (kind === 'begin') this.#running.set(place, { name, nesting, since: Date.now() });
    if (kind === 'end') this.#running.delete(place);
    if (kind !== 'pass') return;
    if (skipped) this.#problems.push(`“${name}” was skipped`);
    else this.#passed++;
  }

  /** The tests that run now: a suite runs as long as its tests do, and does not count then. */
  #tests() {
    const all = [...this.#running.values()];
    return all.filter((one) => !all.some(({ nesting }) => nesting > one.nesting));
  }
}

/** The processes of a group, by their command lines. Only Linux tells. */
function processes(group) {
  const found = [];
  let ids;
  try {
    ids = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  } catch {
    return found;
  }
  for (const id of ids) {
    try {
      const [state, , pgrp] = readFileSync(`/proc/${id}/stat`, 'utf8').replace(/^.*\) /s, '').split(' ');
      if (Number(pgrp) === group && state !== 'Z') found.push(readFileSync(`/proc/${id}/cmdline`, 'utf8').replaceAll('\0', ' ').trim());
    } catch {
      // It has ended meanwhile.
    }
  }
  return found;
}

function closed(streams) {
  return Promise.all(streams.map((stream) => stream.closed || new Promise((resolve) => stream.once('close', resolve))));
}
