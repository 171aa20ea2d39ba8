import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { FlightRing } from '../../../src/collectives/flight-ring.js';
import { FLIGHT_WORDS } from '../../../src/collectives/shm-layout.js';
import { encodeChunk, encodeHead, readTrace, tracedSteps, traceFileName } from '../src/index.js';

let directory: string;

beforeEach(() => {
  directory = mkdtempSync(path.join(tmpdir(), 'locmoe-trace-'));
  onTestFinished(() => rmSync(directory, { recursive: true, force: true }));
});

function chunkOf(rank: number, steps: readonly number[]): Buffer {
  const ring = new FlightRing(new Int32Array(FLIGHT_WORDS), 0);
  for (const step of steps) ring.end(ring.beginPart('step', -1, step, step), step + 1);
  return encodeChunk(rank, ring.names, ring.take(0, { all: true }).words);
}

/** Writes a file of a node with one rank, with one part in each of the given steps. */
function write(generation: number, node: number, steps: readonly number[]): string {
  const file = path.join(directory, traceFileName({ generation, node, step: steps[0] }));
  const place = { runId: 'r', generation, node, numNodes: 2, workersPerNode: 1 };
  writeFileSync(
    file,
    Buffer.concat([encodeHead({ ...place, machine: 'a', monotonicEpochMs: 0 }), chunkOf(node, steps)]),
  );
  return file;
}

const stepsOf = (from: number, to: number, generation?: number) =>
  readTrace(directory, { from, to, generation }).ranks.map(({ rank, spans }) => [
    rank,
    ...spans.map(({ step }) => step),
  ]);

describe('the traces of a run', () => {
  it('are read from as many files as the steps are in, of the newest generation that has them', () => {
    for (const node of [0, 1]) {
      write(1, node, [1, 2, 3]);
      write(1, node, [4, 5]);
      write(2, node, [4, 5, 6]);
    }
    expect(tracedSteps(directory)).toEqual([
      { generation: 1, first: 1, last: 5, complete: 5 },
      { generation: 2, first: 4, last: 6, complete: 6 },
    ]);
    expect(stepsOf(2, 4)).toEqual([
      [0, 2, 3, 4],
      [1, 2, 3, 4],
    ]);
    expect(readTrace(directory, { from: 5, to: 5 }).generation).toBe(2);
    expect(readTrace(directory, { from: 5, to: 5, generation: 1 }).generation).toBe(1);
    expect(stepsOf(6, 6)).toEqual([
      [0, 6],
      [1, 6],
    ]);
  });

  it('are complete up to the step that every rank has recorded', () => {
    write(1, 0, [1, 2, 3]);
    write(1, 0, [4, 5]);
    write(1, 1, [1, 2, 3, 4]);
    expect(tracedSteps(directory)).toEqual([{ generation: 1, first: 1, last: 5, complete: 4 }]);
    // The newest file of a node may lack one of its ranks.
    const head = { runId: 'r', generation: 2, node: 0, numNodes: 1, workersPerNode: 2 };
    const start = encodeHead({ ...head, machine: 'a', monotonicEpochMs: 0 });
    for (const [step, ...chunks] of [
      [1, chunkOf(0, [1, 2]), chunkOf(1, [1])],
      [3, chunkOf(0, [3])],
    ] as const) {
      const file = path.join(directory, traceFileName({ generation: 2, node: 0, step }));
      writeFileSync(file, Buffer.concat([start, ...chunks]));
    }
    expect(tracedSteps(directory).at(-1)).toEqual({ generation: 2, first: 1, last: 3, complete: 1 });
  });

  it('say which steps there are if others are asked for', () => {
    write(1, 0, [4, 5]);
    write(1, 1, [3, 5]);
    expect(() => readTrace(directory, { from: 2, to: 4 })).toThrow(
      `${directory}: steps 2..4 are not kept: there are steps 4..5 of generation 1`,
    );
    expect(() => readTrace(directory, { from: 4, to: 4, generation: 2 })).toThrow(
      /step 4 of generation 2 is not kept/,
    );
  });

  it('are missing in a run without any', () => {
    rmSync(directory, { recursive: true });
    expect(tracedSteps(directory)).toEqual([]);
    expect(() => readTrace(directory, { from: 1, to: 1 })).toThrow(/no traces here/);
  });

  it('are gone for steps in between that a slow disk did not take', () => {
    write(1, 0, [1, 2, 5]);
    expect(() => readTrace(directory, { from: 3, to: 4 })).toThrow(
      `${directory}: the traces of steps 3..4 are gone`,
    );
  });

  it.each([0, 200])('end before a file of %i bytes, after a kill or on a full disk', (bytes) => {
    truncateSync(write(2, 0, [4]), bytes);
    expect(tracedSteps(directory)).toEqual([]);
    write(1, 0, [1, 2, 3]);
    truncateSync(write(1, 0, [4]), bytes);
    expect(tracedSteps(directory)).toEqual([{ generation: 1, first: 1, last: 3, complete: 3 }]);
    expect(stepsOf(1, 3)).toEqual([[0, 1, 2, 3]]);
  });

  it('end before a chunk that was cut short', () => {
    const file = write(1, 0, [1, 2]);
    const whole = readFileSync(file);
    writeFileSync(file, Buffer.concat([whole, whole.subarray(whole.indexOf('\n') + 1)]));
    truncateSync(file, 2 * whole.length - whole.indexOf('\n') - 2);
    expect(stepsOf(1, 2)).toEqual([[0, 1, 2]]);
  });

  it.each([
    ['a folder', (file: string) => mkdirSync(file)],
    ['a pipe, without waiting for it', (file: string) => execFileSync('mkfifo', [file])],
  ])('are refused with one line: %s', (_, make) => {
    const file = write(1, 0, [1, 2]);
    rmSync(file);
    make(file);
    for (const read of [() => tracedSteps(directory), () => readTrace(directory, { from: 1, to: 1 })])
      expect(read).toThrow(`${file}: is no regular file`);
  });

  it.each<[string, (bytes: Buffer) => Buffer, RegExp]>([
    ['another file', () => Buffer.from('{"a":1}\n'), /is no trace file of locmoe/],
    ['text', () => Buffer.from('hello'), /is no trace file of locmoe/],
    ['no object', () => Buffer.from('null\n'), /is no trace file of locmoe/],
    [
      'a head without its fields',
      (bytes) => replaced(bytes, '"numNodes":2', '"numNode":2'),
      /is damaged: its first line lacks fields/,
    ],
    [
      'another version',
      (bytes) => replaced(bytes, '"version":1', '"version":9'),
      /has version 9; this locmoe reads version 1/,
    ],
    ['a damaged chunk', (bytes) => replaced(bytes, 'chnk', 'chnx'), /is damaged at byte \d+/],
  ])('are refused with one line: %s', (_, change, message) => {
    const file = write(1, 0, [1, 2]);
    const changed = change(readFileSync(file));
    writeFileSync(file, changed);
    expect(() => readTrace(directory, { from: 1, to: 1 })).toThrow(message);
    expect(() => readTrace(directory, { from: 1, to: 1 })).toThrow(path.basename(file));
  });
});

function replaced(bytes: Buffer, from: string, to: string): Buffer {
  return Buffer.from(bytes.toString('latin1').replace(from, to), 'latin1');
}
