import { setTimeout as pause } from 'node:timers/promises';

/**
 * Waits until something holds. It has no limit of its own: the runner ends a test that hangs. What it waits for is
 * printed every ten seconds, so that the output of a test that hung tells it.
 */
export async function until(what: () => string, holds: () => boolean, meanwhile: () => Promise<void> = async () => {}): Promise<void> {
  for (let tries = 1; ; tries++) {
    await meanwhile();
    if (holds()) return;
    if (tries % 2000 === 0) console.error(`waiting until ${what()}`);
    await pause(5);
  }
}
