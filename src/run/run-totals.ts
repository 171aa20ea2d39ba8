import {
  type CheckpointReport,
  type GlobalLayer,
  type GlobalStep,
  lostSecondsOf,
  type RecoveryAccount,
  type Validation,
} from '@locmoe/run-format';
import type { RestartBudget } from './restart-budget.js';
import type { GenerationView, RunListener } from './run-listener.js';

type SummedChoices = Record<'routed' | 'overCapacity' | 'notChosen', number>;
/** A layer's choices summed over a run, kept ones by expert and by distance, and its ratios in the last step. */
export type LayerTotals = SummedChoices & Omit<GlobalLayer, keyof SummedChoices | 'bytes' | 'capacity'>;

/** Results of a run under one coordinator: its last step, validation and checkpoint, its routing, its restarts. */
export class RunTotals implements RunListener {
  /** 0 before the first step. */
  lastStep = 0;
  /** Loss of that step; null if it was skipped, or there is none. */
  lastLoss: number | null = null;
  lastValidation: Validation | null = null;
  lastCheckpoint: CheckpointReport | null = null;
  /** Checkpoints since the last complete one that the disk had no room for. */
  failedCheckpoints = 0;
  /** Shares of the last step's choices that ids and gate decided; a router without a gate has no `gateShare`. */
  lastChoices: Pick<GlobalStep, 'idShare' | 'gateShare'> = {};
  /** Routing of the last step. */
  lastLayers: readonly GlobalLayer[] = [];
  readonly #layers = new Map<number, LayerTotals>();
  /** Sum of the tokens of `GlobalStep`. */
  tokens = 0;
  answerTokens = 0;
  /** Number of steps in the sums; a repeated step counts once. */
  countedSteps = 0;
  #countedUpTo = 0;
  numRestarts = 0;
  /** Steps that were repeated, and the time lost to these and to waiting for a generation to train. */
  lostSteps = 0;
  lostS = 0;
  readonly #startedMs = performance.now();

  constructor(
    public currentGeneration: number,
    readonly budget: RestartBudget,
  ) {}

  get seconds(): number {
    return (performance.now() - this.#startedMs) / 1000;
  }

  step(report: GlobalStep): void {
    const { step, layers, tokens, answerTokens = 0 } = report;
    this.lastStep = step;
    this.lastLoss = report.loss;
    this.lastChoices = report;
    this.lastLayers = layers;
    if (step <= this.#countedUpTo) return;
    this.#countedUpTo = step;
    this.countedSteps++;
    this.tokens += tokens;
    this.answerTokens += answerTokens;
    for (const layer of layers) this.#layers.set(layer.layer, added(layer, this.#layers.get(layer.layer)));
  }

  /** Routing of all counted steps, ascending by layer. */
  get layers(): LayerTotals[] {
    return [...this.#layers.values()].sort((a, b) => a.layer - b.layer);
  }

  validation(report: Validation): void {
    this.lastValidation = report;
  }

  checkpoint(report: CheckpointReport): void {
    this.lastCheckpoint = report;
    this.failedCheckpoints = 0;
  }

  checkpointFailed(): void {
    this.failedCheckpoints++;
  }

  generation({ generation }: GenerationView): void {
    this.currentGeneration = generation;
  }

  restarts(): void {
    this.numRestarts++;
  }

  recovered(account: RecoveryAccount): void {
    this.lostSteps += account.lostSteps;
    this.lostS += lostSecondsOf(account);
  }
}

function added(step: GlobalLayer, before: LayerTotals | undefined): LayerTotals {
  return {
    layer: step.layer,
    kept: step.kept.map((kept, expert) => kept + (before?.kept[expert] ?? 0)),
    routed: sum(step.routed) + (before?.routed ?? 0),
    overCapacity: sum(step.overCapacity) + (before?.overCapacity ?? 0),
    notChosen: sum(step.notChosen) + (before?.notChosen ?? 0),
    sameWorker: step.sameWorker + (before?.sameWorker ?? 0),
    sameNode: step.sameNode + (before?.sameNode ?? 0),
    otherNode: step.otherNode + (before?.otherNode ?? 0),
    capacityRatio: step.capacityRatio,
    gateCosine: step.gateCosine,
  };
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
