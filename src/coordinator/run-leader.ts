import type { TrainerError } from '../errors.js';
import type { Coordinator } from './coordinator.js';

/** The generation that is led now. What is asked of the run holds also for those that follow. */
export class RunLeader {
  #coordinator: Coordinator;
  #stopReason: string | null = null;
  #isStoppedByCommand = false;
  /** Ends the run, whatever happens. */
  #end: TrainerError | null = null;

  constructor(first: Coordinator) {
    this.#coordinator = first;
  }

  get current(): Coordinator {
    return this.#coordinator;
  }

  /** The next generation, which hears at once of what was asked meanwhile. */
  lead(next: Coordinator): void {
    this.#coordinator = next;
    if (this.#end !== null) next.abort(this.#end);
    else if (this.#stopReason !== null) next.requestStop(this.#stopReason);
  }

  /** `locmoe stop` was the first to ask for the end. */
  get isStoppedByCommand(): boolean {
    return this.#isStoppedByCommand;
  }

  /** As `requestStop`, for `locmoe stop`. */
  stopByCommand(reason: string): void {
    this.#isStoppedByCommand = this.#stopReason === null;
    this.requestStop(reason);
  }

  /** See Coordinator. */
  requestStop(reason: string): void {
    this.#stopReason = reason;
    this.#coordinator.requestStop(reason);
  }

  /** See Coordinator. */
  abort(error: TrainerError): void {
    this.#end = error;
    this.#coordinator.abort(error);
  }

  /** See Coordinator. */
  crash(error: TrainerError): void {
    this.#end = error;
    this.#coordinator.crash(error);
  }

  /** True once the run has finished or failed: its report comes within seconds. */
  get isOver(): boolean {
    const { kind } = this.#coordinator.state;
    return kind === 'finished' || kind === 'failed';
  }
}
