import { fuzzCheckpoints, fuzzMessages, replayStale } from './fuzz.js';
import type { Part } from './part.js';

/** Mutated messages and checkpoint files, and replayed messages: nothing crashes, hangs, or is taken for good. */
export const fuzzPart: Part = async ({ runs, quick, seed, log }) => {
  const count = runs ?? (quick ? 100 : 10_000);
  const messages = await fuzzMessages(count, seed);
  const files = fuzzCheckpoints(count, seed);
  const stale = await replayStale(count, seed);
  const failures = [...messages.failures, ...files.failures, ...stale.failures];
  for (const failure of failures) log(failure);
  return {
    fuzz: { messages: messages.count, files: files.count, failures },
    notes: `Seed ${seed}. Besides, ${stale.count} messages of earlier generations and other runs were replayed.`,
  };
};
