import { allGather } from '../collectives/all-gather.js';
import type { Transport } from '../collectives/transport.js';
import { countedTargets, type ValidationBatch } from '../data/batch.js';
import type { LanguageModel, LossOptions } from '../model/language-model.js';
import type { DecisionChange } from '../model/moe-layer.js';
import { tf } from '../ops/tensorflow.js';
import type { DomainLoss } from '../rpc/generated/messages.js';

/** Changes to the model's routing during a validation. */
export interface ValidationOptions extends Pick<LossOptions, 'gateControl' | 'change'> {
  /** Changes of the routing decisions, by batch. */
  readonly changes?: readonly DecisionChange[] | undefined;
}

/**
 * Returns the mean cross-entropy of each domain over the tokens that count in the validation batches of all ranks, in
 * nats per token. A collective: all ranks get the same numbers.
 */
export function validate(
  model: LanguageModel,
  transport: Transport,
  batches: readonly ValidationBatch[],
  domains: readonly string[],
  { changes, ...options }: ValidationOptions = {},
): DomainLoss[] {
  // Sums and counts of each domain, in double: [domain][sum, tokens].
  const mine = new Float64Array(2 * domains.length);
  for (const [i, batch] of batches.entries()) {
    const losses = sequenceLosses(model, batch, changes === undefined ? options : { change: changes[i] });
    const counts = countedTargets(batch);
    losses.forEach((loss, sequence) => {
      if (batch.valid[sequence] === 0) return;
      mine[2 * batch.domains[sequence]!]! += loss * counts[sequence]!;
      mine[2 * batch.domains[sequence]! + 1]! += counts[sequence]!;
    });
  }
  const all = allGather(transport, { mine, purpose: 'validation' });
  return domains.map((domain, id) => {
    const sum = all.reduce((total, rank) => total + rank[2 * id]!, 0);
    const tokens = all.reduce((total, rank) => total + rank[2 * id + 1]!, 0);
    return { domain, loss: sum / tokens, tokens };
  });
}

function sequenceLosses(
  model: LanguageModel,
  batch: ValidationBatch,
  options: Pick<LossOptions, 'gateControl' | 'change'>,
): Float64Array {
  tf.engine().startScope();
  try {
    return model.loss(batch, { ...options, training: false }).sequenceLosses;
  } finally {
    tf.engine().endScope();
  }
}
