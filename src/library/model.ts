import type { RunConfig } from '../config/schema.js';
import type { Message } from '../data/template.js';
import type { Inference } from '../inference/inference.js';
import type { Sampling } from '../inference/sampling.js';
import type { DomainLoss } from '../rpc/generated/messages.js';

/** How to continue a text. */
export interface GenerateOptions extends Partial<Sampling> {
  /** Domain of the text, which decides the experts: one of `model.config.data.domains`, required if there are several. */
  readonly domain?: string;
  /** Tokens to add at most; 100 by default. */
  readonly maxTokens?: number;
  /** Texts that end the output; they are not part of it. */
  readonly stop?: readonly string[];
  /** The same seed gives the same text; 1 by default. */
  readonly seed?: number;
  /** Ends the text early; its reason is thrown. */
  readonly signal?: AbortSignal;
}

export interface EvaluateOptions {
  /** Sequences of each domain; by default the training run's validation sequences. */
  readonly sequences?: number;
  /** Folder of prepared datasets; `data` by default. */
  readonly dataDir?: string;
  /** Ends the preparation of the text; its reason is thrown. */
  readonly signal?: AbortSignal;
}

/** A model that is loaded into this process; it computes on the calling thread. */
export interface Model {
  /** Configuration of the run that saved the checkpoint. */
  readonly config: RunConfig;
  /** Step folder of the checkpoint. */
  readonly directory: string;
  readonly step: number;
  /**
   * Continues a text, or answers a conversation in the form that the domain was fine-tuned with, piece by piece. By default
   * it draws at temperature 0.8 from the 40 likeliest tokens. Between two pieces the event loop runs.
   *
   * @throws TrainerError `BAD_CONFIG` for an unknown domain, `BAD_INPUT` for a conversation in a domain without a template
   * @example
   * ```js
   * for await (const piece of model.generate('Once upon a time', { maxTokens: 50 })) process.stdout.write(piece);
   * ```
   */
  generate(
    prompt: string | readonly Message[],
    options?: GenerateOptions,
  ): AsyncGenerator<string, void, void>;
  /**
   * Computes the loss of each domain on the validation text of the training run, in nats per token.
   *
   * @throws TrainerError `BAD_CHECKPOINT` if the text has another tokenizer now, `NOT_FINITE` if a loss is NaN or infinite
   * @example
   * ```js
   * for (const { domain, loss, tokens } of await model.evaluate()) console.log(domain, Math.exp(loss), tokens);
   * ```
   */
  evaluate(options?: EvaluateOptions): Promise<DomainLoss[]>;
  /**
   * Computes the natural logarithm of the probability that `continuation` follows `context`.
   *
   * @throws TrainerError `BAD_INPUT` if both together have more tokens than the model reads
   */
  logLikelihood(
    context: string,
    continuation: string,
    options?: Pick<GenerateOptions, 'domain'>,
  ): Promise<number>;
}

/**
 * Loads the model of a checkpoint, whatever layout of processes saved it. The first load after an installation fetches
 * TensorFlow (`locmoe setup`) and says so on stderr.
 *
 * @param folder a step folder, or a run's folder for its newest valid checkpoint
 * @param warn called with the reason for each newer checkpoint that is passed over
 * @throws TrainerError `BAD_INPUT` if there is no checkpoint, `BAD_CHECKPOINT` if none is valid
 * @example
 * ```js
 * const model = await loadModel('runs/tiny-20260101-120000');
 * ```
 */
export async function loadModel(folder: string, warn: (line: string) => void = () => {}): Promise<Model> {
  await import('../local/quiet-libraries.js');
  const { resolveModel } = await import('../checkpoint/checkpoint.js');
  const { loadInference } = await import('../local/load-inference.js');
  return modelOf(await loadInference(resolveModel(folder, warn)));
}

function modelOf(inference: Inference): Model {
  const { config, checkpoint } = inference;
  const idOf = async (name: string | undefined) =>
    (await import('../local/load-inference.js')).domainId(config, name);
  return {
    config,
    directory: checkpoint.folder,
    step: checkpoint.manifest.step,
    async *generate(prompt, { domain, signal, stop = [], ...options } = {}) {
      const { generate } = await import('../inference/generate.js');
      const { setImmediate } = await import('node:timers/promises');
      const defaults = { temperature: 0.8, topK: 40, topP: 1, repetitionPenalty: 1, maxTokens: 100, seed: 1 };
      signal?.throwIfAborted();
      for (const piece of generate(inference, {
        ...defaults,
        ...options,
        stop,
        prompt,
        domain: await idOf(domain),
      })) {
        yield piece;
        await setImmediate();
        signal?.throwIfAborted();
      }
    },
    async evaluate({ sequences, dataDir = 'data', signal = new AbortController().signal } = {}) {
      const { openText, validationLosses } = await import('../local/checkpoint-text.js');
      const quiet = () => undefined;
      const dataset = await openText(inference, dataDir, { say: quiet, progress: quiet, signal });
      try {
        return await validationLosses(inference, dataset, sequences);
      } finally {
        dataset.close();
      }
    },
    async logLikelihood(context, continuation, { domain } = {}) {
      const { encodePair, logLikelihoods } = await import('../inference/log-likelihood.js');
      const { contextIds, continuationIds } = encodePair(inference.tokenizer, context, continuation);
      const tokenIds = [...contextIds, ...continuationIds];
      const { seqLen } = config.model;
      if (tokenIds.length > seqLen + 1) {
        const { TrainerError } = await import('../errors.js');
        throw new TrainerError(
          'BAD_INPUT',
          `context and continuation have ${tokenIds.length} tokens, and the model reads ${seqLen}`,
        );
      }
      const scored = { tokenIds, numScored: continuationIds.length, domain: await idOf(domain) };
      return logLikelihoods(inference, [scored])[0]!.sum;
    },
  };
}
