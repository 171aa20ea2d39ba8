import type { AgentEvent, CoordinatorCommand } from '../rpc/generated/messages.js';

/** Bounds the memory; two workers at 100 steps a second fill it in 50 s. */
const MAX_EVENTS = 10_000;

/**
 * Reports that the coordinator has perhaps not written to disk yet. They are repeated, in the same order, to a
 * coordinator that takes the run over; commands that this coordinator repeats are recognised.
 */
export class Outbox {
  #events: AgentEvent[] = [];
  #writtenStep = 0;

  /** Kept events, in the order in which they were reported. */
  get events(): readonly AgentEvent[] {
    return this.#events;
  }

  /** True if more events are unconfirmed than can be kept, as the coordinator has been gone for too long. */
  get isFull(): boolean {
    return this.#events.length >= MAX_EVENTS;
  }

  /** Keeps an event, unless its loss does no harm. */
  add(event: AgentEvent): void {
    if (NOT_KEPT.includes(event.event) || this.isFull) return;
    // A run restarts only from its newest snapshot.
    if (event.event === 'snapshot') this.#keep((each) => each.event !== 'snapshot');
    this.#events.push(event);
  }

  /** @returns whether the command is new; false if another coordinator has sent the same */
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

/** Events that will be sent again anyway, or that mean nothing to a new coordinator. */
const NOT_KEPT: readonly AgentEvent['event'][] = ['heartbeat', 'logs', 'ready', 'leaving'];
