import { resolveCheckpoint } from 'locmoe/internal/checkpoint/checkpoint';
import { openDataset } from 'locmoe/internal/data/dataset';
import { openInference } from 'locmoe/internal/inference/inference';
import { likeliest } from 'locmoe/internal/inference/sampling';
import { median } from '../../packages/bench/src/statistics.js';
import { validationBatch } from '../kit/validation-batch.js';
import type { GenerateAnswer, GenerateRequest } from './use.js';

// Reads a prompt and continues it greedily, in a process whose memory is its own.

/** As rounding leaves them apart, in two orders of the same sums. */
const TOLERANCE = 1e-3;

process.once('message', (request: GenerateRequest) => {
  process.send!(answer(request), () => process.disconnect());
});

function answer({ checkpoint, datasetDir, promptTokens, newTokens, turns }: GenerateRequest): GenerateAnswer {
  const inference = openInference(resolveCheckpoint(checkpoint, () => undefined));
  const dataset = openDataset(datasetDir);
  const tokenIds = [...validationBatch(inference, dataset, 1).tokenIds.subarray(0, promptTokens)];
  dataset.close();
  const { model, decoder } = inference;
  const generate = () => {
    const started = performance.now();
    const [begun] = decoder.begin([{ tokenIds, domain: 0, maxTokens: newTokens }]);
    let logits = decoder.logitsOf(begun!.hiddenSD.subarray(-model.config.model.dModel))[0]!;
    const read = performance.now();
    for (let i = 0; i < newTokens; i++)
      logits = decoder.extend([begun!.sequence], [likeliest(logits, 1)[0]!])[0]!;
    const tokensPerS = (1000 * newTokens) / (performance.now() - read);
    return { prefillMs: read - started, tokensPerS, logits, sequence: begun!.sequence };
  };
  // The first turn warms up, and shows that the cache does not change what is computed.
  const { logits, sequence } = generate();
  const whole = model.logits(Int32Array.from(sequence.tokenIds), 0);
  const difference = logits.reduce((most, value, i) => Math.max(most, Math.abs(value - whole[i]!)), 0);
  if (!(difference <= TOLERANCE))
    throw new Error(`logits differ by ${difference} with the cache; nothing is timed`);
  const timed = Array.from({ length: turns }, generate);
  return {
    prefillMs: median(timed.map(({ prefillMs }) => prefillMs)),
    tokensPerS: median(timed.map(({ tokensPerS }) => tokensPerS)),
    peakBytes: 1024 * process.resourceUsage().maxRSS,
  };
}
