import type { Checkpoint } from 'locmoe/internal/checkpoint/checkpoint';
import { llamaModel } from 'locmoe/internal/config/model-schema';
import { leastCommonMultiple } from 'locmoe/internal/multiples';
import { heldExperts } from 'locmoe/internal/routing/index';
import { type Copy, copyingLayer } from './copying-layer.js';

// Shapes: D domains, V vocabulary, d hidden size, e coordinates that are added, n <= e of them that are used.

/** Multiples of this many values in a row are whole blocks of q8_0. */
const BLOCK = 32;
/** Factor of scores, which keeps them so small that rounded digits hardly change the weights; it does not change choices. */
const GATE = 2 ** -6;
/** Tensors with rows of d values, which are added to the residual stream or multiplied with it. */
const HAS_ROWS_OF_D = /^embed\.tokens$|^head$|ln_\w+\.gain$|\.(?:w_)?out(?:_lora_b)?$/;
/** Tensors with rows of all heads of queries, keys or values. */
const HAS_ROWS_OF_HEADS = /\.attn\.[qkv](?:\.bias|_lora_b)?$/;

/** Returns the tables of the sparse layers from the bottom, of each layer in the order of its parts of the experts: [D, V]. */
export function tablesIn({ manifest, read }: Checkpoint): Float32Array[][] {
  const { model, moe } = manifest.config;
  return Array.from({ length: model.numSparseLayers }, (_, i) =>
    Array.from({ length: moe.expertsPerToken }, (__, k) => {
      const layer = `layers.${model.numDenseLayers + i}`;
      return read(`${layer}.router.table${k === 0 ? '' : k + 1}`);
    }),
  );
}

/**
 * Converts a model of family llama whose routers are tables of token ids (`withExpertTables`), which have an expert for every
 * id and the same for all domains, to one with linear gates that choose the same experts and gives the same logits.
 *
 * The residual stream gets e more coordinates, which only the embedding writes and only gates read: for each sparse layer and
 * table the binary digits of the number of the token's expert, as s and -s. The row of an expert in a gate has its own digits,
 * so the product is greatest where all agree. Norms give the same numbers: the stream is c times the original, gains are times
 * sqrt(d / (d + e)), and the squares of a token's digits add up to n s^2 = epsilon (c^2 d - d - e).
 *
 * With `moe.lookBack` a layer below all others copies the digits of tables that look back to coordinates of the later token, which
 * the gates read (`copyingLayer`). Copies have the same size if the norm there divides all tokens by the same number. Therefore
 * one more coordinate, the filler, makes the squares of all rows of the embedding add up to the same, and that layer clears it.
 *
 * @param addsHeads whether heads have d / H coordinates and need to have so afterwards, for which there are others that are zero
 * @throws TrainerError as `copyingLayer`
 */
