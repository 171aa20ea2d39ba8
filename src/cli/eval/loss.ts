import { availableParallelism } from 'node:os';
import { createLoader } from '../../data/loader.js';
import { formatCount, formatTable } from '../../format.js';
import { loadInference } from '../load-inference.js';
import { openCheckpoint, openText } from './open.js';

export interface LossOptions {
  readonly checkpoint: string;
  readonly sequences: number;
  readonly dataDir: string;
  readonly json: boolean;
}

/** Loss and perplexity by domain on the validation text. */
export async function evaluateLoss({ sequences, dataDir, json, ...options }: LossOptions): Promise<void> {
  const opened = openCheckpoint(options.checkpoint);
  // Alone on its machine, with large batches.
  process.env.OMP_NUM_THREADS ??= String(availableParallelism());
  const inference = await loadInference(opened);
  const { config, checkpoint } = inference;
  const dataset = await openText(inference, dataDir);
  const loader = createLoader({
    dataset,
    weights: config.data.weights,
    seed: config.seed,
    globalBatch: config.train.globalBatch / config.train.microBatches,
    seqLen: config.model.seqLen,
    rank: 0,
    worldSize: 1,
  });
  const { evaluate } = await import('../../inference/inference.js');
  const domains = evaluate(inference, loader.validationBatches(sequences));
  dataset.close();
  if (json) {
    console.log(JSON.stringify({ checkpoint: checkpoint.folder, step: checkpoint.manifest.step, domains }));
    return;
  }
  const rows = domains.map(({ domain, loss, tokens }, id) => [
    domain,
    loss.toFixed(4),
    Math.exp(loss).toFixed(2),
    dataset.domains[id].validationEntropy.toFixed(4),
    formatCount(tokens),
  ]);
  console.log(`${checkpoint.folder}, step ${checkpoint.manifest.step}`);
  console.log(formatTable([['domain', 'loss', 'perplexity', 'unigram', 'tokens'], ...rows]));
}
