import type { RunConfig } from '../config/schema.js';
import type { ValidationBatch } from '../data/batch.js';
import type { Loader } from '../data/loader.js';
import type { Tokens } from '../model/language-model.js';
import { expertsOfDomain } from '../routing/index.js';

// Shapes: B sequences of a rank's micro-batch.

/** A rank's micro-batch, and the places of its sequences among those of all ranks. */
export interface PlacedBatch {
  readonly batch: Tokens;
  /** Index of each sequence in the global batch, or in a validation, length B. */
  readonly sequences: ArrayLike<number>;
  /** Position of each sequence among those with the same open experts, length B. */
  readonly turns: ArrayLike<number>;
}

/**
 * Determines the places of the sequences of a step.
 *
 * @param microBatches numbers of the step's micro-batches, counted over the whole run
 */
export function placed(
  { data, moe }: RunConfig,
  loader: Pick<Loader, 'domainsForStep' | 'placesForStep'>,
  microBatches: readonly number[],
  batches: readonly Tokens[],
): PlacedBatch[] {
  const openExperts = expertsOfDomain(data.domains.length, moe);
  // Domains may share a group of experts.
  const numOfGroup = new Map<number, number>();
  let first = 0;
  return microBatches.map((microBatch, i) => {
    const turnsOfAll = Array.from(loader.domainsForStep(microBatch), (domain) => {
      const group = openExperts[domain]![0]!;
      const turn = numOfGroup.get(group) ?? 0;
      numOfGroup.set(group, turn + 1);
      return turn;
    });
    const inBatch = [...new Set(loader.placesForStep(microBatch).map(({ sequence }) => sequence))];
    const sequences = inBatch.map((sequence) => first + sequence);
    first += turnsOfAll.length;
    return { batch: batches[i]!, sequences, turns: inBatch.map((sequence) => turnsOfAll[sequence]!) };
  });
}

/** Places the sequences of a validation, where a domain's sequences are consecutive. */
export function validationPlaced(batches: readonly ValidationBatch[]): PlacedBatch[] {
  return batches.map((batch) => ({ batch, sequences: batch.sequences, turns: batch.sequences }));
}
