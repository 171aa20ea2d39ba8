import { TrainerError } from 'locmoe/internal/errors';
import { tf } from 'locmoe/internal/ops/tensorflow';
import { CounterRandom } from 'locmoe/internal/parameters/counter-random';
import { cosineAffinity, groupProjection } from 'locmoe/internal/routing/grap';
import { median, quantile } from '../../packages/bench/src/statistics.js';

// Shapes: T tokens, d hidden size, E experts.

const NUM_TOKENS = 1000;
const DIMS = [256, 1024] as const;
const EXPERTS = [8, 64, 256] as const;
const WARM_UP = 5;
/** Time budget per median, with at least `LEAST_CALLS` calls. */
const BUDGET_MS = 300;
const LEAST_CALLS = 15;

export const GATES = ['dense', 'GrAP', 'affinity'] as const;
export type Gate = (typeof GATES)[number];

/** Microseconds per 1,000 tokens: median of single calls, with the 10th and 90th percentile. */
export interface CostRow {
  readonly gate: Gate;
  readonly dModel: number;
  readonly numExperts: number;
  readonly forwardUs: Timing;
  /** Forward pass and gradients of x and of the weight, if there is one. */
  readonly forwardBackwardUs: Timing;
}

export interface Timing {
  readonly median: number;
  readonly p10: number;
  readonly p90: number;
}

/**
 * Cost of the scores of 1,000 tokens, without the softmax and selection that every router has: the dense gate
 * x W takes O(d n) per token, grouped means and affinities O(d) (LocMoE, arXiv 2401.13920, eq. 4; LocMoE+,
 * arXiv 2406.00023, eq. 4).
 *
 * @throws TrainerError `INTERNAL` if a gate deviates from its definition; nothing is timed then
 */
export function measureRouterCost(): CostRow[] {
  return DIMS.flatMap((dModel) => EXPERTS.flatMap((numExperts) => costOfGates(dModel, numExperts)));
}

/** The same for one size of the model. */
export function costOfGates(dModel: number, numExperts: number): CostRow[] {
  tf.engine().startScope();
  try {
    const xTD = randomMatrix('x', NUM_TOKENS, dModel);
    const weightDE = randomMatrix('weight', dModel, numExperts);
    verify(xTD, numExperts);
    return GATES.map((gate) => costOf(gate, xTD, weightDE));
  } finally {
    tf.engine().endScope();
  }
}

function costOf(gate: Gate, xTD: tf.Tensor2D, weightDE: tf.Tensor2D): CostRow {
  const numExperts = weightDE.shape[1];
  const scores: Readonly<Record<Gate, (x: tf.Tensor2D, weight: tf.Tensor2D) => tf.Tensor2D>> = {
    dense: (x, weight) => tf.matMul(x, weight),
    GrAP: (x) => groupProjection(x, numExperts, null),
    affinity: (x) => cosineAffinity(x, numExperts, null),
  };
  const dyTE = tf.onesLike(scores[gate](xTD, weightDE));
  const differentiated =
    gate === 'dense'
      ? tf.grads((x: tf.Tensor, weight: tf.Tensor) => scores.dense(x as tf.Tensor2D, weight as tf.Tensor2D))
      : tf.grads((x: tf.Tensor) => scores[gate](x as tf.Tensor2D, weightDE));
  const inputs = gate === 'dense' ? [xTD, weightDE] : [xTD];
  return {
    gate,
    dModel: xTD.shape[1],
    numExperts,
    forwardUs: timingOf(() => scores[gate](xTD, weightDE).dataSync()),
    forwardBackwardUs: timingOf(() => {
      // A backward frees the gradient that it is given.
      for (const gradient of differentiated(inputs, tf.clone(dyTE))) gradient.dataSync();
    }),
  };
}

function timingOf(call: () => void): Timing {
  const timesUs: number[] = [];
  const started = performance.now();
  for (let i = -WARM_UP; i < LEAST_CALLS || performance.now() - started < BUDGET_MS; i++) {
    const begin = performance.now();
    tf.tidy(() => {
      call();
    });
    if (i >= 0) timesUs.push(1000 * (performance.now() - begin));
  }
  return { median: median(timesUs), p10: quantile(timesUs, 0.1), p90: quantile(timesUs, 0.9) };
}

/** Verifies both cheap gates against a product with explicit GrAP weights, w_i = E/d on its group. */
function verify(xTD: tf.Tensor2D, numExperts: number): void {
  const dModel = xTD.shape[1];
  const width = dModel / numExperts;
  const worst = tf.tidy(() => {
    const grapDE = tf.buffer([dModel, numExperts]);
    for (let i = 0; i < dModel; i++) grapDE.set(1 / width, i, Math.floor(i / width));
    const meansTE = tf.matMul(xTD, grapDE.toTensor() as tf.Tensor2D);
    const projectionTE = tf.mul(meansTE, Math.sqrt(width));
    const cosinesTE = tf.div(projectionTE, tf.norm(xTD, 2, 1, true));
    const errors = [
      tf.sub(groupProjection(xTD, numExperts, null), projectionTE),
      tf.sub(cosineAffinity(xTD, numExperts, null), cosinesTE),
    ];
    return Math.max(...errors.map((error) => tf.max(tf.abs(error)).dataSync()[0]!));
  });
  if (!(worst < 1e-4))
    throw new TrainerError('INTERNAL', `d ${dModel}, n ${numExperts}: a gate is off by ${worst}`);
}

function randomMatrix(name: string, rows: number, columns: number): tf.Tensor2D {
  const values = new Float32Array(rows * columns);
  new CounterRandom(1, name).fillNormal(values, 1);
  return tf.tensor2d(values, [rows, columns]);
}

/** A header and a row per d and n: medians, with the 10th and 90th percentile in brackets. */
export function costCells(rows: readonly CostRow[]): string[][] {
  const sizes = DIMS.flatMap((dModel) => EXPERTS.map((numExperts) => ({ dModel, numExperts })));
  return [
    ['d', 'n', ...GATES.flatMap((gate) => [`${gate}, forward`, `${gate}, with backward`])],
    ...sizes.map(({ dModel, numExperts }) => [
      String(dModel),
      String(numExperts),
      ...GATES.flatMap((gate) => {
        const row = rows.find(
          (each) => each.gate === gate && each.dModel === dModel && each.numExperts === numExperts,
        );
        return row === undefined ? ['', ''] : [row.forwardUs, row.forwardBackwardUs].map(timingLabel);
      }),
    ]),
  ];
}

function timingLabel({ median: middle, p10, p90 }: Timing): string {
  return `${middle.toFixed(0)} (${p10.toFixed(0)} to ${p90.toFixed(0)})`;
}
