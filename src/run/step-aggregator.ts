import {
  type GlobalLayer,
  type GlobalStep,
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
  switch (overRanks) {
    case 'same':
      return values[0];
    case 'max':
      return Math.max(...values);
    case 'sum':
      return sum;
    case 'mean':
      return sum / values.length;
    case 'max over mean':
      return sum === 0 ? undefined : (Math.max(...values) * values.length) / sum;
  }
}

function combineLayers(layers: readonly LayerReport[], classicCapacity: number): GlobalLayer {
  const sum = (of: (layer: LayerReport) => number) => layers.reduce((total, layer) => total + of(layer), 0);
  const byExpert = (of: (layer: LayerReport) => readonly number[]) =>
    of(layers[0]!).map((_, expert) => sum((layer) => of(layer)[expert]!));
  // Equal on all ranks.
  const { layer, capacity, rowBytes } = layers[0]!;
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
