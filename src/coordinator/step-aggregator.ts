import { type LayerReport, STEP_PARTS, type StepPart, type StepReport } from '../rpc/messages.js';

/** One step of the whole run: the reports of all ranks put together. */
export interface GlobalStep {
  readonly step: number;
  /** Mean over the global batch, in nats. */
  readonly loss: number;
  readonly auxiliaryLoss: number;
  readonly gradientNorm: number;
  readonly learningRate: number;
  readonly tokens: number;
  /** Of the slowest rank. */
  readonly stepMs: number;
  /** Mean over ranks. */
  readonly partsMs: Readonly<Record<StepPart, number>>;
  /** Summed over ranks. */
  readonly layers: readonly LayerReport[];
}

/** Collects the reports of a step until every rank has sent its own. */
export class StepAggregator {
  readonly #pending = new Map<number, StepReport[]>();

  constructor(readonly worldSize: number) {}

  /** The step, once `report` completes it; null before. */
  add(report: StepReport): GlobalStep | null {
    const reports = this.#pending.get(report.step) ?? [];
    reports.push(report);
    if (reports.length < this.worldSize) {
      this.#pending.set(report.step, reports);
      return null;
    }
    this.#pending.delete(report.step);
    // By rank, so that sums do not depend on the order of arrival.
    return combine(reports.sort((a, b) => a.rank - b.rank));
  }
}

function combine(reports: readonly StepReport[]): GlobalStep {
  const first = reports[0];
  const sum = (of: (report: StepReport) => number) =>
    reports.reduce((total, report) => total + of(report), 0);
  const mean = (of: (report: StepReport) => number) => sum(of) / reports.length;
  return {
    step: first.step,
    loss: mean((report) => report.loss),
    auxiliaryLoss: mean((report) => report.auxiliaryLoss),
    gradientNorm: first.gradientNorm,
    learningRate: first.learningRate,
    tokens: sum((report) => report.tokens),
    stepMs: Math.max(...reports.map((report) => report.stepMs)),
    partsMs: Object.fromEntries(
      STEP_PARTS.map((part) => [part, mean((report) => report.partsMs[part] ?? 0)]),
    ) as Record<StepPart, number>,
    layers: first.layers.map((layer, index) =>
      sumLayers(reports.map((report) => report.layers[index] ?? layer)),
    ),
  };
}

function sumLayers(layers: readonly LayerReport[]): LayerReport {
  const sum = (of: (layer: LayerReport) => number) => layers.reduce((total, layer) => total + of(layer), 0);
  return {
    layer: layers[0].layer,
    routed: layers[0].routed.map((_, expert) => sum((layer) => layer.routed[expert])),
    kept: layers[0].kept.map((_, expert) => sum((layer) => layer.kept[expert])),
    sameWorker: sum((layer) => layer.sameWorker),
    sameNode: sum((layer) => layer.sameNode),
    otherNode: sum((layer) => layer.otherNode),
  };
}

/** Shares of the kept tokens by how far they travelled, over all layers; null if none were kept. */
export function locality(
  layers: readonly LayerReport[],
): { sameWorker: number; sameNode: number; otherNode: number } | null {
  const sum = (of: (layer: LayerReport) => number) => layers.reduce((total, layer) => total + of(layer), 0);
  const total = sum((layer) => layer.sameWorker + layer.sameNode + layer.otherNode);
  if (total === 0) return null;
  return {
    sameWorker: sum((layer) => layer.sameWorker) / total,
    sameNode: sum((layer) => layer.sameNode) / total,
    otherNode: sum((layer) => layer.otherNode) / total,
  };
}
