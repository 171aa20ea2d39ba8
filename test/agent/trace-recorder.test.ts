import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { parseTraceFileName, traceFileName } from '@locmoe/run-format';
import { beforeEach, describe, expect, it } from 'vitest';
import { decodeTrace } from '../../packages/run-format/src/trace-file.js';
import { TraceRecorder } from '../../src/agent/trace-recorder.js';
import { FlightRing } from '../../src/collectives/flight-ring.js';
import { FLIGHT_WORDS } from '../../src/collectives/shm-layout.js';
import { temporaryFolder } from './support.js';

// Node 1 of two nodes of two workers has ranks 2 and 3.
const PLACE = { runId: 'run-a', generation: 3, node: 1, numNodes: 2, workersPerNode: 2 };

let rings: FlightRing[];
let directory: string;
let errors: unknown[];

beforeEach(() => {
  rings = [0, 1].map(() => new FlightRing(new Int32Array(FLIGHT_WORDS), 0));
  directory = path.join(temporaryFolder(), 'trace');
  errors = [];
});

function newRecorder(): TraceRecorder {
  const recorder = new TraceRecorder({ ...PLACE, directory, onError: (error) => errors.push(error) });
  recorder.begin({ monotonicEpochMs: 5, flightOf: (local) => rings[local] });
  return recorder;
}

/** Records a whole step of `numParts` parts on all ranks. */
function doStep(step: number, numParts = 3): void {
  for (const ring of rings) {
    const whole = ring.beginPart('step', -1, step, step);
    for (let part = 1; part < numParts; part++)
      ring.end(ring.beginPart('experts', part % 7, step, step), step + 1);
    ring.end(whole, step + 1);
  }
}

function contents() {
  return readdirSync(directory)
    .sort((a, b) => a.localeCompare(b, undefined, { numeric: true }))
    .map((name) => ({ name, ...decodeTrace(name, readFileSync(path.join(directory, name))) }));
}

describe('the traces of a node', () => {
  it('have the spans of its ranks once each, also those under way at the end', async () => {
    const recorder = newRecorder();
    doStep(1);
    recorder.afterStep();
    doStep(2);
    recorder.afterStep();
    rings[1].beginPart('step', -1, 3, 3);
    recorder.end();
    await recorder.settle(5_000);
    const [file, ...others] = contents();
    expect(others).toEqual([]);
    expect(file).toMatchObject({
      name: 'generation-3-node-1-step-1.trace',
      head: { ...PLACE, monotonicEpochMs: 5 },
      lastSteps: new Map([
        [2, 2],
        [3, 3],
      ]),
    });
    const stepsOf = (rank: number) =>
      file.chunks
        .filter((chunk) => chunk.rank === rank)
        .flatMap(({ spans }) => spans.filter(({ purpose }) => purpose === 'step'))
        .map(({ step, endMs }) => [step, endMs]);
    expect(stepsOf(2)).toEqual([
      [1, 2],
      [2, 3],
    ]);
    expect(stepsOf(3)).toEqual([
      [1, 2],
      [2, 3],
      [3, null],
    ]);
    expect(file.chunks.flatMap(({ spans }) => spans)).toHaveLength(2 * 2 * 3 + 1);
    expect(errors).toEqual([]);
  });

  it('are bounded: a full ring is written at once, in further files, and the oldest go', async () => {
    const recorder = newRecorder();
    for (let step = 1; step <= 180; step++) {
      doStep(step, 2_000);
      recorder.afterStep();
      await recorder.settle(5_000);
    }
    recorder.end();
    await recorder.settle(5_000);
    const files = contents();
    expect(files).toHaveLength(32);
    const steps = new Set(
      files.flatMap(({ chunks }) => chunks.flatMap(({ spans }) => spans.map(({ step }) => step))),
    );
    expect(Math.max(...steps)).toBe(180);
    // There is no gap between the first and the last that are kept.
    expect(steps.size).toBe(180 - Math.min(...steps) + 1);
    const bytes = readdirSync(directory).map((name) => readFileSync(path.join(directory, name)).length);
    expect(Math.max(...bytes)).toBeLessThanOrEqual(1 << 20);
  });

  it('go by generation, whatever the steps, and only those of this node', async () => {
    mkdirSync(directory);
    const write = (generation: number, node: number, step: number) =>
      writeFileSync(path.join(directory, traceFileName({ generation, node, step })), '');
    // The run resumed from an earlier step.
    for (let i = 0; i < 20; i++) {
      write(1, 1, 1_000 + i);
      write(2, 1, 500 + i);
      write(1, 0, 1 + i);
    }
    const recorder = newRecorder();
    doStep(7);
    recorder.end();
    await recorder.settle(5_000);
    const left = readdirSync(directory).flatMap((name) => parseTraceFileName(name) ?? []);
    expect(left.filter(({ node }) => node === 0)).toHaveLength(20);
    const stepsOf = (wanted: number) =>
      left.flatMap(({ generation, node, step }) => (generation === wanted && node === 1 ? [step] : []));
    // The limit is 32 files, so the oldest 9 of 41 are removed.
    expect(Math.min(...stepsOf(1))).toBe(1_009);
    expect(stepsOf(1)).toHaveLength(11);
    expect(stepsOf(2)).toHaveLength(20);
    expect(stepsOf(3)).toEqual([7]);
  });

  it('are in a file that has no step before that of its name, also where ranks are apart', async () => {
    const recorder = newRecorder();
    rings[0].end(rings[0].beginPart('step', -1, 4, 4), 5);
    rings[1].end(rings[1].beginPart('step', -1, 6, 6), 7);
    recorder.afterStep();
    recorder.end();
    await recorder.settle(5_000);
    expect(readdirSync(directory)).toEqual(['generation-3-node-1-step-4.trace']);
  });

  it('are in one file for a step, however many spans it has', async () => {
    const recorder = newRecorder();
    for (let part = 0; part < 4; part++) {
      doStep(1, 2_000);
      recorder.afterStep();
    }
    doStep(2);
    recorder.end();
    await recorder.settle(5_000);
    const files = contents();
    expect(files.map(({ name }) => name)).toEqual([
      'generation-3-node-1-step-1.trace',
      'generation-3-node-1-step-2.trace',
    ]);
    expect(files[0].chunks.reduce((sum, { spans }) => sum + spans.length, 0)).toBe(4 * 2 * 2_000);
  });

  it('are lost, not kept in memory, where a disk is too slow; those after it are there again', async () => {
    const recorder = newRecorder();
    for (let step = 1; step <= 50; step++) {
      doStep(step, 2_000);
      recorder.afterStep();
    }
    await recorder.settle(5_000);
    const bytesOf = (name: string) => readFileSync(path.join(directory, name)).length;
    const written = readdirSync(directory).reduce((sum, name) => sum + bytesOf(name), 0);
    // 50 steps would be 20 MiB, of which 16 MiB are kept; each file has a header.
    expect(written).toBeGreaterThan(15 << 20);
    expect(written).toBeLessThan((16 << 20) + 32 * 1_024);
    doStep(60);
    recorder.end();
    await recorder.settle(5_000);
    expect(Math.max(...contents().at(-1)!.lastSteps.values())).toBe(60);
  });

  it('end with one warning where they cannot be written', async () => {
    writeFileSync(directory, 'a file where the folder should be');
    const recorder = newRecorder();
    doStep(1);
    recorder.afterStep();
    await recorder.settle(5_000);
    doStep(2);
    recorder.end();
    await recorder.settle(5_000);
    expect(errors).toMatchObject([{ code: 'EEXIST' }]);
  });
});
