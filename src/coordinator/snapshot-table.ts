import type { SnapshotRef } from '../rpc/generated/messages.js';

/** A snapshot, with the nodes that hold the state of their own ranks and of the next node's. */
interface Entry extends SnapshotRef {
  readonly nodes: Set<number>;
  /** Nodes that hold only the state of their own ranks. */
  readonly local: Set<number>;
}

/** Each node keeps two snapshots of either kind, and nodes may be one snapshot apart. */
const MAX_ENTRIES = 8;

/** In-memory snapshots on the run's current history. */
export class SnapshotTable {
  #entries: Entry[] = [];
  /** Last step that the running generation has completed; 0 for none. */
  #completed = 0;
  /** Snapshot from which the running generation has started, as long as it has completed no step. */
  #untried: Entry | null = null;

  /** Records that a node holds its part of a snapshot, and a copy of the next node's. */
  add(node: number, ref: SnapshotRef): void {
    this.#entryOf(ref).nodes.add(node);
  }

  /** Records that a node holds the state of its own ranks, after the generation. */
  addLocal(node: number, ref: SnapshotRef): void {
    // The reports of a later step may be lost, and a run that goes on from it would have no record of it.
    if (ref.step <= this.#completed) this.#entryOf(ref).local.add(node);
  }

  #entryOf({ generation, step }: SnapshotRef): Entry {
    const known = this.#entries.find((each) => each.generation === generation && each.step === step);
    if (known !== undefined) return known;
    const entry = { generation, step, nodes: new Set<number>(), local: new Set<number>() };
    this.#entries = [...this.#entries.slice(1 - MAX_ENTRIES), entry];
    return entry;
  }

  /** Records that a step is complete. */
  stepped(step: number): void {
    this.#completed = step;
    this.#untried = null;
  }

  /**
   * Finds the newest snapshot that the nodes hold completely, if it is newer than the checkpoint; null for none.
   *
   * @param numNodes number of nodes, equal in both generations
   * @param checkpointStep step of the newest checkpoint; 0 for none
   * @param left nodes that remain; all by default
   */
  newest(numNodes: number, checkpointStep: number, left?: readonly number[]): SnapshotRef | null {
    const newest = this.#newest(numNodes, checkpointStep, left);
    return newest && { generation: newest.generation, step: newest.step };
  }

  #newest(numNodes: number, checkpointStep: number, left?: readonly number[]): Entry | null {
    const [newest] = this.#entries
      .filter((each) => each !== this.#untried && isComplete(each, numNodes, left))
      .sort((a, b) => b.step - a.step);
    return newest === undefined || newest.step <= checkpointStep ? null : newest;
  }

  /**
   * Chooses the newest snapshot that the remaining nodes hold completely, unless the generation has failed to start from it.
   * Other snapshots are forgotten, as the nodes discard them, too, except earlier ones with copies where the chosen one has none.
   *
   * Parameters are those of `newest`.
   */
  choose(left: readonly number[], numNodes: number, checkpointStep: number): SnapshotRef | null {
    for (const { nodes, local } of this.#entries)
      for (const each of [nodes, local]) for (const node of each) if (!left.includes(node)) each.delete(node);
    const chosen = this.#newest(numNodes, checkpointStep);
    this.#entries = this.#entries.filter(
      (each) =>
        each === chosen ||
        (chosen !== null && chosen.local.size > 0 && each.nodes.size > 0 && each.step < chosen.step),
    );
    this.#untried = chosen;
    this.#completed = 0;
    return chosen && { generation: chosen.generation, step: chosen.step };
  }

  /** Forgets all snapshots, as the next generation starts from none. */
  forget(): void {
    this.#entries = [];
    this.#untried = null;
    this.#completed = 0;
  }
}

function isComplete({ nodes, local }: Entry, numNodes: number, left?: readonly number[]): boolean {
  const all = Array.from({ length: numNodes }, (_, node) => node);
  const holds = (held: ReadonlySet<number>, node: number) => held.has(node) && (left ?? all).includes(node);
  return all.every(
    // A node's state is held by the node itself and by its predecessor.
    (node) => holds(nodes, node) || holds(local, node) || holds(nodes, (node + numNodes - 1) % numNodes),
  );
}
