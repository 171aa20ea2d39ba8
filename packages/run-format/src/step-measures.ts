import { z } from 'zod';

/** How a number that each rank measures in a step is combined over ranks, and where the result is shown. */
interface Measure {
  readonly overRanks: 'mean' | 'sum' | 'max' | 'same' | 'max over mean';
  /** Description, with its unit. */
  readonly help: string;
  /** Name of its Prometheus gauge, which has the value of the last step. */
  readonly prometheus?: string;
  /** Tag of the number's TensorBoard scalar. A number with a tag is also a column of the page. */
  readonly tensorboard?: string;
}

const about = z.registry<Measure>();

const count = z.int().nonnegative();
const amount = z.number().nonnegative();

const loadPercentile = (percent: number, which: string) =>
  amount.exactOptional().register(about, {
    overRanks: 'same',
    help: `Kept choices that ${which} below, over the mean of the experts, mean of the sparse layers`,
    prometheus: `locmoe_load_p${percent}_ratio`,
    tensorboard: `imbalance/load_p${percent}`,
  });

/**
 * Numbers of a step that are only recorded and shown; a rank reports them by name (`StepReport.measures`).
 * They are optional, as earlier runs and some current ones lack them.
 */
export const rankMeasures = z.strictObject({
  answerTokens: count.exactOptional().register(about, {
    overRanks: 'sum',
    help: 'With packed samples, tokens that count in the loss; in a run on text alone all do',
  }),
  idShare: amount.exactOptional().register(about, {
    overRanks: 'mean',
    help: "Share of the choices that were among those of the last token with the same id and domain on the same rank, mean of the sparse layers: so much a token's id decides at least. A rank remembers since its process started, so recorded routes do not give it",
    prometheus: 'locmoe_choices_as_of_id_ratio',
    tensorboard: 'routing/as_of_id_share',
  }),
  gateShare: amount.exactOptional().register(about, {
    overRanks: 'mean',
    help: 'Share of the tokens that chose the expert which the gate alone ranks first, mean of the sparse layers; absent without a gate',
    prometheus: 'locmoe_choices_of_gate_ratio',
    tensorboard: 'routing/of_gate_share',
  }),
  margin: amount.exactOptional().register(about, {
    overRanks: 'mean',
    help: 'Best score of a token less its second best, with bias and preference, mean of tokens and sparse layers; absent without a gate',
    prometheus: 'locmoe_score_margin',
    tensorboard: 'routing/margin',
  }),
  gateEntropy: amount.exactOptional().register(about, {
    overRanks: 'mean',
    help: 'Entropy of the softmax of the gate over the experts that are open to a token, in nats, mean of tokens and sparse layers; absent without a gate',
    prometheus: 'locmoe_gate_entropy',
    tensorboard: 'routing/gate_entropy',
  }),
  routerZ: amount.exactOptional().register(about, {
    overRanks: 'mean',
    help: "Square of the log of the sum of exp(gate) over the open experts (ST-MoE's router z), mean of tokens and sparse layers; absent without a gate",
    prometheus: 'locmoe_router_z',
    tensorboard: 'routing/router_z',
  }),
  loadImbalance: amount.exactOptional().register(about, {
    overRanks: 'same',
    help: 'Kept choices of the busiest expert over the mean of the experts, mean of the sparse layers',
    prometheus: 'locmoe_load_imbalance_ratio',
    tensorboard: 'imbalance/load',
  }),
  loadP10: loadPercentile(10, 'a tenth of the experts stays'),
  loadP50: loadPercentile(50, 'half of the experts stays'),
  loadP90: loadPercentile(90, 'nine tenths of the experts stay'),
  timeImbalance: amount.exactOptional().register(about, {
    overRanks: 'max over mean',
    help: "Time of the last step without waiting: the slowest rank's over the mean of the ranks",
    prometheus: 'locmoe_time_imbalance_ratio',
    tensorboard: 'imbalance/time',
  }),
  bytesImbalance: amount.exactOptional().register(about, {
    overRanks: 'max over mean',
    help: "Bytes of rows that a rank sent in the last step, forward and backward: the greatest rank's over the mean of the ranks",
    prometheus: 'locmoe_bytes_imbalance_ratio',
    tensorboard: 'imbalance/bytes',
  }),
});
export type RankMeasures = Readonly<z.output<typeof rankMeasures>>;

/**
 * All numbers of a step. A number is nullable if it is null in a step that was skipped because a value was
 * not finite.
 */
export const stepMeasures = z.object({
  loss: z.number().nullable().register(about, {
    overRanks: 'mean',
    help: 'Mean cross-entropy over the global batch of the last step, in nats per token',
    prometheus: 'locmoe_loss',
    tensorboard: 'train/loss',
  }),
  auxiliaryLoss: z.number().nullable().register(about, {
    overRanks: 'mean',
    help: 'Sum of the auxiliary losses of the last step, weighted, in nats',
    prometheus: 'locmoe_auxiliary_loss',
    tensorboard: 'train/auxiliary_loss',
  }),
  gradientNorm: z.number().nullable().register(about, {
    overRanks: 'same',
    help: 'Global norm of the gradient of the last step, before clipping',
    prometheus: 'locmoe_gradient_norm',
    tensorboard: 'train/gradient_norm',
  }),
  learningRate: z.number().register(about, {
    overRanks: 'same',
    help: 'Learning rate of the last step',
    prometheus: 'locmoe_learning_rate',
    tensorboard: 'train/learning_rate',
  }),
  tokens: count.register(about, { overRanks: 'sum', help: 'Tokens trained on' }),
  stepMs: z.number().register(about, {
    overRanks: 'max',
    help: 'Time of the slowest rank, in ms',
    tensorboard: 'speed/step_ms',
  }),
  bytesSameNode: z.number().register(about, {
    overRanks: 'sum',
    help: 'Bytes sent inside nodes by the sparse layers, forward and backward, counts and scores included',
  }),
  bytesOtherNode: z.number().register(about, { overRanks: 'sum', help: 'The same between nodes' }),
  allToAllMs: z.number().register(about, {
    overRanks: 'mean',
    help: 'Time inside all-to-alls, waiting included, in ms',
  }),
  allToAllWaitMs: z.number().register(about, { overRanks: 'mean', help: 'The waiting alone, in ms' }),
  ...rankMeasures.shape,
});

/** Descriptions of the numbers, by name. */
export const STEP_MEASURES = Object.entries(stepMeasures.shape).map(([name, schema]) => ({
  name: name as keyof typeof stepMeasures.shape,
  isNullable: schema.safeParse(null).success,
  ...about.get(schema)!,
}));
export type StepMeasure = (typeof STEP_MEASURES)[number];
