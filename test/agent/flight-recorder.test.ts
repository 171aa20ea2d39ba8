import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { createReadStream, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FlightRecorder } from '../../src/agent/flight-recorder.js';
import { ShmSegment } from '../../src/collectives/shm-segment.js';
import { temporaryFolder } from './support.js';

// Node 1 of two nodes of two workers has ranks 2 and 3.
const OPERATION = { kind: 'all-to-all', purpose: 'dispatch', layer: 1 } as const;
const NONE = new Map();

let segment: ShmSegment;
let directory: string;
let errors: unknown[];
let recorder: FlightRecorder;

beforeEach(() => {
  const shape = { node: 1, numNodes: 2, workersPerNode: 2, ringBytes: 4096 };
  segment = ShmSegment.create(`flight-test-${process.pid}`, 4, shape);
  directory = `${temporaryFolder()}/flight`;
  errors = [];
  recorder = newRecorder(directory);
});

afterEach(() => {
  segment.unlink();
  segment.close();
});

const newRecorder = (folder: string) =>
  new FlightRecorder(
    { runId: 'run-a', generation: 4, node: 1, numNodes: 2, workersPerNode: 2 },
    folder,
    (error) => errors.push(error),
  );

const source = () => ({
  progressOf: (local: number) => segment.control(local).progress,
  flightOf: (local: number) => segment.flight(local),
});

const fileOf = (folder: string) => `${folder}/generation-4-node-1.json`;
const written = () => JSON.parse(readFileSync(fileOf(directory), 'utf8'));

describe('a flight file', () => {
  it('has what each rank did last, what it waited for and how it failed', async () => {
    const control = segment.control(0);
    control.pid = process.pid;
    control.setProgress(12, 'backward');
    control.startOperation(OPERATION, 90);
    control.waitFor(0, 0);
    const start = {
      sequence: 90,
      step: 12,
      numSends: 1,
      numReceives: 2,
      bytesOut: 10,
      bytesIn: 20,
      startMs: 5,
    };
    segment.flight(0).begin(OPERATION, start);
    recorder.addStack(3, ['spin (trainer.js:1:2)']);
    recorder.record(source(), new Map([[3, 'WORKER_HUNG' as const]]), 'rank 3: gone');
    await recorder.settle();
    expect(written()).toMatchObject({
      format: 'locmoe-flight',
      runId: 'run-a',
      generation: 4,
      node: 1,
      reason: 'rank 3: gone',
      ranks: [
        {
          rank: 2,
          pid: process.pid,
          failure: null,
          step: 12,
          phase: 'backward',
          waitingFor: 0,
          operations: [{ ...OPERATION, ...start }],
        },
        {
          rank: 3,
          pid: 0,
          failure: 'WORKER_HUNG',
          processState: 'X',
          waitingFor: null,
          operations: [],
          stack: ['spin (trainer.js:1:2)'],
        },
      ],
    });
    expect(errors).toEqual([]);
  });

  it('is that of the first call, and a copy: what ranks do later is not in it', async () => {
    segment.control(0).setProgress(1, 'forward');
    recorder.record(source(), NONE, 'first');
    segment.control(0).setProgress(2, 'forward');
    recorder.record(source(), NONE, 'second');
    await recorder.settle();
    expect(written()).toMatchObject({ reason: 'first', ranks: [{ step: 1 }, { step: 0 }] });
  });

  it('gains a stack that is known only after the others gave up', async () => {
    segment.control(0).setProgress(1, 'forward');
    recorder.record(source(), NONE, 'first');
    segment.control(0).setProgress(2, 'forward');
    recorder.addStack(3, ['spin (trainer.js:1:2)']);
    await recorder.settle();
    expect(written()).toMatchObject({
      reason: 'first',
      ranks: [{ step: 1 }, { step: 0, stack: ['spin (trainer.js:1:2)'] }],
    });
    expect(written().ranks[0]).not.toHaveProperty('stack');
  });

  it('has no rank that is waited for where the operation is over', async () => {
    segment.control(0).startOperation(OPERATION, 1);
    segment.control(0).waitFor(3, 0);
    segment.control(0).endOperation();
    recorder.record(source(), NONE, 'x');
    await recorder.settle();
    expect(written().ranks[0].waitingFor).toBeNull();
  });
});

describe('the end of a run', () => {
  it('does not depend on a file that cannot be written', async () => {
    writeFileSync(directory, 'a file where the folder should be');
    recorder.record(source(), NONE, 'x');
    await recorder.settle();
    expect(errors).toMatchObject([{ code: 'EEXIST' }]);
  });

  it('does not wait where nothing failed', async () => {
    await recorder.settle();
    expect(existsSync(directory)).toBe(false);
  });

  it('waits for a disk that hangs for 200 ms', async () => {
    mkdirSync(directory);
    const pipe = `${fileOf(directory)}.tmp`;
    // Opening a pipe for writing blocks until somebody opens it for reading.
    execFileSync('mkfifo', [pipe]);
    recorder.record(source(), NONE, 'x');
    const started = performance.now();
    await recorder.settle();
    expect(performance.now() - started).toBeGreaterThanOrEqual(199);
    expect(existsSync(fileOf(directory))).toBe(false);
    await once(createReadStream(pipe).resume(), 'close');
  });
});
