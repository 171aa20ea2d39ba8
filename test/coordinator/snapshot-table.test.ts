import { beforeEach, describe, expect, it } from 'vitest';
import { SnapshotTable } from '../../src/coordinator/snapshot-table.js';

let table: SnapshotTable;
let numNodes: number;
beforeEach(() => {
  table = new SnapshotTable();
  numNodes = 3;
});

/** Records that these nodes hold the snapshot of a step of generation 1. */
function holds(step: number, ...nodes: number[]): void {
  for (const node of nodes) table.add(node, { generation: 1, step }, numNodes);
}

/** Returns what is chosen while these nodes are left, for as many nodes as the run has. */
function chosen(left: readonly number[], checkpointStep = 0): ReturnType<SnapshotTable['choose']> {
  table.keepOnly(left);
  return table.choose(numNodes, checkpointStep);
}

const inPlace = (step: number, generation = 1) => ({ ref: { generation, step }, holders: null });

it('chooses the newest snapshot of which the nodes that are left hold all', () => {
  holds(10, 0, 1, 2);
  holds(20, 0, 1, 2);
  expect(chosen([0, 1, 2])).toEqual(inPlace(20));
});

it('does without a node whose neighbour holds its state, not without two neighbours', () => {
  holds(10, 0, 1, 2);
  expect(chosen([0, 2])).toEqual(inPlace(10));
  table.stepped(11);
  // Only nodes 1 and 2 held the state of node 2.
  expect(chosen([0])).toBeNull();
});

it('goes back to the one before, while not all nodes hold the newest', () => {
  holds(10, 0, 1, 2);
  holds(20, 0);
  expect(chosen([0, 1, 2])).toEqual(inPlace(10));
});

it('tells what it would choose, without choosing it', () => {
  holds(10, 0, 1, 2);
  holds(20, 0);
  expect(table.newest(3, 0)).toEqual({ generation: 1, step: 10 });
  expect(table.newest(3, 10)).toBeNull();
  holds(20, 1, 2);
  expect(table.newest(3, 10)).toEqual({ generation: 1, step: 20 });
  expect(chosen([0, 1, 2], 10)).toEqual(inPlace(20));
  // It would not be chosen again after a failure before its first step.
  expect(table.newest(3, 10)).toBeNull();
});

it('chooses none that is not newer than the checkpoint', () => {
  numNodes = 1;
  holds(10, 0);
  expect(chosen([0], 10)).toBeNull();
  // The nodes have discarded it too.
  expect(chosen([0], 5)).toBeNull();
});

it('does not choose the same twice, if no step was done from it', () => {
  numNodes = 1;
  holds(10, 0);
  expect(chosen([0])).toEqual(inPlace(10));
  expect(chosen([0])).toBeNull();
});

/** Records that these nodes have written a local snapshot of a step of generation 1. */
function holdsLocal(step: number, ...nodes: number[]): void {
  for (const node of nodes) table.addLocal(node, { generation: 1, step }, numNodes);
}

it('chooses a local snapshot only if every node is left, and no step after the last completed one', () => {
  numNodes = 2;
  holds(10, 0, 1);
  table.stepped(31);
  for (const step of [31, 32]) holdsLocal(step, 0, 1);
  holdsLocal(30, 0);
  expect(chosen([0, 1])).toEqual(inPlace(31));
});

it('goes back to a snapshot with copies where no step was done from a local one', () => {
  numNodes = 2;
  holds(10, 0, 1);
  table.stepped(31);
  holdsLocal(31, 0, 1);
  expect(chosen([0, 1])).toEqual(inPlace(31));
  holdsLocal(31, 0, 1);
  expect(chosen([0, 1])).toEqual(inPlace(10));
  expect(chosen([0, 1])).toBeNull();
});

it('goes back to a snapshot with copies where a node is lost, also after a local one was chosen', () => {
  numNodes = 2;
  holds(10, 0, 1);
  table.stepped(31);
  holdsLocal(31, 0, 1);
  expect(chosen([0, 1])).toEqual(inPlace(31));
  table.stepped(32);
  table.addLocal(1, { generation: 2, step: 32 }, numNodes);
  expect(chosen([1])).toEqual(inPlace(10));
  table.stepped(11);
  // The local one is no longer on the run's history.
  expect(chosen([0, 1])).toEqual(inPlace(10));
});

describe('for another number of nodes', () => {
  it('names a holder of the state of each node, with copies alone', () => {
    holds(10, 0, 1, 2);
    table.stepped(31);
    holdsLocal(31, 0, 2);
    table.keepOnly([0, 2]);
    expect(table.choose(2, 0)).toEqual({ ref: { generation: 1, step: 10 }, holders: [0, 0, 2] });
  });

  it('is chosen once more while no node has tried it, and never after a step in the new layout', () => {
    holds(10, 0, 1, 2);
    expect(chosen([0, 2])).toEqual(inPlace(10));
    table.notStarted();
    expect(table.choose(2, 0)?.holders).toEqual([0, 0, 2]);
    table.stepped(11);
    expect(table.newest(2, 0)).toBeNull();
  });
});
