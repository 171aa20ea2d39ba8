import { setTimeout as sleep } from 'node:timers/promises';

/** What follows for a node after a generation: it joins the next one, looks whether there is a next one, or ends. */
export type Decision = 'rejoin' | 'look' | 'end';

/** What the coordinator decides after a failure; the first decision counts. */
export class PendingDecision {
  #settle!: (decision: Decision) => void;
  readonly #made = new Promise<Decision>((resolve) => {
    this.#settle = resolve;
  });

  make(decision: Decision): void {
    this.#settle(decision);
  }

  /** `end` if there is none in time. */
  async within(timeoutMs: number): Promise<Decision> {
    const timeout = new AbortController();
    const { signal } = timeout;
    const late = sleep(timeoutMs, 'end' as const, { signal }).catch(() => 'end' as const);
    const decision = await Promise.race([this.#made, late]);
    timeout.abort();
    return decision;
  }
}