export function withLinearGates(checkpoint: Checkpoint, addsHeads: boolean): Checkpoint {
  const { manifest } = checkpoint;
  const { model, moe } = manifest.config;
  const { dModel: d, numDenseLayers, numSparseLayers } = model;
  const { numHeads, numKeyValueHeads, normEpsilon, tiedEmbedding, attentionBias } = llamaModel(model);
  const { first, count } = heldExperts(moe);
  const { expertsPerToken: numTables, lookBack } = moe;
  const numAdded = lookBack > 0 ? 1 : 0;
  const ofTable = count / numTables;
  const numDigits = Math.max(1, Math.ceil(Math.log2(ofTable)));
  const numOwn = numSparseLayers * numTables * numDigits;
  const numCoordinates = numOwn + numSparseLayers * lookBack * numDigits;
  const multiple = addsHeads ? leastCommonMultiple(BLOCK, d / numKeyValueHeads) : BLOCK;
  // The filler is far larger than digits, so it has the last block for itself.
  const width = d + multiple * Math.ceil((numCoordinates + numAdded * BLOCK) / multiple);
  // Multiplication by a power of two is exact.
  const scale = 2 ** Math.ceil(Math.log2(Math.sqrt((width + 1) / d)));
  const size = Math.sqrt((normEpsilon * (scale ** 2 * d - width)) / numCoordinates);

  /** Returns the first coordinate of the code of a table for the token's own id, and of that for the id where the table looks. */
  const codePlaces = (i: number, table: number) => {
    const own = d + (i * numTables + table) * numDigits;
    const before = Math.max(0, table + 1 - numTables + lookBack);
    const read = before === 0 ? own : d + numOwn + (i * lookBack + before - 1) * numDigits;
    return { own, read, before };
  };
  /** Returns the sign of each digit of an expert within its table. */
  const signsOf = (expert: number) =>
    Array.from({ length: numDigits }, (_, digit) => ((((expert - first) % ofTable) >> digit) & 1 ? 1 : -1));
  const writeCodes = (embedding: Float32Array) => {
    for (const [i, tables] of tablesIn(checkpoint).entries())
      for (const [k, table] of tables.entries())
        for (const [id, expert] of table.subarray(0, model.vocabSize).entries()) {
          const digits = signsOf(expert).map((sign) => sign * size);
          embedding.set(digits, id * width + codePlaces(i, k).own);
        }
  };
  const gateOf = (i: number) => {
    const gate = new Float32Array(width * moe.numExperts);
    for (let expert = first; expert < first + count; expert++) {
      const { read } = codePlaces(i, Math.floor((expert - first) / ofTable));
      for (const [digit, sign] of signsOf(expert).entries())
        gate[(read + digit) * moe.numExperts + expert] = (GATE * sign) / size;
    }
    return gate;
  };
  const wider = {
    ...llamaModel(model),
    dModel: width,
    ...(addsHeads && {
      numHeads: (numHeads * width) / d,
      numKeyValueHeads: (numKeyValueHeads * width) / d,
    }),
    tiedEmbedding: false,
    numDenseLayers: numDenseLayers + numAdded,
    attentionBias: attentionBias || lookBack > 0,
  };
  const squaresV = lookBack > 0 ? squaresOfRows(checkpoint.read('embed.tokens'), d) : [];
  const mostSquares = squaresV.reduce((most, squares) => Math.max(most, squares), 0);
  const copies: Copy[] = [];
  for (let i = 0; i < numSparseLayers; i++)
    for (let table = numTables - lookBack; table < numTables; table++)
      for (let digit = 0; digit < numDigits; digit++) {
        const { own, read, before } = codePlaces(i, table);
        copies.push({ from: own + digit, to: read + digit, before });
      }
  const writeAdded =
    lookBack > 0 &&
    copyingLayer({
      model: wider,
      copies,
      size,
      filler: width - 1,
      mostFiller: scale * Math.sqrt(mostSquares),
      rms: Math.sqrt((scale ** 2 * mostSquares + numOwn * size ** 2) / width + normEpsilon),
    });
  /** Returns the name in the given checkpoint; null for a parameter of the added layer. */
  const nameBefore = (name: string) => {
    const layer = /^layers\.(\d+)\./.exec(name)?.[1];
    if (layer === undefined) return name;
    return Number(layer) < numAdded ? null : name.replace(layer, `${Number(layer) - numAdded}`);
  };
  return {
    ...checkpoint,
    manifest: { ...manifest, config: { ...manifest.config, model: wider } },
    has(name) {
      const before = nameBefore(name);
      return before !== null && checkpoint.has(before);
    },
    read(given, shape = []) {
      const wide = new Float32Array(shape.reduce((product, length) => product * length, 1));
      const name = nameBefore(given);
      if (name === null) {
        if (writeAdded) writeAdded(given.replace('layers.0.', ''), wide);
        return wide;
      }
      const layer = /^layers\.(\d+)\.router\.weight$/.exec(name)?.[1];
      if (layer !== undefined) return gateOf(Number(layer) - numDenseLayers);
      if (name.endsWith('.bias') && !attentionBias) return wide;
      const values = checkpoint.read(name === 'head' && tiedEmbedding ? 'embed.tokens' : name);
      const isOfD = HAS_ROWS_OF_D.test(name);
      const isGain = isOfD && name.endsWith('.gain');
      const factor = isGain ? Math.sqrt(d / width) : isOfD && name !== 'head' ? scale : 1;
      const newLength = shape.at(-1)!;
      const length =
        isOfD || (addsHeads && HAS_ROWS_OF_HEADS.test(name)) ? (newLength * d) / width : newLength;
      for (const [i, value] of values.entries())
        wide[Math.floor(i / length) * newLength + (i % length)] = factor * value;
      if (isGain) wide.fill(1, d);
      if (name !== 'embed.tokens') return wide;
      writeCodes(wide);
      for (const [id, squares] of squaresV.entries())
        wide[(id + 1) * width - 1] = -scale * Math.sqrt(mostSquares - squares);
      return wide;
    },
  };
}

/** Returns the sum of the squares of each row of `length` values. */
function squaresOfRows(values: Float32Array, length: number): number[] {
  return Array.from({ length: values.length / length }, (_, row) =>
    values.subarray(row * length, (row + 1) * length).reduce((sum, value) => sum + value ** 2, 0),
  );
}
