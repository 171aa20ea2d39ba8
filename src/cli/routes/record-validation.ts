import { emptyRouteTable, type RouteTable } from '@locmoe/run-format/routes-file';
import type { ValidationBatch } from '../../data/batch.js';
import { documentsOf } from '../../data/document-ends.js';
import type { Inference } from '../../inference/inference.js';
import { tf } from '../../ops/tensorflow.js';
import { addRoutes, type RouteSequence } from '../../routing/choices/route-rows.js';
import { expertsOfDomain } from '../../routing/index.js';

/**
 * Routes validation text in the batches of a validation.
 *
 * @param endsOfDomain ends of the documents (documentEnds), by domain id
 * @returns the routes, a table for each batch
 */
export function* recordValidation(
  { model, config, checkpoint }: Inference,
  endsOfDomain: readonly Float64Array[],
  batches: readonly ValidationBatch[],
): Generator<RouteTable> {
  const openExperts = expertsOfDomain(config.data.domains.length, config.moe);
  for (const batch of batches) {
    const table = emptyRouteTable();
    const sequences = [...batch.domains].flatMap((domain, row): RouteSequence[] => {
      if (batch.valid[row] === 0) return [];
      return [
        {
          row,
          sequence: batch.sequences[row]!,
          domain: config.data.domains[domain]!,
          openExperts: openExperts[domain]!,
          length: batch.seqLen,
          documents: documentsOf(endsOfDomain[domain]!, batch, row, batch.ranges[row]!),
        },
      ];
    });
    const recorded = {
      step: checkpoint.manifest.step,
      topology: model.communicator.topology,
      moe: config.moe,
      sequences,
      seqLen: batch.seqLen,
      tokenIdsT: batch.tokenIds,
      positionsT: batch.packed?.positions,
      rowBytes: 4 * config.model.dModel,
    };
    tf.tidy(() => {
      model.hidden(batch, {
        training: false,
        wantsScores: true,
        inspect: (layer, _, decision) => addRoutes(table, { ...recorded, layer }, decision),
      });
    });
    yield table;
  }
}
