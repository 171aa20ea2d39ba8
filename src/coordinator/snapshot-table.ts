import type { SnapshotRef } from '../rpc/generated/messages.js';

/** A snapshot, with the nodes that hold the state of their own ranks and of the next node's. */
interface Entry extends SnapshotRef {
  readonly nodes: Set<number>;
}

/** Each node keeps two snapshots, and nodes may be one snapshot apart. */
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
   * Finds the newest snapshot that the nodes hold completely, if it is newer than the checkpoint; null for none.
   *
   * @param numNodes number of nodes, equal in both generations
   * @param checkpointStep step of the newest checkpoint; 0 for none
   * @param left nodes that remain; all by default
   */
  newest(numNodes: number, checkpointStep: number, left?: readonly number[]): SnapshotRef | null {
    const all = Array.from({ length: numNodes }, (_, node) => node);
    const isComplete = ({ nodes }: Entry) => {
      const holds = (node: number) => nodes.has(node) && (left ?? all).includes(node);
      // A node's state is held by the node itself and by its predecessor.
      return all.every((node) => holds(node) || holds((node + numNodes - 1) % numNodes));
    };
    const [newest] = this.#entries.filter(isComplete).sort((a, b) => b.step - a.step);
    if (this.#isUntried || newest === undefined || newest.step <= checkpointStep) return null;
    return { generation: newest.generation, step: newest.step };
  }

  /**
   * Chooses the newest snapshot that the remaining nodes hold completely. All other snapshots are forgotten, as the
   * nodes discard them, too.
   *
   * Parameters are those of `newest`.
   */
  choose(left: readonly number[], numNodes: number, checkpointStep: number): SnapshotRef | null {
    const chosen = this.newest(numNodes, checkpointStep, left);
    for (const { nodes } of this.#entries)
      for (const node of nodes) if (!left.includes(node)) nodes.delete(node);
    this.#entries = this.#entries.filter(
      ({ generation, step }) => generation === chosen?.generation && step === chosen.step,
    );
    this.#isUntried = chosen !== null;
    return chosen;
  }

  /** Forgets all snapshots, as the next generation starts from none. */
  forget(): void {
    this.#entries = [];
    this.#isUntried = false;
  }
}
