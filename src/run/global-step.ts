import { TrainerError } from '../errors.js';
import type { LayerReport, StepReport } from '../rpc/messages.js';

/** The parts of a step's time, which sum to the step's except for the gaps between them. */
export const STEP_PARTS = ['forward', 'backward', 'exchange', 'allReduce', 'optimizer', 'waiting'] as const;
export type StepPart = (typeof STEP_PARTS)[number];

/** A sparse layer in one step, summed over ranks: tokens' choices by expert, or by how far they travelled. */
export interface GlobalLayer {
  readonly layer: number;
  /** By expert: kept, over capacity and not chosen add up to routed. */
  readonly routed: readonly number[];
  readonly kept: readonly number[];
  readonly overCapacity: readonly number[];
  readonly notChosen: readonly number[];
  readonly sameWorker: number;
  readonly sameNode: number;
  readonly otherNode: number;
  /** Bytes of activations by how far they travelled in the forward pass: there and back. */
  readonly bytes: { readonly sameWorker: number; readonly sameNode: number; readonly otherNode: number };
  /** By expert; 0 where nothing limits it. */
  readonly capacity: readonly number[];
  /** Mean capacity over that of Switch with the run's capacity factor; null where nothing limits it. */
  readonly capacityRatio: number | null;
  /** Mean cosine between tokens and the gates of their experts; null where experts have no gate vector. */
  readonly gateCosine: number | null;
}

/** One step of the whole run, combined from the reports of all ranks. */
export interface GlobalStep {
  readonly step: number;
  /** Mean over the global batch, in nats. Null as the next two if the step was skipped: something was not finite. */
  readonly loss: number | null;
  readonly auxiliaryLoss: number | null;
  readonly gradientNorm: number | null;
  readonly learningRate: number;
  readonly tokens: number;
  /** Of these, with packed samples: targets that count in the loss; none in a run on text alone, where all do. */
  readonly answerTokens?: number;
  /** Of the slowest rank. */
  readonly stepMs: number;
  /** Mean over ranks. */
  readonly partsMs: Readonly<Record<StepPart, number>>;
  /** None of a step that was skipped. */
  readonly layers: readonly GlobalLayer[];
  /** Bytes sent in the collectives of the sparse layers, forward and backward, counts and scores included. */
  readonly bytesSameNode: number;
  readonly bytesOtherNode: number;
  /** Time inside all-to-alls, waiting included, and the waiting alone; mean over ranks. */
  readonly allToAllMs: number;
  readonly allToAllWaitMs: number;
}

/**
 * Ranks are in lockstep, but their reports wait in separate queues: after an agent or this process stood
 * still, thousands of short steps of one rank may be read before those of another.
 */
const MAX_STEPS_AHEAD = 10_000;

/** Collects the reports of a step until every rank has sent one. */
export class StepAggregator {
  readonly #pending = new Map<number, StepReport[]>();
  readonly #lastStepOf = new Map<number, number>();

  /**
   * @param classicCapacity choices that an expert would take from the global batch under the classic rule
   * @param after the step that was completed last, elsewhere; null if the first to come is not known
   */
  constructor(
    readonly worldSize: number,
    readonly classicCapacity: number,
    readonly after: number | null = null,
  ) {}

