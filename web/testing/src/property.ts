import fc, { type IRawProperty, type Parameters } from 'fast-check';

/**
 * Checks a property on random examples, as many as RUNS says or `numRuns`. A failure prints the seed, and `SEED=… npm test FILE`
 * repeats it.
 */
export async function holds<Ts>(property: IRawProperty<Ts>, options: Parameters<Ts> = {}): Promise<void> {
  const seed = Number(process.env['SEED'] ?? Math.floor(Math.random() * 2 ** 31));
  const numRuns = Number(process.env['RUNS'] ?? options.numRuns ?? 100);
  console.log(`SEED=${seed} RUNS=${numRuns}`);
  await fc.assert(property, { ...options, numRuns, seed, includeErrorInReport: true });
}
