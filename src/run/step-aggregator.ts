import {
  type GlobalLayer,
  type GlobalStep,
  LAYER_MEASURES,
  measureOverRanks,
  STEP_MEASURES,
  STEP_PARTS,
  type StepMeasure,
  type StepPart,
} from '@locmoe/run-format';
import { linksOf } from '@locmoe/run-format/row-traffic';
import { TrainerError } from '../errors.js';
import type { LayerReport, StepReport } from '../rpc/generated/messages.js';

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
   * @param numNodes nodes of the world, of equal size
   * @param classicCapacity choices that an expert would take from the global batch under the classic rule
   * @param after the last step that another coordinator completed; null if the first step is unknown
   */
  constructor(
    private readonly worldSize: number,
    private readonly numNodes: number,
    private readonly classicCapacity: number,
    private readonly after: number | null = null,
  ) {}

  /** Tells whether this rank has reported this step before. */
  has({ rank, step }: StepReport): boolean {
    return step <= (this.#lastStepOf.get(rank) ?? this.after ?? 0);
  }

  /**
   * @returns the step, once `report` completes it; null before
   * @throws TrainerError `BAD_MESSAGE` if it is not the report of the step after the last one of its rank
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
    // Reports are sorted by rank, so that sums do not depend on the order of arrival.
    return combine(
      reports.sort((a, b) => a.rank - b.rank),
      this.numNodes,
      this.classicCapacity,
    );
  }
}

function combine(reports: readonly StepReport[], numNodes: number, classicCapacity: number): GlobalStep {
  const first = reports[0]!;
  const numbers = reports.map(({ measures, ...named }): Numbers => ({ ...measures, ...named }));
  const measures = STEP_MEASURES.flatMap((measure) => {
    const value = measure.isNullable && first.skipped ? null : overRanks(measure, numbers);
    return value === undefined ? [] : [[measure.name, value] as const];
  });
  const partMs = (part: StepPart) =>
    reports.reduce((total, report) => total + (report.partsMs[part] ?? 0), 0) / reports.length;
  return {
    step: first.step,
    ...(Object.fromEntries(measures) as Pick<GlobalStep, StepMeasure['name']>),
    partsMs: Object.fromEntries(STEP_PARTS.map((part) => [part, partMs(part)])) as Record<StepPart, number>,
    layers: first.layers.map((layer, index) =>
      combineLayers(
        reports.map((report) => report.layers[index] ?? layer),
        classicCapacity,
      ),
    ),
    ...(reports.length > 1 &&
      first.layers.length > 0 && {
        links: linksOf(
          reports.map(({ rowBytesTo }) => rowBytesTo),
          numNodes,
        ),
      }),
  };
}

type Numbers = { readonly [Name in StepMeasure['name']]?: number };

/** Combines a number over the ranks; undefined if no rank has it. */
function overRanks({ name, overRanks }: StepMeasure, reports: readonly Numbers[]): number | undefined {
  const values = reports.flatMap((report) => report[name] ?? []);
  if (values.length === 0) return undefined;
  const sum = values.reduce((total, value) => total + value, 0);
  const max = Math.max(...values);
  const maxOverMean = sum === 0 ? undefined : (max * values.length) / sum;
  const mean = sum / values.length;
  return { same: values[0], max, sum, mean, 'max over mean': maxOverMean }[overRanks];
}

function combineLayers(layers: readonly LayerReport[], classicCapacity: number): GlobalLayer {
  const { layer, rowBytes } = layers[0]!;
  const ranks = layers.map(({ measures }) => measures);
  const measured = Object.fromEntries(
    LAYER_MEASURES.map((measure) => [measure.name, measureOverRanks(measure, ranks)]),
  ) as unknown as Omit<GlobalLayer, 'layer'>;
  const { capacity, sameWorker, sameNode, otherNode } = measured;
  return {
    layer,
    ...measured,
    bytes: {
      sameWorker: 2 * sameWorker * rowBytes,
      sameNode: 2 * sameNode * rowBytes,
      otherNode: 2 * otherNode * rowBytes,
    },
    capacityRatio: capacity.includes(0)
      ? null
      : capacity.reduce((total, each) => total + each, 0) / capacity.length / classicCapacity,
  };
}
