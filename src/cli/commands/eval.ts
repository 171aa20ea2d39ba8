import { availableParallelism } from 'node:os';
import path from 'node:path';
import type { Command } from 'commander';
import { configAtHand, resolveCheckpoint } from '../../checkpoint/checkpoint.js';
import { CORPUS_DIR } from '../../data/corpora.js';
import { createLoader } from '../../data/loader.js';
import { prepareAside } from '../../data/prepare-aside.js';
import { TrainerError } from '../../errors.js';
import { formatCount, formatTable } from '../../format.js';
import { preparationViewOn } from '../preparation-view.js';
import { wholeNumber } from './options.js';

interface EvalOptions {
  readonly checkpoint: string;
  readonly sequences: number;
  readonly dataDir: string;
  readonly json?: boolean;
}

/** `locmoe eval`: loss and perplexity by domain on the validation text. */
export function evalCommand(command: Command): void {
  command
    .requiredOption('--checkpoint <dir>', 'a step folder, or a run folder for its newest checkpoint')
    .option(
      '--sequences <n>',
      'sequences of each domain, evenly spread over its validation text',
      wholeNumber(1),
      64,
    )
    .option('--data-dir <dir>', 'folder for prepared datasets', 'data')
    .option('--json', 'print JSON')
    .action(evaluateCheckpoint);
}

async function evaluateCheckpoint(options: EvalOptions): Promise<void> {
  // Alone on its machine, with large batches.
  process.env.OMP_NUM_THREADS ??= String(availableParallelism());
  const { evaluate, openInference } = await import('../../inference/inference.js');
  const inference = openInference(
    resolveCheckpoint(options.checkpoint, (warning) => console.error(`locmoe: ${warning}`)),
  );
  const { config, checkpoint } = inference;
  const view = preparationViewOn(process.stderr);
  const dataset = await prepareAside({
    ...configAtHand(checkpoint).data,
    dataDir: path.resolve(options.dataDir),
    corpusDir: CORPUS_DIR,
    vocabSize: config.model.vocabSize,
    modelTokenizer: checkpoint.tokenizerFile,
    ...{ log: view.say, progress: view.progress },
  });
  if (dataset.tokenizerSha256 !== checkpoint.manifest.tokenizerSha256)
    throw new TrainerError(
      'BAD_CHECKPOINT',
      `checkpoint ${checkpoint.folder} was trained with tokenizer ${checkpoint.manifest.tokenizerSha256.slice(0, 12)}, the data in ${dataset.dir} uses ${dataset.tokenizerSha256.slice(0, 12)}`,
    );
  const loader = createLoader({
    dataset,
    weights: config.data.weights,
    seed: config.seed,
    globalBatch: config.train.globalBatch / config.train.microBatches,
    seqLen: config.model.seqLen,
    rank: 0,
    worldSize: 1,
  });
  const domains = evaluate(inference, loader.validationBatches(options.sequences));
  dataset.close();
  if (options.json) {
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
