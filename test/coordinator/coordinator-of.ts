import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { LogStore } from '@locmoe/logs';
import { onTestFinished } from 'vitest';
import type { RunConfig } from '../../src/config/schema.js';
import { Coordinator } from '../../src/coordinator/coordinator.js';
import type { CoordinatorOptions } from '../../src/coordinator/coordinator-options.js';
import { createLogger } from '../../src/logger.js';
import type { StepReport } from '../../src/rpc/generated/messages.js';

interface Place extends Partial<CoordinatorOptions> {
  readonly generation?: number;
  readonly level?: 'info' | 'warn' | 'error';
  /** Called with each line of the coordinator's log. */
  readonly onLine?: (line: string, logs: LogStore) => void;
}

/** Makes the coordinator of a run in a folder of its own, which ends with the test, and the store of the run's log. */
export function coordinatorOf(config: RunConfig, place: Place = {}) {
  const { generation = 1, level = 'warn', onLine, ...options } = place;
  const folder = mkdtempSync(path.join(tmpdir(), 'locmoe-coordinator-'));
  const logs = new LogStore(path.join(folder, 'logs'), (error) => {
    throw error;
  });
  const runId = 'r1';
  const from = { resumeFrom: null, resumedStep: 0, initFrom: null };
  const coordinator = new Coordinator({
    identity: { runId, generation, config, runDir: folder, datasetDir: folder, ...from },
    logs,
    logger: createLogger({
      level,
      origin: { run: runId, generation },
      destination: { write: (line) => onLine?.(line, logs) },
    }),
    listeners: [],
    joinTimeoutMs: 60_000,
    nodesAreReplaceable: false,
    ...options,
  });
  onTestFinished(() => {
    coordinator.close();
    logs.close();
    rmSync(folder, { recursive: true });
  });
  return { coordinator, logs };
}

/** A rank reports this after its first step. */
export function stepReport(fields: Partial<StepReport> = {}): StepReport {
  return {
    step: 1,
    rank: 0,
    loss: 1,
    auxiliaryLoss: 0,
    gradientNorm: 1,
    learningRate: 0.1,
    tokens: 8,
    measures: {},
    stepMs: 5,
    partsMs: { forward: 1, backward: 1, exchange: 1, allReduce: 1, optimizer: 1, waiting: 0 },
    startMs: {},
    layers: [],
    bytesSameNode: 0,
    bytesOtherNode: 0,
    rowBytesTo: [0, 0],
    allToAllMs: 0,
    allToAllWaitMs: 0,
    cpuMs: 5,
    queuedMs: 0,
    skipped: false,
    ...fields,
  };
}
