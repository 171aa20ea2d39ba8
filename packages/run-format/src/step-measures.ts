import { z } from 'zod';

/** How a number that each rank measures in a step becomes one of the whole run, and where that is shown. */
interface Measure {
  readonly overRanks: 'mean' | 'sum' | 'max' | 'same';
  /** Description, with its unit. */
  readonly help: string;
  /** Name of its gauge for Prometheus, which has the value of the last step. */
  readonly prometheus?: string;
  /** Tag of its scalar for TensorBoard; it is then also a column of the page, and in the record of a step there. */
  readonly tensorboard?: string;
}

const about = z.registry<Measure>();

const count = z.int().nonnegative();

/**
 * Numbers of a step that are only recorded and shown: a rank reports them by name (`StepReport.measures`). They are optional,
 * as earlier runs, or some runs, do not have them.
 */
export const rankMeasures = z.strictObject({
  answerTokens: count.exactOptional().register(about, {
    overRanks: 'sum',
    help: 'With packed samples, tokens that count in the loss; in a run on text alone all do',
  }),
});
export type RankMeasures = Readonly<z.output<typeof rankMeasures>>;

/** All numbers of a step. One is nullable if it is null in a step that was skipped because something was not finite. */
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
