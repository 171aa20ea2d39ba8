import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { encodeChunk, encodeHead, traceFileName } from '@locmoe/run-format';
import { FlightRing } from 'locmoe/internal/collectives/flight-ring';
import { FLIGHT_WORDS } from 'locmoe/internal/collectives/shm-layout';
import { STARTED_AT } from './run-fixture.js';

export interface TraceFixture {
  readonly numNodes: number;
  readonly workersPerNode: number;
  readonly steps: readonly number[];
  readonly generation?: number;
  /** The rank that all others wait for in the dispatch, for 20 ms. */
  readonly slowRank: number;
  /** Ranks that have not recorded the last of the steps yet. */
  readonly late?: readonly number[];
}

const STEP_MS = 100;

/**
 * Writes the traces of a run: each step of 100 ms has a forward pass with a dispatch, in which all ranks wait for the
 * slow one, and an all-reduce that is in flight from 60 to 80 ms during the backward pass.
 */
export function writeTraces(
  folder: string,
  { numNodes, workersPerNode, steps, generation = 1, slowRank, late = [] }: TraceFixture,
): void {
  const directory = path.join(folder, 'trace');
  mkdirSync(directory, { recursive: true });
  const shape = { runId: path.basename(folder), generation, numNodes, workersPerNode };
  const clock = { machine: 'fixture', monotonicEpochMs: STARTED_AT };
  for (let node = 0; node < numNodes; node++) {
    const chunks = Array.from({ length: workersPerNode }, (_, local) => {
      const rank = node * workersPerNode + local;
      const ring = new FlightRing(new Int32Array(FLIGHT_WORDS), 0);
      const recorded = late.includes(rank) ? steps.slice(0, -1) : steps;
      for (const [index, step] of recorded.entries())
        recordStep(ring, step, 2 * index, { rank, slowRank, worldSize: numNodes * workersPerNode });
      return encodeChunk(rank, ring.names, ring.take(0, { all: true }).words);
    });
    writeFileSync(
      path.join(directory, traceFileName({ generation, node, step: steps[0]! })),
      Buffer.concat([encodeHead({ ...shape, ...clock, node }), ...chunks]),
    );
  }
}

function recordStep(
  ring: FlightRing,
  step: number,
  sequence: number,
  { rank, slowRank, worldSize }: { rank: number; slowRank: number; worldSize: number },
): void {
  const at = (ms: number) => STARTED_AT + STEP_MS * step + ms;
  const part = (name: string, from: number, to: number, layer = -1) =>
    ring.end(ring.beginPart(name, layer, step, at(from)), at(to));
  const sizes = { numSends: worldSize - 1, numReceives: worldSize - 1, bytesOut: 1_000, bytesIn: 2_000 };
  const isSlow = rank === slowRank;
  const dispatchAt = isSlow ? 30 : 10 + (rank % 4) / 4;
  part('step', 0, 95);
  part('forward', 0, 50);
  part('attention', 0, dispatchAt, 1);
  const dispatch = ring.begin(
    { kind: 'all-to-all', purpose: 'dispatch', layer: 1 },
    { ...sizes, sequence: sequence + 1, step, startMs: at(dispatchAt) },
  );
  ring.enter(dispatch, at(dispatchAt));
  if (!isSlow) ring.wait(dispatch, 29.5 - dispatchAt, at(30.5), slowRank);
  ring.end(dispatch, at(32));
  part('experts', 32, 50, 1);
  part('backward', 50, 90);
  part('experts', 50, 60, 1);
  const reduce = ring.begin(
    { kind: 'all-reduce', purpose: 'gradients' },
    { ...sizes, sequence: sequence + 2, step, startMs: at(60) },
  );
  part('attention', 60, 90, 1);
  ring.end(reduce, at(80));
  part('optimizer', 90, 95);
}
