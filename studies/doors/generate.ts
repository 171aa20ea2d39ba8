import { setImmediate } from 'node:timers/promises';
import { TrainerError } from 'locmoe/internal/errors';
import { type Inference, openInference } from 'locmoe/internal/inference/inference';
import { likeliest } from 'locmoe/internal/inference/sampling';
import { median } from '../../packages/bench/src/statistics.js';
import type { DoorPart } from './figures.js';
import { trained } from './trained.js';

/** Greedy text by one of both ways, with its time. */
interface Timed {
  readonly tokenIds: readonly number[];
  readonly tokensPerS: number;
}

/** Tokens a second with the key/value cache and without it, one sequence up to the end of the window. */
export const generatePart: DoorPart = async (context) => {
  const { checkpoint, name } = await trained(context);
  const inference = openInference(checkpoint);
  const prompt = [inference.tokenizer.endOfText, ...inference.tokenizer.encode('The')];
  const numTokens = inference.config.model.seqLen - prompt.length;
  const repeats = context.quick ? 3 : 15;
  const cached: number[] = [];
  const uncached: number[] = [];
  // The first turn warms up; turns of both alternate, so that other load meets both.
  for (let turn = 0; turn <= repeats; turn++) {
    await setImmediate();
    context.signal.throwIfAborted();
    const [fast, slow] = [
      withCache(inference, prompt, numTokens),
      withoutCache(inference, prompt, numTokens),
    ];
    if (fast.tokenIds.join() !== slow.tokenIds.join())
      throw new TrainerError('INTERNAL', 'the text with the cache differs from the one without');
    if (turn === 0) continue;
    cached.push(fast.tokensPerS);
    uncached.push(slow.tokensPerS);
  }
  inference.model.dispose();
  const [fast, slow] = [median(cached), median(uncached)];
  return {
    figures: { generateTokensPerS: fast, generateSpeedupByCache: fast / slow },
    notes:
      `${name}, greedy, ${numTokens} tokens after ${prompt.length}, the same text both ways; ` +
      `without the cache ${slow.toFixed(0)} tokens/s. Median of ${repeats}.`,
  };
};

function withCache({ model, decoder }: Inference, prompt: readonly number[], numTokens: number): Timed {
  return timed(numTokens, () => {
    const begun = decoder.begin([{ tokenIds: prompt, domain: 0, maxTokens: numTokens }]);
    const { sequence, hiddenSD } = begun[0]!;
    let logits = decoder.logitsOf(hiddenSD.subarray(-model.config.model.dModel))[0]!;
    for (let i = 1; i < numTokens; i++) logits = decoder.extend([sequence], [likeliest(logits, 1)[0]!])[0]!;
    return [...sequence.tokenIds, likeliest(logits, 1)[0]!];
  });
}

function withoutCache({ model }: Inference, prompt: readonly number[], numTokens: number): Timed {
  return timed(numTokens, () => {
    const tokenIds = [...prompt];
    for (let i = 0; i < numTokens; i++)
      tokenIds.push(likeliest(model.logits(Int32Array.from(tokenIds), 0), 1)[0]!);
    return tokenIds;
  });
}

function timed(numTokens: number, generate: () => readonly number[]): Timed {
  const started = performance.now();
  const tokenIds = generate();
  return { tokenIds, tokensPerS: (1000 * numTokens) / (performance.now() - started) };
}
