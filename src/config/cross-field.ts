import { tokensPerStep } from '@locmoe/run-format';
import { formatNumberOf } from '../format.js';
import { leastCommonMultiple, multiplesAround } from '../multiples.js';
import { placementProblem } from '../routing/groups/placement-file.js';
import { heldExperts, moeSchema, routerPolicy } from '../routing/index.js';
import { unless } from '../routing/policy.js';
import { DATA_RULES } from './data-rules.js';
import type { Problem } from './document.js';
import { FAMILY_RULES } from './family-rules.js';
import { FAMILIES, FEED_FORWARD_MATRICES, headsOf, inCurrentForm } from './model-schema.js';
import { clusterSchema, dataSchema, expertWidthOf, type RunConfig, sparseLayersOf } from './schema.js';
import { timeoutProblem } from './timeouts.js';
import { trainSchema } from './train-schema.js';

const SECTIONS = { moe: moeSchema, data: dataSchema, train: trainSchema, cluster: clusterSchema };
type Sections = Pick<RunConfig, keyof typeof SECTIONS | 'model'>;

/** A constraint between fields, or between a field and the program; undefined if it holds. */
type Rule = (sections: Sections) => { readonly field: string; readonly message: string } | undefined;

/** Thrown when a rule reads a field that is itself invalid. */
const FAULTY_FIELD = Symbol('faulty field');

/** Checks that involve more than one field; a rule is skipped if it reads a field that is itself invalid. */
export function crossFieldProblems(written: unknown): Problem[] {
  const sections = soundFields(written);
  const rules = [...RULES, ...whereSound(() => rulesOfRouter(sections))];
  return rules.flatMap((rule) =>
    whereSound(() => {
      const problem = rule(sections);
      return problem === undefined ? [] : [{ path: problem.field.split('.'), message: problem.message }];
    }),
  );
}

/** Returns what `read` returns, or nothing if it reads an invalid field. */
function whereSound<T>(read: () => T[]): T[] {
  try {
    return read();
  } catch (error) {
    if (error === FAULTY_FIELD) return [];
    throw error;
  }
}

/** Returns the valid fields, with defaults filled in; reading any other throws `FAULTY_FIELD`. */
function soundFields(written: unknown): Sections {
  const model = inCurrentForm(ownValue(written, 'model'));
  const family = Object.entries(FAMILIES).find(([name]) => name === ownValue(model, 'family'));
  const sections = Object.entries({ model: family?.[1] ?? FAMILIES.llama, ...SECTIONS }).map(
    ([name, { shape }]) => {
      const section = name === 'model' ? model : ownValue(written, name);
      const fields = {};
      for (const [field, schema] of Object.entries(shape)) {
        const parsed = schema.safeParse(ownValue(section, field));
        Object.defineProperty(fields, field, {
          get() {
            if (!parsed.success) throw FAULTY_FIELD;
            return parsed.data;
          },
        });
      }
      return [name, fields];
    },
  );
  return Object.fromEntries(sections) as Sections;
}

function ownValue(section: unknown, key: string): unknown {
  return typeof section === 'object' && section !== null && Object.hasOwn(section, key)
    ? Reflect.get(section, key)
    : undefined;
}

function worldSizeOf({ cluster }: Sections): number {
  return cluster.nodes * cluster.workersPerNode;
}

const FLOAT_BYTES = 4;
/** An expert in memory has a value, a gradient and two moments for each parameter. */
const BYTES_OF_PARAMETER = 4 * FLOAT_BYTES;

/** Coordinates of a head for which an invocation of the shaders of attention has room. */
const MOST_HEAD_COORDINATES = 128;

