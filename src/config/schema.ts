import { z } from 'zod';

const positive = z.number().int().positive();
const share = z.number().gt(0).max(1);

export const modelSchema = z.strictObject({
  dModel: positive.describe('hidden size d'),
  numHeads: positive,
  numDenseLayers: z
    .number()
    .int()
    .min(0)
    .describe('dense Transformer layers at the bottom, shared by all domains'),
  numSparseLayers: z.number().int().min(0).describe('layers whose feed-forward is a mixture of experts'),
  queryLayer: z.boolean().default(true).describe("PanGu's query layer on top"),
  dFeedForward: positive.describe('hidden size of a feed-forward network and of an expert'),
  vocabSize: z.number().int().min(257).describe('256 bytes, merges and one special token'),
  seqLen: positive,
});

/** Policies of level 2; src/routing/index.ts has one for each. */
export const ROUTERS = ['hash', 'switch', 'locmoe', 'locmoe-plus'] as const;
export type RouterName = (typeof ROUTERS)[number];

export const moeSchema = z.strictObject({
  numExperts: z.number().int().min(2).describe('experts in each sparse layer'),
  router: z
    .enum(ROUTERS)
    .default('locmoe-plus')
    .describe('hash (RRE), switch, locmoe or locmoe-plus: how level 2 picks experts inside the group'),
  expertGroups: positive
    .default(1)
    .describe(
      'level 1: experts are split into this many groups, domain i uses group i mod groups; 1 turns level 1 off',
    ),
  capacityFactor: z
    .number()
    .positive()
    .nullable()
    .default(1.25)
    .describe('classic capacity = ceil(factor * tokens * k / experts); null drops nothing'),
  auxiliaryLossWeight: z.number().min(0).default(0.01).describe('alpha of the load-balance loss'),
  localityLossWeight: z
    .number()
    .min(0)
    .default(0.01)
    .describe(
      'locmoe, locmoe-plus: mu of the locality loss; it depends on the number of nodes, 0 turns it off',
    ),
  localityFloor: share
    .default(0.1)
    .describe('eps: probability that the localised distribution leaves to experts on other nodes'),
  learnedGroups: z
    .boolean()
    .default(false)
    .describe('locmoe, locmoe-plus: trains the d non-zero gate weights instead of keeping GrAP'),
  gateScale: z
    .number()
    .positive()
    .default(0.5)
    .describe("locmoe: standard deviation of the gate's argument for a token of unit variance"),
  capacityBatches: positive
    .default(20)
    .describe('locmoe: first steps, with the classic capacity, that decide the capacity of all later ones'),
  selection: z
    .enum(['tcr', 'ecr', 'both'])
    .default('both')
    .describe('locmoe-plus: tokens choose, experts choose, or both'),
  selectionSchedule: z
    .enum(['constant', 'linear'])
    .default('constant')
    .describe(
      'locmoe-plus: linear fills places in the order of tokens at first and by affinity in the end; constant by affinity throughout',
    ),
  temperature: z
    .number()
    .positive()
    .default(1)
    .describe(
      'locmoe-plus: of the softmax over affinities, in units of 1/sqrt(d), the spread of random cosines',
    ),
  affinityThreshold: share
    .default(0.9)
    .describe('locmoe-plus: a token takes its best experts until their softmaxed affinities add up to this'),
  maxExpertsPerToken: positive.default(4).describe('locmoe-plus: l_max, experts that a token takes at most'),
  affinityShare: share
    .default(0.4)
    .describe(
      "locmoe, locmoe-plus: tau; an expert's capacity is at least C_min and what holds this share of its affinity, at most the classic one",
    ),
  capacityInterval: positive
    .default(1)
    .describe('locmoe-plus: steps from one estimate of the capacity to the next; it stands still in between'),
});

export const dataSchema = z.strictObject({
  domains: z
    .array(z.string().min(1))
    .min(1)
    .describe('domains of the corpus to train on; their order gives the domain ids'),
  weights: z
    .array(z.number().positive())
    .optional()
    .describe('sampling weight of each domain; equal by default'),
  placement: z
    .enum(['mixed', 'domain'])
    .default('mixed')
    .describe('domain: of each global batch a node reads mostly the domains whose expert groups it holds'),
  maxBytesPerDomain: positive.default(2_000_000),
  validationShare: share.default(0.05),
});

export const trainSchema = z.strictObject({
  steps: positive,
  globalBatch: positive.describe('sequences a step over all ranks'),
  learningRate: z.number().positive(),
  endLearningRate: z.number().min(0).default(0),
  warmupSteps: z.number().int().min(0).default(0),
  beta1: z.number().min(0).lt(1).default(0.9),
  beta2: z.number().min(0).lt(1).default(0.95),
  epsilon: z.number().positive().default(1e-8),
  expertEpsilon: z
    .number()
    .positive()
    .default(1e-20)
    .describe('epsilon for experts: their gradients are small and rare (PanGu-Sigma)'),
  weightDecay: z.number().min(0).default(0.1),
  clipNorm: z.number().positive().default(1),
  validateEvery: positive.default(100),
  validationSequences: positive.default(16).describe('sequences of each domain in a validation'),
  checkpointEvery: positive.default(500),
  keepCheckpoints: positive.default(2),
});

export const clusterSchema = z.strictObject({
  nodes: positive.default(1),
  workersPerNode: positive.default(1),
  exchange: z
    .enum(['hierarchical', 'flat', 'auto'])
    .default('hierarchical')
    .describe('form of the all-to-all between nodes; auto times both before the first step'),
  overlapDegree: z
    .literal([1, 2, 4, 'auto'])
    .default('auto')
    .describe(
      'slices in which tokens of other nodes travel while the experts work on others; 1: no overlap; auto tries 1 and 2 in the first 12 steps',
    ),
  deduplicate: z
    .boolean()
    .default(false)
    .describe('a token crosses once to each node that has experts it chose; nothing is overlapped then'),
  collectiveTimeoutS: z
    .number()
    .positive()
    .default(10)
    .describe('a collective in which nothing moves for this long fails'),
  ringBytes: positive
    .default(1 << 19)
    .describe('shared memory for each ordered pair of ranks; a power of two'),
  interNodeLink: z
    .strictObject({ gbps: z.number().positive(), latencyMs: z.number().min(0) })
    .nullable()
    .default(null)
    .describe('limits each stream between nodes in software; null is as fast as it goes'),
});

export const runSchema = z.strictObject({
  name: z
    .string()
    .max(64)
    .regex(/^[a-z0-9][a-z0-9-]*$/, 'lower-case letters, digits and dashes'),
  seed: z.number().int().min(0).default(1),
  model: modelSchema,
  moe: moeSchema,
  data: dataSchema,
  train: trainSchema,
  cluster: clusterSchema.prefault({}),
  logLevel: z.enum(['trace', 'debug', 'info', 'warn', 'error']).default('info'),
});

type DeepReadonly<T> = T extends object ? { readonly [K in keyof T]: DeepReadonly<T[K]> } : T;

/** A whole run, checked and with every default filled in; nothing below the command line sees an optional. */
export type RunConfig = DeepReadonly<z.output<typeof runSchema>>;
export type MoeConfig = RunConfig['moe'];
export type TrainConfig = RunConfig['train'];
export type ClusterConfig = RunConfig['cluster'];
