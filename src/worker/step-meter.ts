import { type RankMeasures, reportMeasures, type StepPart } from '@locmoe/run-format';
import { OPERATION_KINDS } from '@locmoe/run-format/operations';
import type { SentRows } from '@locmoe/run-format/row-traffic';
import type { OperationStats, Transport } from '../collectives/transport.js';
import { addStats } from '../collectives/transport.js';
import { type Batch, countedTargets } from '../data/batch.js';
import type { LayerStatistics } from '../model/moe-layer.js';
import { RunQueue } from '../os/run-queue.js';
import type { LayerReport, StepReport } from '../rpc/generated/messages.js';
import type { Pass } from './forward-backward.js';
import { sentRowsOf } from './row-traffic.js';

/** Operations of the sparse layers; the all-reduce of gradients overlaps them. */
const SPARSE_LAYER_KINDS = OPERATION_KINDS.filter((kind) => kind !== 'all-reduce');

const runQueue = new RunQueue();

/** The results of a training step, equal on all ranks except for the forward and backward passes. */
export interface TrainedStep {
  readonly step: number;
  readonly batches: readonly Batch[];
  /** Forward and backward passes by micro-batch. */
  readonly passes: readonly Pass[];
  readonly loss: number;
  readonly auxiliaryLoss: number;
  /** L2 norm of the gradient. */
  readonly norm: number;
  readonly skipped: boolean;
  readonly learningRate: number;
  readonly choices?: RankMeasures | undefined;
}

export interface MeasuredStep {
  readonly report: StepReport;
  /** Rows that this rank sent, by layer and direction. */
  readonly sent: SentRows['sent'];
}

/** Measures one step of a rank, from its construction to `report`. */
export class StepMeter {
  readonly #cpu = process.cpuUsage();
  readonly #queuedMs = runQueue.waitedMs;
  readonly #startedMs = performance.now();
  #updateBegunMs = 0;
  #reduceStats: ReturnType<Transport['takeStats']> | null = null;

  constructor(private readonly transport: Transport) {
    transport.takeStats();
  }

  /** Called when the gradients are reduced: later exchanges do not count as part of the step. */
  endReduction(): void {
    this.#reduceStats = this.transport.takeStats();
  }

  beginUpdate(): void {
    this.#updateBegunMs = performance.now();
  }

  /** Ends the update and the step; returns the report. */
  report({ passes, batches, skipped, ...trained }: TrainedStep): MeasuredStep {
    const endedMs = performance.now();
    const sum = (of: (pass: Pass) => number) => passes.reduce((total, pass) => total + of(pass), 0);
    const sumOver = (of: (batch: Batch) => number) => batches.reduce((total, each) => total + of(each), 0);
    const stats = [...passes.flatMap((pass) => pass.stats), this.#reduceStats!];
    const reduction = addStats(stats, ['all-reduce']);
    const exchange = addStats(stats, SPARSE_LAYER_KINDS);
    const allToAll = addStats(stats, ['all-to-all']);
    const sent = sentRowsOf(stats);
    const rowBytesTo = Array.from({ length: this.transport.topology.worldSize }, (_, rank) =>
      sent.reduce((total, { toRank }) => total + toRank[rank]!, 0),
    );
    const stepMs = endedMs - this.#startedMs;
    const waiting = exchange.waitMs + reduction.waitMs;
    const report: StepReport = {
      step: trained.step,
      rank: this.transport.topology.rank,
      skipped,
      // JSON cannot express NaN.
      loss: skipped ? 0 : trained.loss,
      auxiliaryLoss: skipped ? 0 : trained.auxiliaryLoss,
      gradientNorm: skipped ? 0 : trained.norm,
      learningRate: trained.learningRate,
      tokens: sumOver(({ tokenIds }) => tokenIds.length),
      stepMs,
      partsMs: {
        forward: sum((pass) => pass.forwardMs),
        backward: sum((pass) => pass.backwardMs),
        exchange: busyMs(exchange),
        allReduce: busyMs(reduction),
        optimizer: endedMs - this.#updateBegunMs,
        waiting,
      } satisfies Record<StepPart, number>,
      layers: skipped
        ? []
        : passes[0]!.layers.map((_, i) => layerReport(passes.map(({ layers }) => layers[i]!))),
      bytesSameNode: exchange.bytesSameNode,
      bytesOtherNode: exchange.bytesOtherNode,
      allToAllMs: allToAll.ms,
      allToAllWaitMs: allToAll.waitMs,
      measures: {
        ...(skipped ? {} : trained.choices),
        ...(rowBytesTo.length > 1 && {
          timeImbalance: Math.max(0, stepMs - waiting),
          bytesImbalance: rowBytesTo.reduce((total, bytes) => total + bytes, 0),
        }),
        ...(batches[0]!.packed && { answerTokens: sumOver(numCounted) }),
      } satisfies RankMeasures,
      rowBytesTo,
      startMs: {},
      cpuMs: cpuMsSince(this.#cpu),
      queuedMs: runQueue.waitedMs - this.#queuedMs,
    };
    return { report, sent };
  }
}

function numCounted(batch: Batch): number {
  return countedTargets(batch).reduce((total, each) => total + each, 0);
}

/** @param batches statistics of one layer, by micro-batch */
function layerReport(batches: readonly LayerStatistics[]): LayerReport {
  const { layer, rowBytes } = batches[0]!;
  return { layer, rowBytes, measures: reportMeasures(batches.map(({ measures }) => measures)) };
}

function cpuMsSince(before: NodeJS.CpuUsage): number {
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1000;
}

function busyMs({ ms, waitMs }: OperationStats): number {
  return ms - waitMs;
}
