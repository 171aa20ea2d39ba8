import type { AgentEvent, CoordinatorCommand } from '../rpc/messages.js';

/** Bounds the memory; of two workers with 100 steps a second those of 50 s. */
const MAX_EVENTS = 10_000;

/**
 * What a node has reported and the coordinator may not have on disk yet. A coordinator that takes the run over hears it
 * again, in the same order, and says again what it may have said before.
 */
export class Outbox {
  #events: AgentEvent[] = [];
  #writtenStep = 0;

  /** In the order in which they were reported. */
  get events(): readonly AgentEvent[] {
    return this.#events;
  }

  /** More is on the way than is kept: the coordinator has been gone for too long. */
  get isFull(): boolean {
    return this.#events.length >= MAX_EVENTS;
  }

  /** Keeps an event, unless nothing is lost with it. */
  add(event: AgentEvent): void {
    if (NOT_KEPT.some((kind) => kind in event) || this.isFull) return;
    // Only the newest is started from.
    if ('snapshot' in event) this.#keep((each) => !('snapshot' in each));
    this.#events.push(event);
  }

  /** @returns whether the command is new; false if one of another coordinator said the same */
  hear(command: CoordinatorCommand): boolean {
    if ('recorded' in command) {
      const { step } = command.recorded;
      // The validation of a step follows its report.
      this.#keep((event) =>
        'step' in event
          ? event.step.step > step
          : 'validation' in event
            ? event.validation.step >= step
            : true,
      );
    } else if ('saveEnded' in command) {
      const { step } = command.saveEnded;
      this.#keep((event) =>
        'saving' in event ? event.saving.step > step : 'shards' in event ? event.shards.step > step : true,
      );
    } else if ('writeShards' in command) {
      const { step } = command.writeShards;
      const isNew = step > this.#writtenStep;
      this.#writtenStep = Math.max(step, this.#writtenStep);
      return isNew;
    }
    return true;
  }

  #keep(isNeeded: (event: AgentEvent) => boolean): void {
    this.#events = this.#events.filter(isNeeded);
  }
}

/** What comes again by itself, or says nothing to a coordinator that was not there. */
const NOT_KEPT = ['heartbeat', 'logs', 'ready', 'leaving'];
