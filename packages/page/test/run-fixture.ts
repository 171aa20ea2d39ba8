import { appendFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { onTestFinished } from 'vitest';

export const STARTED_AT = Date.parse('2026-01-02T03:04:05Z');

/** A temporary folder for runs, removed after the test, or when `removeLater` decides. */
export function temporaryRuns(removeLater: (remove: () => void) => void = onTestFinished): string {
  const folder = mkdtempSync(path.join(tmpdir(), 'locmoe-page-'));
  removeLater(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Writes the folder of a finished run; returns its path. */
export function writeRun(runsDir: string, runId: string, record: object = {}): string {
  const folder = path.join(runsDir, runId);
  mkdirSync(path.join(folder, 'logs'), { recursive: true });
  writeFileSync(
    path.join(folder, 'run.json'),
    JSON.stringify({
      runId,
      generation: 1,
      address: '127.0.0.1:1',
      pid: 1,
      process: 'none',
      state: 'finished',
      startedAt: new Date(STARTED_AT).toISOString(),
      datasetDir: 'data',
      ...record,
    }),
  );
  const train = { steps: 1000, maxTokens: 6500, globalBatch: 4 };
  const config = { name: 'test', model: { seqLen: 16 }, train };
  writeFileSync(path.join(folder, 'config.json'), JSON.stringify(config));
  return folder;
}

export function addMetrics(folder: string, ...records: object[]): void {
  appendFileSync(
    path.join(folder, 'metrics.ndjson'),
    records.map((record) => `${JSON.stringify(record)}\n`).join(''),
  );
}

export const PARTS_MS = {
  forward: 100,
  backward: 200,
  exchange: 50,
  allReduce: 50,
  optimizer: 50,
  waiting: 50,
};

/** A step as a run records it, with two sparse layers of four experts. */
export function stepRecord(step: number, { loss = 5, time }: { loss?: number; time?: number } = {}): object {
  const layer = (number: number) => ({
    layer: number,
    routed: [10, 10, 10, 10],
    kept: [10, 8, 6, step],
    overCapacity: [0, 2, 2, 0],
    notChosen: [0, 0, 2, 0],
    sameWorker: 12,
    sameNode: 6,
    otherNode: 6,
    bytes: { sameWorker: 1, sameNode: 1, otherNode: 1 },
    capacity: [10, 10, 10, 10],
    capacityRatio: 1,
    gateCosine: null,
  });
  return {
    type: 'step',
    step,
    ...(time === undefined ? {} : { time }),
    loss,
    auxiliaryLoss: 0.1,
    gradientNorm: 1,
    learningRate: 0.001,
    tokens: 1_000,
    stepMs: 500,
    partsMs: PARTS_MS,
    layers: [layer(2), layer(3)],
    bytesSameNode: 1,
    bytesOtherNode: 1,
    allToAllMs: 1,
    allToAllWaitMs: 1,
  };
}

export function heartbeat(
  time: number,
  ...steps: (number | { step: number; processState?: string; residentBytes?: number })[]
) {
  return {
    type: 'heartbeat',
    time,
    ranks: steps.map((given, rank) => ({
      rank,
      node: rank >> 1,
      phase: 'step',
      operation: 'all-reduce',
      processState: 'S',
      residentBytes: 1e8 + rank,
      ...(typeof given === 'number' ? { step: given } : given),
    })),
  };
}
