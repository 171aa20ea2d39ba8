import { allGather } from '../collectives/all-gather.js';
import type { Transport } from '../collectives/transport.js';
import { asTrainerError, type ErrorCode, TrainerError } from '../errors.js';
import { asStorageError } from './durable.js';

type Outcome<T> = { readonly value: T } | { readonly code: ErrorCode; readonly message: string };

/**
 * Runs `work` on every rank and returns all results, by rank; they travel as JSON. A rank that fails still
 * takes part, so no other waits for it.
 *
 * @throws TrainerError on all ranks alike, the error of the lowest rank whose `work` failed.
 */
export function agree<T>(transport: Transport, purpose: string, work: () => T): T[] {
  const results: T[] = [];
  for (const [rank, outcome] of gatherJson(transport, purpose, attempt(work)).entries()) {
    if ('code' in outcome)
      throw new TrainerError(outcome.code, outcome.message, { rank, operation: purpose });
    results.push(outcome.value);
  }
  return results;
}

function attempt<T>(work: () => T): Outcome<T> {
  try {
    return { value: work() };
  } catch (error) {
    const { code, message } = asTrainerError(asStorageError(error));
    return { code, message };
  }
}

function gatherJson<T>(transport: Transport, purpose: string, mine: T): T[] {
  const bytes = Buffer.from(JSON.stringify(mine));
  const lengths = allGather(transport, { mine: Int32Array.of(bytes.length), purpose }).map(
    ([length]) => length,
  );
  // All-gather needs equal lengths: pad to the longest.
  const padded = Buffer.alloc(Math.max(...lengths));
  bytes.copy(padded);
  return allGather(transport, { mine: padded, purpose }).map((text, rank) =>
    JSON.parse(Buffer.from(text.subarray(0, lengths[rank])).toString()),
  );
}
