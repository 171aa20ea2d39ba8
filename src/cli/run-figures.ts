import { lstatSync, readdirSync, statSync } from 'node:fs';
import path from 'node:path';
import {
  locality,
  type MetricsRecordOf,
  mayBeLive,
  meanLoss,
  numStepsOf,
  type RunFolder,
  type RunRecord,
  recordsFromEnd,
} from '@locmoe/run-format';
import { runSchema } from '../config/schema.js';
import { stateOf } from './past-run.js';

/** Bytes at the end of the metrics that are read; the last validation may be before them. */
const TAIL_BYTES = 1 << 20;

export type Run = { readonly folder: RunFolder; readonly record: RunRecord };

/**
 * Returns what the small files of a run and the end of its metrics say; null where they say nothing.
 *
 * @param numSteps number of steps over which the speed is averaged
 */
export function figuresOf({ folder, record }: Run, numSteps = 1) {
  const config = folder.readConfig(runSchema);
  const { steps, validation } = tailOf(folder.metrics, numSteps);
  const loss = validation && meanLoss(validation);
  const sumOf = (name: 'tokens' | 'stepMs') => steps.reduce((sum, step) => sum + step[name], 0);
  return {
    runId: folder.runId,
    state: mayBeLive(record) ? record.state : stateOf(record),
    recipe: config?.name ?? null,
    router: config?.moe.router ?? null,
    layout: config && `${config.cluster.nodes} x ${config.cluster.workersPerNode}`,
    step: steps[0]?.step ?? 0,
    steps: config && numStepsOf(config),
    validationLoss: loss,
    perplexity: loss && Math.exp(loss),
    domains: Object.fromEntries(validation?.domains.map(({ domain, loss }) => [domain, loss]) ?? []),
    shares: locality(steps[0]?.layers ?? []),
    idShare: steps[0]?.idShare ?? null,
    tokensPerS: steps.length === 0 ? null : (1000 * sumOf('tokens')) / sumOf('stepMs'),
    writtenMs: lastWriteMs(folder),
  };
}

/** Returns the last steps, newest first, and the last validation; metrics that cannot be read count as empty. */
function tailOf(metrics: string, numSteps: number) {
  const steps: MetricsRecordOf<'step'>[] = [];
  let validation: MetricsRecordOf<'validation'> | null = null;
  let size = 0;
  try {
    for (const { record, begin, end } of recordsFromEnd(metrics)) {
      size ||= end;
      if (record.type === 'step' && steps.length < numSteps) steps.push(record);
      if (record.type === 'validation') validation ??= record;
      if ((steps.length === numSteps && validation !== null) || size - begin > TAIL_BYTES) break;
    }
  } catch {
    // One damaged run must not hide the others.
  }
  return { steps, validation };
}

/** Returns the time of the last write to the metrics or the record, in ms since 1970. */
export function lastWriteMs({ directory, metrics }: RunFolder): number {
  const files = [metrics, path.join(directory, 'run.json')];
  return Math.max(...files.map((file) => statSync(file, { throwIfNoEntry: false })?.mtimeMs ?? 0));
}

/** Returns the bytes of all files under a place; links are not followed, and what is removed meanwhile is left out. */
export function bytesUnder(place: string): number {
  const stats = lstatSync(place, { throwIfNoEntry: false });
  if (!stats?.isDirectory()) return stats?.size ?? 0;
  try {
    return readdirSync(place).reduce((sum, name) => sum + bytesUnder(path.join(place, name)), 0);
  } catch {
    return 0;
  }
}
