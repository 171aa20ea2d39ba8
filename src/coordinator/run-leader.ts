import type { TrainerError } from '../errors.js';
import type { Coordinator } from './coordinator.js';

/** Leads generation after generation. A stop or an abort of the run applies to later generations too. */
export class RunLeader {
  #coordinator: Coordinator | null;
  #stopReason: string | null = null;
  #isStoppedByCommand = false;
  /** Error that ends the run for good. */
  #fatal: TrainerError | null = null;

  constructor(first: Coordinator | null = null) {
    this.#coordinator = first;
  }

  /** The generation that runs; there is none before the first `advance`. */
  get current(): Coordinator {
    return this.#coordinator!;
  }

  /** Advances to the next generation, and repeats a stop or an abort that was requested meanwhile. */
  advance(next: Coordinator): void {
    this.#coordinator = next;
    if (this.#fatal !== null) next.lifecycle.abort(this.#fatal);
    else if (this.#stopReason !== null) next.requestStop(this.#stopReason);
  }

  /** True if `locmoe stop` was the first to request the end. */
  get isStoppedByCommand(): boolean {
    return this.#isStoppedByCommand;
  }

  stopByCommand(reason: string): void {
    this.#isStoppedByCommand = this.#stopReason === null;
    this.requestStop(reason);
  }

  /** Stops the run after a final checkpoint; see Coordinator. */
  requestStop(reason: string): void {
    this.#stopReason = reason;
    this.#coordinator?.requestStop(reason);
  }

  /** Ends the run at once; see Lifecycle. */
  abort(error: TrainerError): void {
    this.#fatal = error;
    this.#coordinator?.lifecycle.abort(error);
  }

  /** Fails the run for an error in this process; see Coordinator. */
  crash(error: TrainerError): void {
    this.#fatal = error;
    this.#coordinator?.crash(error);
  }

  /** True once the run has finished or failed; its report follows within seconds. */
  get isOver(): boolean {
    const kind = this.#coordinator?.lifecycle.state.kind;
    return kind === 'finished' || kind === 'failed';
  }
}
