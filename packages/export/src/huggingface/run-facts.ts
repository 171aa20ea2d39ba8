import path from 'node:path';
import { RunFolder, recordsFromEnd, type Validation } from '@locmoe/run-format';
import type { Checkpoint } from 'locmoe/internal/checkpoint/checkpoint';
import { type DatasetIndex, readIndex } from 'locmoe/internal/data/dataset';

/** Facts about a checkpoint that are recorded in the folder of its run. */
export interface RunFacts {
  /** The last validation up to the checkpoint. */
  readonly validation: Validation | null;
  /** Sizes of the text by domain. */
  readonly domains: DatasetIndex['domains'];
}

/** Reads the facts, which are empty for a checkpoint moved out of its run, and lack sizes if the dataset is gone. */
export function factsOfRun({ folder, manifest }: Checkpoint): RunFacts {
  const run = new RunFolder(path.dirname(path.dirname(path.resolve(folder))));
  const record = run.readRecord();
  if (record === null || record.runId !== manifest.runId) return { validation: null, domains: [] };
  return { validation: lastValidation(run.metrics, manifest.step), domains: domainsOf(record.datasetDir) };
}

function lastValidation(metrics: string, step: number): Validation | null {
  for (const { record } of recordsFromEnd(metrics))
    if (record.type === 'validation' && record.step <= step) return record;
  return null;
}

function domainsOf(datasetDir: string): DatasetIndex['domains'] {
  try {
    return readIndex(datasetDir).domains;
  } catch {
    return [];
  }
}
