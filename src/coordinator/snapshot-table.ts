import type { SnapshotRef } from '../rpc/generated/messages.js';

/** A snapshot, with the nodes that hold the state of their own ranks and of the next node's. */
interface Entry extends SnapshotRef {
  readonly nodes: Set<number>;
}

/** Each node keeps two snapshots, and nodes may be one apart. */
const MAX_ENTRIES = 4;

/** In-memory snapshots on the run's current history. */
export class SnapshotTable {
  #entries: Entry[] = [];
  /** True while the running generation has started from a snapshot and completed no step. */
  #isUntried = false;

  /** Records that a node holds its part of a snapshot. */
  add(node: number, { generation, step }: SnapshotRef): void {
    const known = this.#entries.find((each) => each.generation === generation && each.step === step);
    if (known !== undefined) known.nodes.add(node);
    else
      this.#entries = [...this.#entries.slice(1 - MAX_ENTRIES), { generation, step, nodes: new Set([node]) }];
  }

  /** Records that a step is complete. */
  stepped(): void {
    this.#isUntried = false;
  }

  /**
   * Chooses the newest snapshot that the remaining nodes hold completely, if it is newer than the checkpoint. Later
   * ones are forgotten, as the nodes discard them too.
   *
   * @param numNodes equal in both generations
   * @param checkpointStep step of the newest checkpoint; 0 for none
   */
  choose(left: readonly number[], numNodes: number, checkpointStep: number): SnapshotRef | null {
    for (const { nodes } of this.#entries)
      for (const node of nodes) if (!left.includes(node)) nodes.delete(node);
    const isComplete = ({ nodes }: Entry) =>
      Array.from({ length: numNodes }, (_, node) => node).every(
        // A node's state is held by itself and by its predecessor.
        (node) => nodes.has(node) || nodes.has((node + numNodes - 1) % numNodes),
      );
    const chosen = this.#isUntried ? undefined : this.#entries.filter(isComplete).sort(byStep).at(-1);
    if (chosen === undefined || chosen.step <= checkpointStep) {
      this.forget();
      return null;
    }
    this.#entries = [chosen];
    this.#isUntried = true;
    return { generation: chosen.generation, step: chosen.step };
  }

  /** Forgets all snapshots, as the next generation starts from none. */
  forget(): void {
    this.#entries = [];
    this.#isUntried = false;
  }
}

function byStep(a: SnapshotRef, b: SnapshotRef): number {
  return a.step - b.step;
}
