import { openCheckpoint } from 'locmoe/internal/checkpoint/checkpoint';
import { committedFolders } from 'locmoe/internal/checkpoint/folders';
import { type Batch, countedTargets } from 'locmoe/internal/data/batch';
import type { Dataset } from 'locmoe/internal/data/dataset';
import { type Inference, openInference } from 'locmoe/internal/inference/inference';
import { tf } from 'locmoe/internal/ops/tensorflow';
import { validationBatch } from '../kit/validation-batch.js';

/** Figures of the validation text under one rule of which tokens an expert keeps. */
export interface RuleFigures {
  /** Cross-entropy in nats per token. */
  readonly loss: number;
  /** Experts that work on a token, mean over tokens and sparse layers. */
  readonly expertsPerToken: number;
}

/** Figures under the causal rule of validation, and under the rule of training, which drops tokens depending on the batch. */
export interface ByRule {
  readonly causal: RuleFigures;
  readonly training: RuleFigures;
}

/** Sequences evaluated at once; the share of them that a capacity keeps does not depend on their number. */
const BATCH_SEQUENCES = 64;

/**
 * Evaluates the last checkpoint of a run on all its validation text, in this process and in float32. Domains alternate within a
 * batch as they do in training: by domain, experts that keep who comes first would serve the first domain alone.
 *
 * @throws TrainerError `BAD_CHECKPOINT` if the checkpoint is damaged
 */
export function evaluateByRule(checkpointsDir: string, dataset: Dataset): ByRule {
  const inference = openInference(openCheckpoint(committedFolders(checkpointsDir)[0]!));
  try {
    const batches = validationBatches(inference, dataset);
    // The causal one first, as the rule of training moves the router's state.
    const causal = figuresOf(inference, batches, false);
    return { causal, training: figuresOf(inference, batches, true) };
  } finally {
    inference.model.dispose();
  }
}

function figuresOf({ model }: Inference, batches: readonly Batch[], training: boolean): RuleFigures {
  let [loss, numCounted, kept, numTokens] = [0, 0, 0, 0];
  for (const batch of batches) {
    tf.engine().startScope();
    try {
      const { sequenceLosses } = model.loss(batch, {
        training,
        inspect: (_layer, xTD, { keptE }) => {
          kept += keptE.reduce((sum, count) => sum + count, 0);
          numTokens += xTD.shape[0];
        },
      });
      countedTargets(batch).forEach((count, sequence) => {
        loss += count * sequenceLosses[sequence]!;
        numCounted += count;
      });
    } finally {
      tf.engine().endScope();
    }
  }
  return { loss: loss / numCounted, expertsPerToken: kept / numTokens };
}

function validationBatches(inference: Inference, dataset: Dataset): Batch[] {
  const all = validationBatch(inference, dataset, inference.config.train.validationSequences);
  const rows = alternating(all.domains, all.valid);
  return Array.from({ length: Math.ceil(rows.length / BATCH_SEQUENCES) }, (_, i) =>
    rowsOf(all, rows.slice(i * BATCH_SEQUENCES, (i + 1) * BATCH_SEQUENCES)),
  );
}

/** Valid rows in an order in which every stretch has all domains, each by its share. */
export function alternating(domains: Int32Array, valid: Uint8Array): number[] {
  const rowsOfDomain = new Map<number, number[]>();
  domains.forEach((domain, row) => {
    if (valid[row] === 1) rowsOfDomain.set(domain, [...(rowsOfDomain.get(domain) ?? []), row]);
  });
  return [...rowsOfDomain.values()]
    .flatMap((rows) => rows.map((row, i) => ({ row, place: (i + 0.5) / rows.length })))
    .sort((a, b) => a.place - b.place)
    .map(({ row }) => row);
}

function rowsOf({ seqLen, tokenIds, targets, domains, packed }: Batch, rows: readonly number[]): Batch {
  const ofRow = <T extends Int32Array | Uint8Array>(values: T, row: number) =>
    values.subarray(row * seqLen, (row + 1) * seqLen);
  const take = (values: Int32Array) => Int32Array.from(rows.flatMap((row) => [...ofRow(values, row)]));
  const batch = {
    numSequences: rows.length,
    seqLen,
    tokenIds: take(tokenIds),
    targets: take(targets),
    domains: Int32Array.from(rows, (row) => domains[row]!),
  };
  if (packed === undefined) return batch;
  const counted = Uint8Array.from(rows.flatMap((row) => [...ofRow(packed.counted, row)]));
  const numCounted = counted.reduce((sum, each) => sum + each, 0);
  return { ...batch, packed: { positions: take(packed.positions), counted, numCounted } };
}
