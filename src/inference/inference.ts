import type { Checkpoint, StoredCheckpoint } from '../checkpoint/checkpoint.js';
import { CheckpointExperts } from '../checkpoint/checkpoint-experts.js';
import { mergedCheckpoint } from '../checkpoint/merged.js';
import { soloTransport } from '../collectives/solo-transport.js';
import type { RunConfig } from '../config/schema.js';
import type { ValidationBatch } from '../data/batch.js';
import { loadTokenizer, type Tokenizer } from '../data/tokenizer/tokenizer.js';
import { TrainerError } from '../errors.js';
import { LanguageModel } from '../model/language-model.js';
import { allSpecs } from '../model/specs.js';
import type { SlotOptions } from '../parameters/expert-slots.js';
import type { DomainLoss } from '../rpc/generated/messages.js';
import { loadModel } from '../worker/state.js';
import { type ValidationOptions, validate } from '../worker/validation.js';
import { Decoder } from './decoder.js';

/** A checkpoint's model as one rank, and its tokenizer. */
export interface Inference {
  readonly checkpoint: Checkpoint;
  readonly config: RunConfig;
  readonly tokenizer: Tokenizer;
  readonly model: LanguageModel;
  /** Created at the first access. */
  readonly decoder: Decoder;
}

/** @throws TrainerError `BAD_CHECKPOINT` if a tensor is missing or damaged */
export function openInference(trained: Checkpoint): Inference {
  const checkpoint = mergedCheckpoint(trained);
  const { config } = checkpoint.manifest;
  const model = new LanguageModel(config, soloTransport(), expertsToRead(trained));
  loadModel(model, checkpoint);
  let decoder: Decoder | undefined;
  return {
    checkpoint,
    config,
    tokenizer: loadTokenizer(checkpoint.tokenizerFile, config.data.endOfText),
    model,
    get decoder() {
      decoder ??= new Decoder(model);
      return decoder;
    },
  };
}

/**
 * Returns the slots for experts that were kept in a file in training: they are read from the checkpoint on demand, as
 * memory might not hold all of them. Null if all experts are loaded, as experts with low-rank pairs to merge must be.
 */
function expertsToRead(checkpoint: Checkpoint | StoredCheckpoint): SlotOptions | null {
  const { config } = checkpoint.manifest;
  const { kind, budgetMB } = config.moe.expertStorage;
  if (kind === 'memory' || config.train.lora?.on.includes('experts') || !('locate' in checkpoint))
    return null;
  const specs = allSpecs(config).filter(({ placement }) => placement === 'expert');
  return { budgetBytes: 1e6 * budgetMB, storage: new CheckpointExperts(checkpoint, specs) };
}

/**
 * Computes the loss of each domain, in nats per token, over the validation batches of a loader with one rank.
 *
 * @throws TrainerError `NOT_FINITE` if one is NaN or infinite
 */
export function evaluate(
  { model, config, checkpoint }: Omit<Inference, 'tokenizer' | 'decoder'>,
  batches: readonly ValidationBatch[],
  options: ValidationOptions = {},
): DomainLoss[] {
  const losses = validate(model, soloTransport(), batches, config.data.domains, options);
  for (const { domain, loss } of losses)
    if (!Number.isFinite(loss))
      throw new TrainerError(
        'NOT_FINITE',
        `checkpoint ${checkpoint.folder}: the loss of domain ${domain} is ${loss}; its weights are of no ` +
          'use, take an earlier one',
      );
  return losses;
}
