import { emptyRouteTable, type RouteTable } from '@locmoe/run-format/routes-file';
import type { ValidationBatch } from '../data/batch.js';
import { documentsOf } from '../data/document-ends.js';
import { tf } from '../ops/tensorflow.js';
import { addRoutes, type RouteSequence } from '../routing/choices/route-rows.js';
import { expertsOfDomain } from '../routing/index.js';
import type { LanguageModel } from './language-model.js';

interface ValidationRecording {
  readonly model: LanguageModel;
  /** Step of the model. */
  readonly step: number;
  /** Ends of the documents (documentEnds), by domain id. */
  readonly endsOfDomain: readonly Float64Array[];
  /** Bytes of a token's activations when they are sent to another rank. */
  readonly rowBytes: number;
}

/** Routes a batch of validation text as a validation does; a collective. */
export function recordValidation(
  { model, step, endsOfDomain, rowBytes }: ValidationRecording,
  batch: ValidationBatch,
): RouteTable {
  const { moe, data } = model.config;
  const openExperts = expertsOfDomain(data.domains.length, moe);
  const table = emptyRouteTable();
  const sequences = [...batch.domains].flatMap((domain, row): RouteSequence[] => {
    if (batch.valid[row] === 0) return [];
    return [
      {
        row,
        sequence: batch.sequences[row]!,
        domain: data.domains[domain]!,
        openExperts: openExperts[domain]!,
        length: batch.seqLen,
        documents: documentsOf(endsOfDomain[domain]!, batch, row, batch.ranges[row]!),
      },
    ];
  });
  const recorded = {
    step,
    topology: model.communicator.topology,
    moe,
    sequences,
    seqLen: batch.seqLen,
    tokenIdsT: batch.tokenIds,
    positionsT: batch.packed?.positions,
    rowBytes,
  };
  tf.tidy(() => {
    model.hidden(batch, {
      training: false,
      wantsScores: true,
      inspect: (layer, _, decision) => addRoutes(table, { ...recorded, layer }, decision),
    });
  });
  return table;
}
