import type { DeepReadonly } from '@locmoe/run-format';
import { z } from 'zod';
import { CORPORA } from '../data/built-in/sources.js';
import { textSourceSchema } from '../data/read/text-source.js';
import { moeSchema } from '../routing/index.js';
import { amount, count, positive, real, share } from '../routing/numeric-fields.js';
import { modelSchema } from './model-schema.js';
import { trainSchema } from './train-schema.js';

/** Some deadlines are twelve times a setting; twelve days still fit a timer of Node, which holds 24. */
const DAY_S = 86_400;
/** Positions in a ring of shared memory are 32-bit numbers. */
const MAX_RING_BYTES = 2 ** 30;
const MAX_SPARES = 16;

const seconds = z.number().positive().max(DAY_S);

export const dataSchema = z.strictObject({
  domains: z
    .array(z.string().min(1))
    .min(1)
    .describe(
      'built-in domains by name, or text of your own as `- NAME: { files: PATTERN }`, or questions and answers as ' +
        '`- NAME: { files: PATTERN, instruct: {} }`; their order gives the domain ids',
    ),
  corpus: z
    .enum(CORPORA)
    .default('standard')
    .describe(
      'packages that built-in domains are read from; large: over 100 MB of text, which ' +
        '`locmoe setup --corpus large` installs',
    ),
  sources: z
    .record(z.string(), textSourceSchema)
    .default({})
    .describe('the files of each domain that is not built in; written in `domains`'),
  tokenizer: z
    .string()
    .min(1)
    .default('train')
    .describe(
      'train: on the text; or the path of a HuggingFace tokenizer.json of a byte-level BPE, or its folder',
    ),
  endOfText: z
    .string()
    .min(1)
    .nullable()
    .default(null)
    .describe(
      'special token of that file which ends every document; null: one of the usual names, or eos_token of the ' +
        'tokenizer_config.json beside it',
    ),
  weights: z.array(real.positive()).optional().describe('sampling weight of each domain; equal by default'),
  placement: z
    .enum(['mixed', 'domain'])
    .default('mixed')
    .describe('domain: of each global batch a node reads mostly the domains whose expert groups it holds'),
  maxBytesPerDomain: amount
    .nullable()
    .default(null)
    .describe('null: 2,000,000 bytes of a built-in domain of the standard corpus, else all there is'),
  validationShare: share
    .default(0.05)
    .describe('share of the documents that are kept for validation; below 1'),
});

export const clusterSchema = z.strictObject({
  nodes: positive.default(1).describe('containers, machines or, with `locmoe train`, groups of processes'),
  workersPerNode: positive.default(1).describe('ranks of a node; each is a process'),
  exchange: z
    .enum(['hierarchical', 'flat', 'auto'])
    .default('hierarchical')
    .describe('form of the all-to-all between nodes; auto times both before the first step'),
  stream: z
    .enum(['direct', 'grpc-js'])
    .default('direct')
    .describe(
      'how an agent reads the streams from other nodes: direct, from the socket to the shared memory of the ranks; or by grpc-js, several times slower',
    ),
  overlapDegree: z
    .literal([1, 2, 4, 'auto'])
    .default('auto')
    .describe(
      'chunks of the tokens between nodes, each sent while experts work on others; 1: no overlap; auto ' +
        'tries 1 and 2 between the 30th and the 50th step',
    ),
  wirePrecision: z
    .enum(['float32', 'bfloat16', 'auto'])
    .default('auto')
    .describe(
      'of the rows of tokens that ranks exchange, and of gradients on their way to another node; auto: bfloat16 if ' +
        'train.precision is bfloat16, half the bytes',
    ),
  deduplicate: z
    .boolean()
    .default(false)
    .describe('send a token once to each node that has experts it chose; nothing is overlapped then'),
  collectiveTimeoutS: seconds
    .default(10)
    .describe(
      'a collective in which nothing moves for this long fails; other deadlines of a run follow from it',
    ),
  maxRestarts: count
    .default(3)
    .describe('restarts after failures before one ends the run; 0: the first one does'),
  restartWindow: real
    .positive()
    .default(3600)
    .describe('seconds; restarts that are longer ago no longer count'),
  rejoinTimeoutS: seconds
    .default(60)
    .describe('how long a restart waits for lost nodes, or others in their place'),
  spares: count
    .max(MAX_SPARES)
    .default(1)
    .describe(
      'loaded processes without a rank that each node keeps, so that a restart need not wait for new ones; none if maxRestarts ' +
        'is 0, or while memory is short',
    ),
  minNodes: positive
    .nullable()
    .default(null)
    .describe(
      'a restart goes on with as few nodes as this when others do not come back, and takes them in again after a checkpoint; null: ' +
        'with all',
    ),
  nodeGraceS: seconds
    .default(2)
    .describe('how long a restart waits for lost nodes where minNodes lets it go on without them'),
  coordinatorTimeoutS: seconds
    .default(30)
    .describe('how long nodes wait for a coordinator that is gone, and go on meanwhile'),
  ringBytes: z
    .number()
    .int()
    .positive()
    .max(MAX_RING_BYTES)
    .nullable()
    .default(null)
    .describe(
      'shared memory for each ordered pair of ranks, a power of two; null: 512 KiB, and with several nodes up to 2 MiB while ' +
        'all rings of a node take at most 32 MiB',
    ),
  interNodeLink: z
    .strictObject({
      gbps: real.positive().describe('10^9 bits a second'),
      latencyMs: z
        .number()
        .min(0)
        .max(1000 * DAY_S)
        .describe('one way'),
    })
    .nullable()
    .default(null)
    .describe('limits each stream between nodes in software; null is as fast as it goes'),
});

export const runSchema = z.strictObject({
  name: z
    .string()
    .max(64)
    .regex(/^[a-z0-9][a-z0-9-]*$/, 'lower-case letters, digits and dashes')
    .describe('begins the names of its runs'),
  seed: z.number().int().min(0).default(1).describe('of initial weights and the order of the text'),
  model: modelSchema,
  moe: moeSchema,
  data: dataSchema,
  train: trainSchema,
  cluster: clusterSchema.prefault({}),
  logLevel: z
    .enum(['trace', 'debug', 'info', 'warn', 'error'])
    .default('info')
    .describe('least level that is logged'),
  logging: z
    .strictObject({
      maxMB: real
        .positive()
        .default(64)
        .describe(
          '10^6 bytes; a file of the log of this size is followed by a new one, and of each process the last two are kept',
        ),
    })
    .prefault({}),
});

/** A validated run configuration with every default filled in: below the command line no field is optional. */
export type RunConfig = DeepReadonly<z.output<typeof runSchema>>;

/** Returns the indices of the sparse layers among all layers of the model. */
export function sparseLayersOf(
  model: Pick<RunConfig['model'], 'numDenseLayers' | 'numSparseLayers'>,
): number[] {
  return Array.from({ length: model.numSparseLayers }, (_, i) => model.numDenseLayers + i);
}

/** Returns the hidden size of an expert. */
export function expertWidthOf({ model, moe }: Pick<RunConfig, 'model' | 'moe'>): number {
  return moe.dFeedForward ?? model.dFeedForward;
}

export type TrainConfig = RunConfig['train'];
export type ClusterConfig = RunConfig['cluster'];
