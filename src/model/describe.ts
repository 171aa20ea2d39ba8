import type {
  Architecture,
  Attention,
  Block,
  Experts,
  FeedForward,
  Norm,
  Parameter,
  Projection,
} from '../architecture/architecture.js';
import { outline } from '../architecture/outline.js';
import { mapRule } from '../architecture/rule.js';
import { FEED_FORWARD_MATRICES, hasQueryLayer, headsOf } from '../config/model-schema.js';
import { expertWidthOf, type RunConfig } from '../config/schema.js';
import { LAYER_NORM_EPSILON } from '../ops/on-host.js';
import { rotaryFrequencies } from '../ops/rotary-frequencies.js';
import { expertsOfDomain, heldExperts, routerPolicy } from '../routing/index.js';

/** Returns the model as text (architecture/outline.ts). */
export function modelOutline(config: RunConfig): string {
  return outline(describe(config));
}

/**
 * Returns the model as data. Parameters have the names of the checkpoint and the shapes in which it stores them; low-rank pairs
 * are not among them, as they are added to their matrices.
 *
 * @throws TrainerError `BAD_CONFIG` as `routerPolicy`
 */
export function describe(config: RunConfig): Architecture {
  const { model, moe, data } = config;
  const { vocabSize, dModel, seqLen, numDenseLayers, numSparseLayers } = model;
  const isPangu = model.family === 'pangu-sigma';
  const normOf =
    (size: number) =>
    (name: string): Norm => {
      const gain = parameter(`${name}.gain`, size);
      return model.family === 'pangu-sigma'
        ? { op: 'layerNorm', gain, bias: parameter(`${name}.bias`, size), epsilon: LAYER_NORM_EPSILON }
        : { op: 'rmsNorm', gain, epsilon: model.normEpsilon };
    };
  const norm = normOf(dModel);
  const rotation = isPangu ? null : [...rotaryFrequencies(model.headDim, model.ropeTheta, model.ropeScaling)];
  const network = (name: string, width: number): FeedForward => {
    const names = FEED_FORWARD_MATRICES[model.family].slice(0, -1);
    return {
      op: 'feedForward',
      activation: isPangu ? 'gelu' : 'swiglu',
      into: names.map((each) => parameter(`${name}.${each}`, dModel, width)),
      out: parameter(`${name}.w_out`, width, dModel),
    };
  };
  const block = (layer: string, part: 'attn' | 'ffn', operation: Block['operation']): Block => ({
    layer,
    norm: norm(`${layer}.ln_${part}`),
    operation,
  });
  const dense = (layer: string) => block(layer, 'ffn', network(`${layer}.ffn`, model.dFeedForward));
  const layers = Array.from({ length: numDenseLayers + numSparseLayers }, (_, layer) => `layers.${layer}`);
  const tokens = parameter('embed.tokens', vocabSize, dModel);
  return {
    vocabSize,
    dModel,
    seqLen,
    // A configuration that is refused for its size may have a hundred million experts, which are listed only for who reads them.
    get expertsOfDomain() {
      return expertsOfDomain(data.domains.length, moe).map((experts) => [...experts]);
    },
    tokens,
    positions: isPangu ? parameter('embed.positions', seqLen, dModel) : null,
    blocks: [
      ...layers.flatMap((layer, i) => [
        block(layer, 'attn', attention(config, layer, normOf, rotation)),
        i < numDenseLayers ? dense(layer) : block(layer, 'ffn', experts(config, layer, network)),
      ]),
      ...(hasQueryLayer(model)
        ? [block('query', 'attn', attention(config, 'query', normOf, rotation)), dense('query')]
        : []),
    ],
    norm: norm('ln_final'),
    head: isPangu || model.tiedEmbedding ? tokens : parameter('head', vocabSize, dModel),
  };
}

function parameter(name: string, ...shape: readonly number[]): Parameter {
  return { name, shape };
}

function attention(
  { model }: RunConfig,
  layer: string,
  normOf: (size: number) => (name: string) => Norm,
  rotation: readonly number[] | null,
): Attention {
  const { dModel, seqLen } = model;
  const heads = headsOf(model);
  const { numHeads, numKeyValueHeads, headDim } = heads;
  const name = `${layer}.attn`;
  const shared = { op: 'attention', ...heads, rotation } as const;
  const out = parameter(`${name}.out`, numHeads * headDim, dModel);
  const plain = { of: 'input', bias: null, headNorm: null } as const;
  if (model.family === 'pangu-sigma') {
    const columns = (each: string, count: number) => parameter(`${name}.${each}`, dModel, count * dModel);
    const projections: Projection[] =
      layer === 'query'
        ? [
            {
              ...plain,
              gives: ['queries'],
              of: parameter('query.positions', seqLen, dModel),
              weight: columns('q', 1),
            },
            { ...plain, gives: ['keys', 'values'], weight: columns('kv', 2) },
          ]
        : [{ ...plain, gives: ['queries', 'keys', 'values'], weight: columns('qkv', 3) }];
    return { ...shared, projections, out };
  }
  const { attentionBias, qkNorm } = model;
  const projection = (part: 'queries' | 'keys' | 'values', heads: number): Projection => {
    const each = `${name}.${part[0]}`;
    const width = heads * headDim;
    return {
      gives: [part],
      of: 'input',
      weight: parameter(each, dModel, width),
      bias: attentionBias ? parameter(`${each}.bias`, width) : null,
      headNorm: qkNorm && part !== 'values' ? normOf(headDim)(`${each}_norm`) : null,
    };
  };
  return {
    ...shared,
    projections: [
      projection('queries', numHeads),
      projection('keys', numKeyValueHeads),
      projection('values', numKeyValueHeads),
    ],
    out,
  };
}

function experts(
  config: RunConfig,
  layer: string,
  network: (name: string, width: number) => FeedForward,
): Experts {
  const { model, moe, data } = config;
  const { numExperts, sharedExperts, sharedExpertGate } = moe;
  const { dModel, vocabSize } = model;
  const policy = routerPolicy(moe.router);
  const shapes = new Map(policy.parameters(moe, dModel).map(({ name, shape }) => [name, shape]));
  const rule = policy.rule(moe, dModel);
  const ofRouter = (name: string, op: string): Parameter => {
    const sizes: Record<string, number> = {
      ofId: vocabSize * numExperts,
      table: data.domains.length * vocabSize,
    };
    return { name: `${layer}.router.${name}`, shape: shapes.get(name) ?? [sizes[op] ?? numExperts] };
  };
  const width = expertWidthOf(config);
  return {
    op: 'experts',
    rule: rule && mapRule(rule, ofRouter),
    numExperts,
    held: heldExperts(moe),
    network: network(`${layer}.experts.*`, width),
    shared:
      sharedExperts === 0
        ? null
        : {
            network: network(`${layer}.shared`, sharedExperts * width),
            gate: sharedExpertGate ? parameter(`${layer}.shared.gate`, dModel, 1) : null,
          },
  };
}
