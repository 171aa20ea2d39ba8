import { setTimeout as sleep } from 'node:timers/promises';

/** How a node proceeds after a generation: it joins the next one, looks whether there is a next one, or ends. */
export type Decision = 'rejoin' | 'look' | 'end';

/** Decision of the coordinator after a failure; the first one counts. */
export class PendingDecision {
  #settle!: (decision: Decision) => void;
  readonly #made = new Promise<Decision>((resolve) => {
    this.#settle = resolve;
  });

  make(decision: Decision): void {
    this.#settle(decision);
  }

  /** Waits for the decision; `end` if none is made in time. */
  async within(timeoutMs: number): Promise<Decision> {
    const timeout = new AbortController();
    const { signal } = timeout;
    const late = sleep(timeoutMs, 'end' as const, { signal }).catch(() => 'end' as const);
    const decision = await Promise.race([this.#made, late]);
    timeout.abort();
    return decision;
  }
}
