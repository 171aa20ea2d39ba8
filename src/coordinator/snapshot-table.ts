import type { SnapshotRef } from '../rpc/messages.js';

/** A snapshot, and the nodes that hold the state of their own ranks and of the next node's. */
interface Entry extends SnapshotRef {
  readonly nodes: Set<number>;
}

/** Nodes keep two, and may be one apart. */
const MAX_ENTRIES = 4;

/** What the nodes of a run hold in memory, over its generations, on the way that led to its present state. */
export class SnapshotTable {
  #entries: Entry[] = [];
  /** The generation that runs has started from a snapshot and done no step since. */
  #isUntried = false;

  /** A node holds its part of a snapshot. */
  add(node: number, { generation, step }: SnapshotRef): void {
    const known = this.#entries.find((each) => each.generation === generation && each.step === step);
    if (known !== undefined) known.nodes.add(node);
    else
      this.#entries = [...this.#entries.slice(1 - MAX_ENTRIES), { generation, step, nodes: new Set([node]) }];
  }

  /** A step is done. */
  stepped(): void {
    this.#isUntried = false;
  }

  /**
   * What the next generation starts from, if it is newer than the checkpoint: the newest snapshot of which the nodes
   * that are left hold all. What is later than that is forgotten, as the nodes discard it too.
   *
   * @param numNodes equal in both generations
   * @param checkpointStep step of the newest checkpoint; 0 for none
   */
  choose(left: readonly number[], numNodes: number, checkpointStep: number): SnapshotRef | null {
    for (const { nodes } of this.#entries)
      for (const node of nodes) if (!left.includes(node)) nodes.delete(node);
    const isWhole = ({ nodes }: Entry) =>
      Array.from({ length: numNodes }, (_, node) => node).every(
        // A node's state is held by itself, and by the one before it.
        (node) => nodes.has(node) || nodes.has((node + numNodes - 1) % numNodes),
      );
    const chosen = this.#isUntried ? undefined : this.#entries.filter(isWhole).sort(byStep).at(-1);
    if (chosen === undefined || chosen.step <= checkpointStep) {
      this.forget();
      return null;
    }
    this.#entries = [chosen];
    this.#isUntried = true;
    return { generation: chosen.generation, step: chosen.step };
  }

  /** Nothing of it is used any more. */
  forget(): void {
    this.#entries = [];
    this.#isUntried = false;
  }
}

function byStep(a: SnapshotRef, b: SnapshotRef): number {
  return a.step - b.step;
}
