import { readdirSync } from 'node:fs';
import { type Outcome, spawnRanks } from '@locmoe/test-kit';
import { expect, it } from 'vitest';
import { NIGHTLY } from '../nightly.js';
import type { EnduranceArgs, Holding } from './endurance.program.js';

interface Held {
  readonly early: Holding;
  readonly late: Holding;
}

const MIB = 1 << 20;

function run(runId: string, args: EnduranceArgs, workersPerNode = 2): Promise<Outcome<Held>> {
  const program = new URL('./endurance.program.ts', import.meta.url);
  const layout = { numNodes: 2, workersPerNode };
  // A small ring, so that many messages do not fit.
  return spawnRanks<Held>(layout, program, {
    args,
    runId,
    ringBytes: 1 << 14,
    timeoutMs: 30_000,
    deadlineMs: 280_000,
  });
}

/** What each rank returned; fails unless all ended well. */
function resultsOf({ ranks, agentErrors }: Outcome<Held>): Held[] {
  expect([...agentErrors, ...ranks.flatMap(({ error }) => error ?? [])]).toEqual([]);
  return ranks.map(({ result }) => result!);
}

function segmentsOf(runId: string): string[] {
  return readdirSync('/dev/shm').filter((name) => name.includes(runId));
}

/** Checks that what a rank and its agent held at the end is no more than early on. */
function expectNoMore({ early, late }: Held): void {
  // Files opened at the start may be closed later.
  expect(late.workerFiles).toBeLessThanOrEqual(early.workerFiles);
  expect(late.agentFiles).toBeLessThanOrEqual(early.agentFiles);
  // In the short run by day the heap has hardly settled; a leak of one message in each of 1,000 operations would be 4
  // MiB.
  expect(late.workerBytes - early.workerBytes).toBeLessThan((NIGHTLY ? 1 : 3) * MIB);
}

it('two runs at once on one machine stay apart, and neither leaks', async () => {
  const runIds = ['one', 'two'].map((name) => `endurance-${name}-${process.pid}`);
  // Lengths are equal and data differ, so data from the other run would be detected.
  const outcomes = await Promise.all(
    runIds.map((runId, i) => run(runId, { seed: i + 1, operations: 1_250, settled: 250 }, 1)),
  );
  for (const outcome of outcomes) {
    const results = resultsOf(outcome);
    expect(results).toHaveLength(2);
    results.forEach(expectNoMore);
  }
  expect(runIds.flatMap(segmentsOf)).toEqual([]);
});

it.runIf(NIGHTLY)('10,000 random operations of four ranks leak no memory', async () => {
  const runId = `endurance-${process.pid}`;
  const results = resultsOf(await run(runId, { seed: 20_131, operations: 10_000, settled: 2_000 }));
  expect(results).toHaveLength(4);
  for (const held of results) {
    expectNoMore(held);
    const { early, late } = held;
    expect(late.workerResidentBytes - early.workerResidentBytes).toBeLessThan(32 * MIB);
    expect(late.agentResidentBytes - early.agentResidentBytes).toBeLessThan(32 * MIB);
  }
  expect(segmentsOf(runId)).toEqual([]);
});
