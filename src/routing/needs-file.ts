import { z } from 'zod';
import { positive, share } from './numeric-fields.js';

// Shapes: V vocabulary.

/** Which token ids have an expert: `moe.needs`, and the file that `locmoe routes needs` writes. */
export const needsSchema = z.strictObject({
  version: z.literal(1),
  vocabSize: positive,
  share: share.describe('share of the tokens whose ids have an expert, in the text that was measured'),
  layers: z
    .record(z.string(), z.string().regex(/^[A-Za-z0-9+/]*={0,2}$/))
    .describe(
      'a bit for each token id, the lowest of a byte first, in base64, by the index of a sparse layer among all layers',
    ),
});

export type NeedsFile = z.output<typeof needsSchema>;

/** @param hasExpertV whether each token id has an expert, length V */
export function encodeNeeds(hasExpertV: readonly boolean[]): string {
  const bits = Buffer.alloc(Math.ceil(hasExpertV.length / 8));
  hasExpertV.forEach((has, id) => {
    if (has) bits[id >> 3]! |= 1 << (id & 7);
  });
  return bits.toString('base64');
}

/** Whether each token id has an expert in a layer, length V. */
export function decodeNeeds({ vocabSize, layers }: NeedsFile, layer: number): boolean[] {
  const bits = Buffer.from(layers[layer]!, 'base64');
  return Array.from({ length: vocabSize }, (_, id) => ((bits[id >> 3]! >> (id & 7)) & 1) === 1);
}

/** Says why a model cannot have such a list; null if it can. */
export function needsProblem(
  { vocabSize, layers }: NeedsFile,
  model: { readonly vocabSize: number; readonly sparseLayers: readonly number[] },
): string | null {
  if (vocabSize !== model.vocabSize)
    return `is for a vocabulary of ${vocabSize}, and the model has ${model.vocabSize} (model.vocabSize)`;
  const expected = model.sparseLayers.map(String);
  const unknown = Object.keys(layers).find((layer) => !expected.includes(layer));
  const missing = expected.find((layer) => !Object.hasOwn(layers, layer));
  if (unknown !== undefined || missing !== undefined)
    return `${unknown === undefined ? `leaves out layer ${missing}` : `names layer ${unknown}`}; the sparse layers are ${expected.join(', ')}`;
  const numBytes = Math.ceil(vocabSize / 8);
  const wrong = expected.find((layer) => Buffer.from(layers[layer]!, 'base64').length !== numBytes);
  return wrong === undefined ? null : `has no ${numBytes} bytes for the ${vocabSize} ids of layer ${wrong}`;
}
