import { allReduce } from '../src/collectives/all-reduce.js';
import { allToAll } from '../src/collectives/all-to-all.js';
import { barrier } from '../src/collectives/barrier.js';
import { hierarchicalAllToAll } from '../src/collectives/hierarchical-all-to-all.js';
import type { Transport } from '../src/collectives/transport.js';
import { rankProgram } from '../test/spawn-ranks.js';

export interface BenchCase {
  readonly name: 'barrier' | 'all-to-all flat' | 'all-to-all hierarchical' | 'all-reduce';
  /** Bytes a pair (all-to-all) or of the vector (all-reduce). */
  readonly bytes: number;
}

export interface BenchArgs {
  readonly cases: readonly BenchCase[];
  /** Time to spend on each case. */
  readonly caseMs: number;
}

/** Milliseconds of each repetition, by case. */
export type BenchResult = readonly (readonly number[])[];

interface Prepared {
  readonly run: () => void;
  /** Throws if the collective gives a wrong answer. */
  readonly verify: () => void;
}

function prepareAllReduce(transport: Transport, bytes: number): Prepared {
  const { rank, worldSize } = transport.topology;
  const data = new Float32Array(bytes / 4);
  return {
    run: () => allReduce(transport, { data, purpose: 'bench' }),
    verify: () => {
      data.fill(rank + 1);
      allReduce(transport, { data, purpose: 'verify' });
      const expected = (worldSize * (worldSize + 1)) / 2;
      if (!data.every((value) => value === expected)) throw new Error('all-reduce is wrong');
      data.fill(0);
    },
  };
}

function prepareAllToAll(transport: Transport, exchange: typeof allToAll, bytes: number): Prepared {
  const { rank, worldSize } = transport.topology;
  const sends = Array.from({ length: worldSize }, (_, to) => [
    new Uint8Array(bytes).fill(rank * 16 + to + 1),
  ]);
  const receives = Array.from({ length: worldSize }, () => [new Uint8Array(bytes)]);
  const run = () => exchange(transport, { sends, receives, purpose: 'bench' });
  const verify = () => {
    run();
    for (const [from, [part]] of receives.entries())
      if (!part.every((byte) => byte === from * 16 + rank + 1)) throw new Error('all-to-all is wrong');
  };
  return { run, verify };
}

function prepare(transport: Transport, { name, bytes }: BenchCase): Prepared {
  switch (name) {
    case 'barrier':
      return { run: () => barrier(transport, { purpose: 'bench' }), verify: () => {} };
    case 'all-reduce':
      return prepareAllReduce(transport, bytes);
    case 'all-to-all flat':
      return prepareAllToAll(transport, allToAll, bytes);
    case 'all-to-all hierarchical':
      return prepareAllToAll(transport, hierarchicalAllToAll, bytes);
  }
}

/** Warms up; all ranks must repeat equally often, so rank 0's first timing decides. */
function agreeOnCount(transport: Transport, run: () => void, caseMs: number): number {
  for (let i = 0; i < 20; i++) run();
  const started = performance.now();
  for (let i = 0; i < 5; i++) run();
  const eachMs = (performance.now() - started) / 5;
  const count = new Float32Array([transport.topology.rank === 0 ? Math.ceil(caseMs / eachMs) : 0]);
  allReduce(transport, { data: count, purpose: 'count' });
  return Math.min(20_000, Math.max(10, count[0]));
}

rankProgram(
  (transport: Transport, { cases, caseMs }: BenchArgs): BenchResult =>
    cases.map((benchCase) => {
      const { run, verify } = prepare(transport, benchCase);
      verify();
      const count = agreeOnCount(transport, run, caseMs);
      const times: number[] = [];
      for (let i = 0; i < count; i++) {
        const started = performance.now();
        run();
        times.push(performance.now() - started);
      }
      return times;
    }),
);
