import { resolveCheckpoint } from 'locmoe/internal/checkpoint/checkpoint';
import { openDataset } from 'locmoe/internal/data/dataset';
import { type Inference, openInference } from 'locmoe/internal/inference/inference';
import { likeliest } from 'locmoe/internal/inference/sampling';
import { median } from '../../packages/bench/src/statistics.js';
import { validationBatch } from '../kit/validation-batch.js';
import type { GenerateAnswer, GenerateRequest } from './use.js';

// Reads prompts and continues them greedily, in a process of its own, so that its memory can be measured.

/**
 * Largest difference between logits that rounding explains where the same sums are computed in two orders.
 */
const TOLERANCE = 1e-3;

process.once('message', (request: GenerateRequest) => {
  process.send!(answer(request), () => process.disconnect());
});

function answer({ checkpoint, datasetDir, prompts, newTokens, turns }: GenerateRequest): GenerateAnswer {
  const inference = openInference(resolveCheckpoint(checkpoint, () => undefined));
  const dataset = openDataset(datasetDir);
  const text = validationBatch(inference, dataset, 1).tokenIds;
  dataset.close();
  const generate = (promptTokens: number) => generated(inference, text.subarray(0, promptTokens), newTokens);
  // The first turn is a warm-up, and checks that the cache does not change the results.
  for (const promptTokens of prompts) assertSame(inference, generate(promptTokens));
  const timed = Array.from({ length: turns }, () => prompts.map(generate));
  return {
    prompts: prompts.map((promptTokens, i) => ({
      promptTokens,
      prefillMs: median(timed.map((turn) => turn[i]!.prefillMs)),
      tokensPerS: median(timed.map((turn) => turn[i]!.tokensPerS)),
    })),
    peakBytes: 1024 * process.resourceUsage().maxRSS,
  };
}

interface Generated {
  readonly prefillMs: number;
  readonly tokensPerS: number;
  /** The prompt and the tokens generated after it. */
  readonly tokenIds: readonly number[];
  /** Logits of the token that would come next. */
  readonly logits: Float32Array;
}

function generated({ model, decoder }: Inference, prompt: Int32Array, newTokens: number): Generated {
  const started = performance.now();
  const begun = decoder.begin([{ tokenIds: [...prompt], domain: 0, maxTokens: newTokens }]);
  const { sequence, hiddenSD } = begun[0]!;
  let logits = decoder.logitsOf(hiddenSD.subarray(-model.config.model.dModel))[0]!;
  const read = performance.now();
  for (let i = 0; i < newTokens; i++) logits = decoder.extend([sequence], [likeliest(logits, 1)[0]!])[0]!;
  const tokensPerS = (1000 * newTokens) / (performance.now() - read);
  return { prefillMs: read - started, tokensPerS, tokenIds: sequence.tokenIds, logits };
}

/** @throws Error if a pass over all tokens gives other logits */
function assertSame({ model }: Inference, { tokenIds, logits }: Generated): void {
  const whole = model.logits(Int32Array.from(tokenIds), 0);
  const difference = logits.reduce((most, value, i) => Math.max(most, Math.abs(value - whole[i]!)), 0);
  if (!(difference <= TOLERANCE))
    throw new Error(`logits differ by ${difference} with the cache; nothing is timed`);
}
