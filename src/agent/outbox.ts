import type { AgentEvent, CoordinatorCommand } from '../rpc/generated/messages.js';

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
    if (NOT_KEPT.includes(event.event) || this.isFull) return;
    // Only the newest is started from.
    if (event.event === 'snapshot') this.#keep((each) => each.event !== 'snapshot');
    this.#events.push(event);
  }

  /** @returns whether the command is new; false if one of another coordinator said the same */
  hear(command: CoordinatorCommand): boolean {
    if (command.command === 'recorded') {
      const { step } = command.recorded;
      this.#keep((event) => event.event !== 'step' || event.step.step > step);
      // The validation of a step follows its report.
      this.#keep((event) => event.event !== 'validation' || event.validation.step >= step);
    } else if (command.command === 'saveEnded') {
      const { step } = command.saveEnded;
      this.#keep((event) => event.event !== 'saving' || event.saving.step > step);
      this.#keep((event) => event.event !== 'shards' || event.shards.step > step);
    } else if (command.command === 'writeShards') {
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

/** Events that come again by themselves, or say nothing to a coordinator that was not there. */
const NOT_KEPT: readonly AgentEvent['event'][] = ['heartbeat', 'logs', 'ready', 'leaving'];