const RULES: readonly Rule[] = [
  ({ model }) => {
    const { dModel, numHeads } = model;
    return unless(
      (model.family === 'llama' && model.headDim !== null) || dModel % numHeads === 0,
      'model.numHeads',
      `dModel ${dModel} is not divisible by numHeads ${numHeads}`,
    );
  },
  ...FAMILY_RULES,
  (sections) => {
    const numExperts = heldExperts(sections.moe).count;
    const worldSize = worldSizeOf(sections);
    const { expertGroups, subModel } = sections.moe;
    const divisor = leastCommonMultiple(worldSize, subModel === null ? expertGroups : 1);
    return unless(
      numExperts % worldSize === 0 || worldSize % numExperts === 0,
      'moe.numExperts',
      `${numExperts} experts cannot be spread evenly over ${worldSize} workers (cluster.nodes x ` +
        `cluster.workersPerNode); one must divide the other: ${multiplesAround(numExperts, divisor)} can`,
    );
  },
  ({ moe: { numExperts, expertGroups } }) =>
    unless(
      numExperts % expertGroups === 0,
      'moe.expertGroups',
      `${numExperts} experts cannot be split into ${expertGroups} equal groups; ${multiplesAround(numExperts, expertGroups)} can`,
    ),
  ({ moe: { sharedExperts, numExperts } }) =>
    unless(
      sharedExperts <= numExperts,
      'moe.sharedExperts',
      `${sharedExperts} shared experts beside ${numExperts} routed ones (moe.numExperts); at most as many`,
    ),
  ({ moe: { expertGroups, subModel }, data: { domains } }) => {
    const { length } = subModel?.domains ?? domains;
    return unless(
      expertGroups <= length,
      'moe.expertGroups',
      `${expertGroups} groups for ${formatNumberOf(length, 'domain')} would leave experts without a domain; ` +
        `at most ${length}`,
    );
  },
  ({ moe: { subModel } }) =>
    unless(
      subModel === null || subModel.domains.includes(subModel.domain),
      'moe.subModel.domain',
      `${subModel?.domain} is not one of ${subModel?.domains.join(', ')} (moe.subModel.domains)`,
    ),
  ({ moe: { subModel }, data: { domains } }) => {
    const other = domains.find((domain) => subModel?.domains.includes(domain) && domain !== subModel.domain);
    return unless(
      other === undefined,
      'data.domains',
      `${other}: this is the sub-model of ${subModel?.domain}, without the experts of other domains (moe.subModel)`,
    );
  },
  ...DATA_RULES,
  (sections) => {
    const { globalBatch, microBatches } = sections.train;
    const worldSize = worldSizeOf(sections);
    return unless(
      globalBatch % worldSize === 0,
      'train.globalBatch',
      `${globalBatch} sequences cannot be split evenly over ${worldSize} workers; ${multiplesAround(globalBatch, worldSize * microBatches)} can`,
    );
  },
  ({ cluster: { minNodes, nodes } }) =>
    unless(
      minNodes === null || minNodes <= nodes,
      'cluster.minNodes',
      `is ${minNodes}, more than the ${formatNumberOf(nodes, 'node')} of cluster.nodes`,
    ),
  (sections) => {
    const { globalBatch, microBatches } = sections.train;
    const perRank = globalBatch / worldSizeOf(sections);
    return unless(
      perRank % microBatches === 0 || !Number.isInteger(perRank),
      'train.microBatches',
      `the ${perRank} sequences of a worker cannot be split evenly into ${microBatches} micro-batches`,
    );
  },
  ({ train, model }) => {
    const { maxTokens } = train;
    if (maxTokens === null) return undefined;
    const tokens = tokensPerStep({ train, model });
    return unless(maxTokens >= tokens, 'train.maxTokens', `one step alone takes ${tokens} tokens`);
  },
  ({ train: { learningRate, endLearningRate } }) =>
    unless(endLearningRate <= learningRate, 'train.endLearningRate', 'must not exceed train.learningRate'),
  ({ train: { device, precision } }) =>
    unless(
      device !== 'webgpu' || precision !== 'bfloat16',
      'train.precision',
      'bfloat16 beside train.device webgpu, which computes in float32; leave one of the two out',
    ),
  ({ train: { device }, model }) =>
    unless(
      device === 'cpu' || headsOf(model).headDim <= MOST_HEAD_COORDINATES,
      'train.device',
      `${device} takes heads of at most ${MOST_HEAD_COORDINATES} coordinates, and these have ${headsOf(model).headDim}`,
    ),
  ({ train: { lora, only } }) =>
    unless(
      lora === null || only === null,
      'train.only',
      `${only} beside train.lora, which trains low-rank pairs alone; leave one of the two out`,
    ),
  (sections) => {
    const numExperts = heldExperts(sections.moe).count;
    const worldSize = worldSizeOf(sections);
    return unless(
      !sections.cluster.deduplicate || numExperts >= worldSize,
      'cluster.deduplicate',
      `needs one owner for each expert, so at least as many experts as workers: ${numExperts} experts, ` +
        `${worldSize} workers`,
    );
  },
  ({ moe: { placement, subModel } }) =>
    unless(
      placement === null || subModel === null,
      'moe.placement',
      'is for a whole model, and this is a sub-model (moe.subModel)',
    ),
  ({ moe: { placement, numExperts, subModel }, model, cluster: { nodes, workersPerNode } }) => {
    if (placement === null || subModel !== null) return undefined;
    const sparseLayers = sparseLayersOf(model);
    const message = placementProblem(placement, { numExperts, nodes, workersPerNode, sparseLayers });
    return message === null ? undefined : { field: 'moe.placement', message };
  },
  ({ moe: { expertStorage }, train: { expertUpdate } }) =>
    unless(
      expertStorage.kind === 'memory' || expertUpdate === 'touched',
      'moe.expertStorage.kind',
      `file needs train.expertUpdate touched: with ${expertUpdate} every step moves every expert`,
    ),
  ({ moe, model }) => {
    const { expertStorage } = moe;
    const bytes =
      BYTES_OF_PARAMETER *
      FEED_FORWARD_MATRICES[model.family].length *
      model.dModel *
      expertWidthOf({ model, moe });
    return unless(
      expertStorage.kind === 'memory' || bytes <= 1e6 * expertStorage.budgetMB,
      'moe.expertStorage.budgetMB',
      `${expertStorage.budgetMB} has no room for an expert, which takes ${Math.ceil(bytes / 1e4) / 100} MB`,
    );
  },
  ({ cluster: { ringBytes } }) =>
    unless(
      ringBytes === null || (ringBytes >= 4096 && (BigInt(ringBytes) & (BigInt(ringBytes) - 1n)) === 0n),
      'cluster.ringBytes',
      `${ringBytes} is not a power of two of at least 4096`,
    ),
  ({ cluster: { collectiveTimeoutS } }) => {
    const message = timeoutProblem({ collectiveTimeoutS });
    return message === null ? undefined : { field: 'cluster.collectiveTimeoutS', message };
  },
  ({ model: { dModel }, cluster: { nodes, interNodeLink, collectiveTimeoutS } }) => {
    if (nodes === 1 || interNodeLink === null) return undefined;
    // The all-reduce of gradients alone sends more than one vector of the hidden size.
    const bytes = FLOAT_BYTES * dModel;
    const seconds = interNodeLink.latencyMs / 1000 + (8 * bytes) / (interNodeLink.gbps * 1e9);
    return unless(
      seconds < collectiveTimeoutS,
      'cluster.interNodeLink',
      `a vector of dModel numbers (${bytes} bytes) would take ${Number(seconds.toPrecision(3))} s, and a ` +
        `collective fails after ${collectiveTimeoutS} s (cluster.collectiveTimeoutS)`,
    );
  },
];

/** Returns the chosen router's constraints on its fields. */
function rulesOfRouter({ moe: { router } }: Sections): Rule[] {
  return routerPolicy(router).rules.map((rule) => ({ moe, model }) => {
    const problem = rule(moe, model);
    return problem && { field: `moe.${problem.field}`, message: problem.message };
  });
}