  /** Whether this rank has reported this step before. */
  has({ rank, step }: StepReport): boolean {
    return step <= (this.#lastStepOf.get(rank) ?? this.after ?? 0);
  }

  /**
   * The step, once `report` completes it; null before.
   *
   * @throws TrainerError `BAD_MESSAGE` if it is not of the step after the last one of its rank
   */
  add(report: StepReport): GlobalStep | null {
    const { rank, step } = report;
    const last = this.#lastStepOf.get(rank) ?? this.after ?? undefined;
    if ((last !== undefined && step !== last + 1) || this.#pending.size >= MAX_STEPS_AHEAD)
      throw new TrainerError('BAD_MESSAGE', `it sent step ${step} of rank ${rank} after step ${last ?? 0}`);
    this.#lastStepOf.set(rank, step);
    const reports = this.#pending.get(step) ?? [];
    reports.push(report);
    if (reports.length < this.worldSize) {
      this.#pending.set(report.step, reports);
      return null;
    }
    this.#pending.delete(report.step);
    // By rank, so that sums do not depend on the order of arrival.
    return combine(
      reports.sort((a, b) => a.rank - b.rank),
      this.classicCapacity,
    );
  }
}

function combine(reports: readonly StepReport[], classicCapacity: number): GlobalStep {
  const first = reports[0]!;
  const sum = (of: (report: StepReport) => number) =>
    reports.reduce((total, report) => total + of(report), 0);
  const mean = (of: (report: StepReport) => number) => sum(of) / reports.length;
  const answerTokens = sum((report) => report.answerTokens ?? 0);
  return {
    step: first.step,
    loss: first.skipped ? null : mean((report) => report.loss),
    auxiliaryLoss: first.skipped ? null : mean((report) => report.auxiliaryLoss),
    gradientNorm: first.skipped ? null : first.gradientNorm,
    learningRate: first.learningRate,
    tokens: sum((report) => report.tokens),
    ...(answerTokens > 0 && { answerTokens }),
    stepMs: Math.max(...reports.map((report) => report.stepMs)),
    partsMs: Object.fromEntries(
      STEP_PARTS.map((part) => [part, mean((report) => report.partsMs[part] ?? 0)]),
    ) as Record<StepPart, number>,
    layers: first.layers.map((layer, index) =>
      combineLayers(
        reports.map((report) => report.layers[index] ?? layer),
        classicCapacity,
      ),
    ),
    bytesSameNode: sum((report) => report.bytesSameNode),
    bytesOtherNode: sum((report) => report.bytesOtherNode),
    allToAllMs: mean((report) => report.allToAllMs),
    allToAllWaitMs: mean((report) => report.allToAllWaitMs),
  };
}

function combineLayers(layers: readonly LayerReport[], classicCapacity: number): GlobalLayer {
  const sum = (of: (layer: LayerReport) => number) => layers.reduce((total, layer) => total + of(layer), 0);
  const byExpert = (of: (layer: LayerReport) => readonly number[]) =>
    of(layers[0]!).map((_, expert) => sum((layer) => of(layer)[expert]!));
  // Equal on all ranks.
  const { layer, capacity, rowBytes } = layers[0];
  const [sameWorker, sameNode, otherNode] = [
    sum((each) => each.sameWorker),
    sum((each) => each.sameNode),
    sum((each) => each.otherNode),
  ];
  const cosines = sum((each) => each.cosineCount);
  return {
    layer,
    routed: byExpert((each) => each.routed),
    kept: byExpert((each) => each.kept),
    overCapacity: byExpert((each) => each.overCapacity),
    notChosen: byExpert((each) => each.notChosen),
    sameWorker,
    sameNode,
    otherNode,
    bytes: {
      sameWorker: 2 * sameWorker * rowBytes,
      sameNode: 2 * sameNode * rowBytes,
      otherNode: 2 * otherNode * rowBytes,
    },
    capacity,
    capacityRatio: capacity.includes(0)
      ? null
      : capacity.reduce((total, each) => total + each, 0) / capacity.length / classicCapacity,
    gateCosine: cosines === 0 ? null : sum((each) => each.cosineSum) / cosines,
  };
}

/** Shares of the kept tokens by how far they travelled, over all layers; null if none were kept. */
export function locality(
  layers: readonly GlobalLayer[],
): { sameWorker: number; sameNode: number; otherNode: number } | null {
  const sum = (of: (layer: GlobalLayer) => number) => layers.reduce((total, layer) => total + of(layer), 0);
  const total = sum((layer) => layer.sameWorker + layer.sameNode + layer.otherNode);
  if (total === 0) return null;
  return {
    sameWorker: sum((layer) => layer.sameWorker) / total,
    sameNode: sum((layer) => layer.sameNode) / total,
    otherNode: sum((layer) => layer.otherNode) / total,
  };
}

/** Experts that compute a token, the mean over the tokens and the sparse layers; null without layers. */
export function expertsPerToken({ layers, tokens }: Pick<GlobalStep, 'layers' | 'tokens'>): number | null {
  if (layers.length === 0) return null;
  const kept = layers.flatMap((layer) => layer.kept).reduce((total, each) => total + each, 0);
  return kept / (layers.length * tokens);
}

/** Share of the routed choices that were dropped, over all layers; 0 if none were routed. */
export function droppedShare(layers: readonly GlobalLayer[]): number {
  const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0);
  const routed = sum(layers.map((layer) => sum(layer.routed)));
  const kept = sum(layers.map((layer) => sum(layer.kept)));
  return routed === 0 ? 0 : 1 - kept / routed;
}
