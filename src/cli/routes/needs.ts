import { writeFileSync } from 'node:fs';
import { createLoader } from '../../data/loader.js';
import { TrainerError } from '../../errors.js';
import { formatNumberOf, formatShare, formatTable } from '../../format.js';
import { encodeNeeds, type NeedsFile } from '../../routing/needs-file.js';
import { loadInference, openCheckpoint } from '../load-inference.js';
import { assertNewFile } from '../new-file.js';
import { openText } from '../prepare-text.js';

export interface NeedsOptions {
  readonly checkpoint: string;
  /** Share of the tokens that keep their experts. */
  readonly share: number;
  readonly maxTokens: number;
  readonly dataDir: string;
  readonly output: string;
}

/** Measures which token ids need experts, on training text, and writes the list that `moe.needs` takes. */
export async function measureNeeds(options: NeedsOptions): Promise<void> {
  const { share, maxTokens, output } = options;
  assertNewFile('--output', output);
  const opened = openCheckpoint(options.checkpoint);
  if (opened.manifest.config.model.numSparseLayers === 0)
    throw new TrainerError(
      'BAD_INPUT',
      `checkpoint ${opened.folder}: has no sparse layer, so no experts to drop`,
    );
  const inference = await loadInference(opened);
  const { config, model } = inference;
  const {
    model: { vocabSize, seqLen },
    train,
    data,
    seed,
  } = config;
  const dataset = await openText(inference, options.dataDir);
  const { gainsOfIds, idsInNeed } = await import('../../evaluation/needs.js');
  const globalBatch = train.globalBatch / train.microBatches;
  const loader = createLoader({
    dataset,
    weights: data.weights,
    seed,
    globalBatch,
    seqLen,
    rank: 0,
    worldSize: 1,
  });
  const numBatches = Math.ceil(maxTokens / (globalBatch * seqLen));
  const gains = gainsOfIds(
    model,
    Array.from({ length: numBatches }, (_, step) => loader.globalBatchForStep(step)),
  );
  dataset.close();
  const layers = [...gains].map(([layer, each]) => ({ layer, gains: each, ids: idsInNeed(each, share) }));
  const file: NeedsFile = {
    version: 1,
    vocabSize,
    share: layers.reduce((sum, { ids }) => sum + ids.share, 0) / layers.length,
    layers: Object.fromEntries(layers.map(({ layer, ids }) => [layer, encodeNeeds(ids.hasExpertV)])),
  };
  writeFileSync(output, `${JSON.stringify(file)}\n`, { flag: 'wx' });
  const rows = layers.map(({ layer, ids }) => [
    String(layer),
    String(ids.hasExpertV.filter((has) => has).length),
    formatShare(ids.share),
    formatShare(ids.ofGains),
  ]);
  console.log(
    `${output}: ids of ${vocabSize} that keep their experts, by what these were worth on ${formatNumberOf(numBatches * globalBatch * seqLen, 'token')}`,
  );
  console.log(formatTable([['layer', 'ids', 'tokens', 'of what experts are worth'], ...rows]));
}
