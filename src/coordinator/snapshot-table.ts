import type { SnapshotRef } from '../rpc/generated/messages.js';

/** A snapshot, with the nodes that hold the state of their own ranks and of the next node's. */
interface Entry extends SnapshotRef {
  /** Number of nodes among which the state is divided. */
  readonly numNodes: number;
  readonly nodes: Set<number>;
  /** Nodes that hold only the state of their own ranks. */
  readonly local: Set<number>;
}

/** A snapshot to start from. */
export interface ChosenSnapshot {
  readonly ref: SnapshotRef;
  /**
   * For each node of the snapshot's layout a node that holds its state, where the next generation has another number of
   * nodes; null where each node starts from its own.
   */
  readonly holders: readonly number[] | null;
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
  /** Number of nodes for which it was chosen. */
  #numNodes = 0;

  /** Records that one of `numNodes` nodes holds its part of a snapshot, and a copy of the next node's. */
  add(node: number, ref: SnapshotRef, numNodes: number): void {
    this.#entryOf(ref, numNodes).nodes.add(node);
  }

  /** Records that a node holds the state of its own ranks, after the generation. */
  addLocal(node: number, ref: SnapshotRef, numNodes: number): void {
    // The reports of a later step may be lost, and a run that goes on from it would have no record of it.
    if (ref.step <= this.#completed) this.#entryOf(ref, numNodes).local.add(node);
  }

  #entryOf({ generation, step }: SnapshotRef, numNodes: number): Entry {
    const known = this.#entries.find((each) => each.generation === generation && each.step === step);
    if (known !== undefined) return known;
    const entry = { generation, step, numNodes, nodes: new Set<number>(), local: new Set<number>() };
    this.#entries = [...this.#entries.slice(1 - MAX_ENTRIES), entry];
    return entry;
  }

  /** Records that a step is complete. */
  stepped(step: number): void {
    this.#completed = step;
    const tried = this.#untried;
    this.#untried = null;
    // In another layout the nodes have other numbers.
    if (tried !== null && tried.numNodes !== this.#numNodes) this.#entries = [];
  }

  /** Forgets what nodes held that are gone. */
  keepOnly(left: readonly number[]): void {
    for (const { nodes, local } of this.#entries)
      for (const each of [nodes, local]) for (const node of each) if (!left.includes(node)) each.delete(node);
  }

  /** Records that no node has tried to start from the chosen snapshot. */
  notStarted(): void {
    this.#untried = null;
  }

  /**
   * Finds the newest snapshot that the nodes hold completely, if it is newer than the checkpoint; null for none.
   *
   * @param numNodes number of nodes of the next generation
   * @param checkpointStep step of the newest checkpoint; 0 for none
   */
  newest(numNodes: number, checkpointStep: number): SnapshotRef | null {
    const newest = this.#newest(numNodes, checkpointStep);
    return newest && refOf(newest);
  }

  #newest(numNodes: number, checkpointStep: number): Entry | null {
    const [newest] = this.#entries
      .filter((each) => each !== this.#untried && holdersOf(each, numNodes) !== null)
      .sort((a, b) => b.step - a.step);
    return newest === undefined || newest.step <= checkpointStep ? null : newest;
  }

  /**
   * Chooses the newest snapshot that the nodes hold completely, unless the generation has failed to start from it.
   * Other snapshots are forgotten, as the nodes discard them, too, except earlier ones with copies where the chosen one has none.
   *
   * Parameters are those of `newest`.
   */
  choose(numNodes: number, checkpointStep: number): ChosenSnapshot | null {
    const chosen = this.#newest(numNodes, checkpointStep);
    this.#entries = this.#entries.filter(
      (each) =>
        each === chosen ||
        (chosen !== null && chosen.local.size > 0 && each.nodes.size > 0 && each.step < chosen.step),
    );
    this.#untried = chosen;
    this.#completed = 0;
    this.#numNodes = numNodes;
    return (
      chosen && {
        ref: refOf(chosen),
        holders: chosen.numNodes === numNodes ? null : holdersOf(chosen, numNodes),
      }
    );
  }

  /** Forgets all snapshots, as the next generation starts from none. */
  forget(): void {
    this.#entries = [];
    this.#untried = null;
    this.#completed = 0;
  }
}

function refOf({ generation, step }: Entry): SnapshotRef {
  return { generation, step };
}

/**
 * Returns a node that holds the state, for each node of the snapshot's layout; null if nobody holds that of one. A node's state is
 * held by the node itself and by its predecessor. What a node alone holds serves in the same layout only.
 */
function holdersOf(entry: Entry, numNodes: number): number[] | null {
  const { nodes, local } = entry;
  const isSame = entry.numNodes === numNodes;
  const holders = Array.from({ length: entry.numNodes }, (_, node) => {
    const before = (node + entry.numNodes - 1) % entry.numNodes;
    if (nodes.has(node) || (isSame && local.has(node))) return node;
    return nodes.has(before) ? before : null;
  });
  return holders.every((each) => each !== null) ? holders : null;
}
