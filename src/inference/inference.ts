import type { Checkpoint } from '../checkpoint/checkpoint.js';
import { soloTransport } from '../collectives/solo-transport.js';
import type { RunConfig } from '../config/schema.js';
import type { ValidationBatch } from '../data/batch.js';
import { loadTokenizer, type Tokenizer } from '../data/tokenizer.js';
import { TrainerError } from '../errors.js';
import { PanguSigma } from '../model/pangu-sigma.js';
import { CounterRandom } from '../parameters/counter-random.js';
import type { DomainLoss } from '../rpc/messages.js';
import { loadModel } from '../worker/state.js';
import { validate } from '../worker/validation.js';

/** A checkpoint's model with all its experts in this process, and its tokenizer. */
export interface Inference {
  readonly checkpoint: Checkpoint;
  readonly config: RunConfig;
  readonly tokenizer: Tokenizer;
  readonly model: PanguSigma;
}

export interface GenerateOptions {
  readonly prompt: string;
  /** Domain id: position in data.domains. */
  readonly domain: number;
  readonly maxTokens: number;
  /** 0 is greedy decoding. */
  readonly temperature: number;
  readonly topK: number;
  readonly seed: number;
}

/** @throws TrainerError `BAD_CHECKPOINT` if a tensor is missing or damaged */
export function openInference(checkpoint: Checkpoint): Inference {
  const { config } = checkpoint.manifest;
  const model = new PanguSigma(config, soloTransport());
  loadModel(model, checkpoint);
  return { checkpoint, config, tokenizer: loadTokenizer(checkpoint.tokenizerFile), model };
}

/** Continues the prompt until the end-of-text token or `maxTokens`; returns only the new text. */
export function generateText({ model, tokenizer, config }: Inference, options: GenerateOptions): string {
  const prompt = tokenizer.encode(options.prompt);
  // In training every text follows an end-of-text token.
  const ids = [tokenizer.endOfText, ...prompt];
  const first = ids.length;
  const random = new CounterRandom(options.seed, 'sample');
  while (ids.length - first < options.maxTokens) {
    const window = Int32Array.from(ids.slice(-config.model.seqLen));
    const next = sample(model.logits(window, options.domain), options, random.uniform(ids.length));
    if (next === tokenizer.endOfText) break;
    ids.push(next);
  }
  return tokenizer.decode(ids.slice(first));
}

/**
 * Loss of each domain, in nats per token, over the validation batches of a loader with one rank.
 *
 * @throws TrainerError `NOT_FINITE` if one is NaN or infinite
 */
export function evaluate(
  { model, config, checkpoint }: Omit<Inference, 'tokenizer'>,
  batches: readonly ValidationBatch[],
): DomainLoss[] {
  const losses = validate(model, soloTransport(), batches, config.data.domains);
  for (const { domain, loss } of losses)
    if (!Number.isFinite(loss))
      throw new TrainerError(
        'NOT_FINITE',
        `checkpoint ${checkpoint.folder}: the loss of domain ${domain} is ${loss}; its weights are of no ` +
          'use, take an earlier one',
      );
  return losses;
}

function sample(logits: Float32Array, { temperature, topK }: GenerateOptions, uniform: number): number {
  const best = Array.from(logits.keys())
    .sort((a, b) => logits[b] - logits[a])
    .slice(0, temperature === 0 ? 1 : topK);
  const weights = best.map((id) => Math.exp((logits[id] - logits[best[0]]) / (temperature || 1)));
  let left = uniform * weights.reduce((sum, weight) => sum + weight, 0);
  for (let i = 0; i < best.length; i++) {
    left -= weights[i];
    if (left < 0) return best[i];
  }
  return best[0];
}
