import { z } from 'zod';
import { MAX_COUNT } from '../numeric-bounds.js';
import { amount, count, positive, real, share } from '../routing/numeric-fields.js';

export const trainSchema = z.strictObject({
  steps: positive.describe('updates of the run'),
  maxTokens: amount
    .nullable()
    .default(null)
    .describe('end the run before it trains on more tokens than this, and fit the schedule to that'),
  maxHours: real
    .positive()
    .nullable()
    .default(null)
    .describe('end the run after this much time of training, over all resumes'),
  earlyStop: z
    .strictObject({
      patience: positive.describe('validations'),
      minDelta: real.min(0).default(0).describe('nats'),
    })
    .nullable()
    .default(null)
    .describe(
      'end the run when so many validations in a row have not lowered the mean loss by more than minDelta; ' +
        'the best checkpoint is kept',
    ),
  globalBatch: positive.describe('sequences a step over all ranks and micro-batches'),
  microBatches: positive
    .default(1)
    .describe('parts of the batch whose gradients are summed before an update; one fits in memory at a time'),
  schedule: z
    .enum(['cosine', 'linear', 'constant', 'wsd'])
    .default('cosine')
    .describe('learning rate after the warm-up; wsd: stable, then linear decay in the last decayShare'),
  learningRate: real.positive().describe('after the warm-up'),
  endLearningRate: real.min(0).default(0).describe('at the last step; not used by constant'),
  warmupSteps: count.default(0).describe('steps of linear warm-up'),
  decayShare: share.default(0.2).describe('share of the steps in which wsd decays'),
  beta1: z.number().min(0).lt(1).default(0.9).describe('AdamW: decay of the mean of gradients'),
  beta2: z.number().min(0).lt(1).default(0.95).describe('AdamW: decay of the mean of their squares'),
  epsilon: real.positive().default(1e-8).describe('AdamW: for all parameters but experts'),
  expertEpsilon: real
    .positive()
    .default(1e-20)
    .describe('epsilon for experts: their gradients are small and rare (PanGu-Sigma)'),
  weightDecay: real.min(0).default(0.1).describe('AdamW: of matrices alone'),
  expertUpdate: z
    .enum(['dense', 'touched'])
    .default('dense')
    .describe(
      'touched: an expert without tokens in a step keeps its weights and moments, and its steps are counted for itself',
    ),
  precision: z
    .enum(['float32', 'bfloat16', 'auto'])
    .default('float32')
    .describe(
      'of the operands of products and of kept activations; weights, moments and sums are float32. bfloat16 needs oneDNN; ' +
        'auto: bfloat16 where the processor multiplies it',
    ),
  device: z
    .enum(['cpu', 'webgpu', 'auto'])
    .default('cpu')
    .describe(
      'where products are computed: on the processor, or, as an experiment, on a graphics card through WebGPU, in float32 ' +
        '(`locmoe setup --webgpu` first); auto: on a card where one can be used',
    ),
  clipNorm: real.positive().default(1).describe('greatest norm of the gradient over all parameters'),
  freeze: z
    .array(z.string().min(1))
    .default([])
    .describe(
      'names of parameters that stay as they are, or the beginnings of names: embed, layers.0, layers.2.experts.5; ' +
        'for fine-tuning',
    ),
  only: z
    .enum(['router', 'experts'])
    .nullable()
    .default(null)
    .describe('train these parameters alone; null: all that `freeze` does not name'),
  lora: z
    .strictObject({
      rank: positive.describe('columns of A and rows of B'),
      alpha: real
        .positive()
        .nullable()
        .default(null)
        .describe('the product A B counts alpha / rank times; null: rank, so once'),
      on: z
        .array(z.enum(['attention', 'experts']))
        .min(1)
        .default(['attention'])
        .describe(
          'the matrices: attention, those of queries, keys, values and the output; experts, those of routed experts',
        ),
    })
    .nullable()
    .default(null)
    .describe(
      'fine-tune the weights of --init by a low-rank pair beside each of some matrices (LoRA); all else is frozen',
    ),
  validateEvery: positive.default(100).describe('steps between two validations'),
  validationSequences: positive.default(16).describe('sequences of each domain in a validation'),
  checkpointEvery: positive
    .default(500)
    .describe('steps between two checkpoints; there is one at the end too'),
  keepCheckpoints: positive.default(2).describe('checkpoints that stay: the newest'),
  snapshotEvery: z
    .union([count, z.literal('auto')], `must be auto or a whole number from 0 to ${MAX_COUNT}`)
    .default('auto')
    .describe(
      'steps between two copies of the state in the memory of the nodes, from which a run goes on when workers ' +
        'or a node are lost; auto: of each node by itself, for lost workers, after every step or as often as costs 1 to 2 % of ' +
        'the time; with a copy on another node, for a lost node, as often as costs under 1 %, and every 30 s where that costs under 10 %; 0: none',
    ),
  routes: z
    .string()
    .min(1)
    .default('router')
    .describe(
      'who chooses the experts in training: router; balanced: experts in turn; random; or the folder of a run whose recorded ' +
        'routes are replayed',
    ),
  recordRoutes: z
    .strictObject({
      every: positive.default(50).describe('multiples of this step are recorded'),
      from: positive.default(1).describe('first step'),
      to: positive.nullable().default(null).describe('last step; null: the end'),
      share: share.default(0.25).describe('share of the sequences of a step, drawn at random'),
      maxMB: real
        .positive()
        .default(1000)
        .describe('10^6 bytes of all ranks, after which no more are recorded'),
    })
    .nullable()
    .default(null)
    .describe("every choice of every token, as Parquet files in the run's folder routes/"),
  probeRoutes: z
    .boolean()
    .default(true)
    .describe(
      "route the same validation text of at most some 512 tokens at up to 40 steps, and write its choices to the run's folder probe/",
    ),
});
