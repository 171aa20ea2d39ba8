import {
  type CheckpointReport,
  type GlobalStep,
  lostSecondsOf,
  type RecoveryAccount,
  type Validation,
} from '@locmoe/run-format';
import type { RestartBudget } from './restart-budget.js';
import { RoutingTotals } from './routing-totals.js';
import type { GenerationView, RunListener } from './run-listener.js';

/** Results of a run under one coordinator: its last step, validation and checkpoint, its routing, its restarts. */
export class RunTotals implements RunListener {
  /** 0 before the first. */
  lastStep = 0;
  lastValidation: Validation | null = null;
  lastCheckpoint: CheckpointReport | null = null;
  /** A step that was done again counts once. */
  readonly routing = new RoutingTotals();
  /** Sum of the tokens of `GlobalStep`. */
  tokens = 0;
  answerTokens = 0;
  #countedUpTo = 0;
  numRestarts = 0;
  /** Steps that were done again, and the time lost with them and with waiting for a generation to train. */
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

  step({ step, layers, tokens, answerTokens = 0 }: GlobalStep): void {
    this.lastStep = step;
    if (step <= this.#countedUpTo) return;
    this.#countedUpTo = step;
    this.tokens += tokens;
    this.answerTokens += answerTokens;
    this.routing.add(layers);
  }

  validation(report: Validation): void {
    this.lastValidation = report;
  }

  checkpoint(report: CheckpointReport): void {
    this.lastCheckpoint = report;
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
