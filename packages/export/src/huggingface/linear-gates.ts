import type { Checkpoint } from 'locmoe/internal/checkpoint/checkpoint';
import { llamaModel } from 'locmoe/internal/config/model-schema';
import { leastCommonMultiple } from 'locmoe/internal/multiples';
import { heldExperts } from 'locmoe/internal/routing/index';

// Shapes: D domains, V vocabulary, d hidden size, e coordinates that are added, n <= e of them that are used.

/** Multiples of this many values in a row are whole blocks of q8_0. */
const BLOCK = 32;
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
 * @param addsHeads whether heads have d / H coordinates and need to have so afterwards, for which there are others that are zero
 */
export function withLinearGates(checkpoint: Checkpoint, addsHeads: boolean): Checkpoint {
  const { manifest } = checkpoint;
  const { model, moe } = manifest.config;
  const { dModel: d, numDenseLayers } = model;
  const { numHeads, numKeyValueHeads, normEpsilon, tiedEmbedding } = llamaModel(model);
  const { first, count } = heldExperts(moe);
  const numTables = moe.expertsPerToken;
  const ofTable = count / numTables;
  const numDigits = Math.max(1, Math.ceil(Math.log2(ofTable)));
  const numCoordinates = model.numSparseLayers * numTables * numDigits;
  const multiple = addsHeads ? leastCommonMultiple(BLOCK, d / numKeyValueHeads) : BLOCK;
  const width = d + multiple * Math.ceil(numCoordinates / multiple);
  // Multiplication by a power of two is exact.
  const scale = 2 ** Math.ceil(Math.log2(Math.sqrt((width + 1) / d)));
  const size = Math.sqrt((normEpsilon * (scale ** 2 * d - width)) / numCoordinates);

  /** Yields the coordinates of the code of an expert in the i-th sparse layer, each with its sign. */
  function* codeOf(i: number, expert: number): Generator<[number, number]> {
    const table = Math.floor((expert - first) / ofTable);
    const begin = d + (i * numTables + table) * numDigits;
    for (let digit = 0; digit < numDigits; digit++)
      yield [begin + digit, (((expert - first) % ofTable) >> digit) & 1 ? 1 : -1];
  }
  const writeCodes = (embedding: Float32Array) => {
    for (const [i, tables] of tablesIn(checkpoint).entries())
      for (const table of tables)
        for (const [id, expert] of table.subarray(0, model.vocabSize).entries())
          for (const [at, sign] of codeOf(i, expert)) embedding[id * width + at] = sign * size;
  };
  const gateOf = (i: number) => {
    const gate = new Float32Array(width * moe.numExperts);
    for (let expert = first; expert < first + count; expert++)
      for (const [at, sign] of codeOf(i, expert)) gate[at * moe.numExperts + expert] = sign / size;
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
  };
  return {
    ...checkpoint,
    manifest: { ...manifest, config: { ...manifest.config, model: wider } },
    read(name, shape = []) {
      const layer = /^layers\.(\d+)\.router\.weight$/.exec(name)?.[1];
      if (layer !== undefined) return gateOf(Number(layer) - numDenseLayers);
      const values = checkpoint.read(name === 'head' && tiedEmbedding ? 'embed.tokens' : name);
      const wide = new Float32Array(shape.reduce((product, length) => product * length, 1));
      const isOfD = HAS_ROWS_OF_D.test(name);
      const isGain = isOfD && name.endsWith('.gain');
      const factor = isGain ? Math.sqrt(d / width) : isOfD && name !== 'head' ? scale : 1;
      const newLength = shape.at(-1)!;
      const length =
        isOfD || (addsHeads && HAS_ROWS_OF_HEADS.test(name)) ? (newLength * d) / width : newLength;
      for (const [i, value] of values.entries())
        wide[Math.floor(i / length) * newLength + (i % length)] = factor * value;
      if (isGain) wide.fill(1, d);
      if (name === 'embed.tokens') writeCodes(wide);
      return wide;
    },
  };
}
