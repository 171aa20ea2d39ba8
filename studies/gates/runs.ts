import { appendFileSync, existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import type { Figures, Losses } from '@locmoe/bench/internal/gate/figures';
import { TrainerError } from 'locmoe/internal/errors';
import type { CacheReport } from 'locmoe/internal/evaluation/routes/cache';

export const STAGES = ['screening', 'confirming'] as const;
export type Stage = (typeof STAGES)[number];

/** Fields that identify a run. */
export interface RunKey {
  /** A run for time is short, alone on the machine, and on an emulated cluster. */
  readonly kind: 'quality' | 'time';
  readonly stage: Stage;
  /** Digest of all settings but the seed (jobs.ts). */
  readonly settings: string;
  readonly seed: number;
}

/** A line of gates-runs.jsonl. */
export interface Run extends RunKey, Figures {
  /** The arm for which the run was made. */
  readonly arm: string;
  /** Losses on the test text; null for runs for time and of the screening stage. */
  readonly test: (Losses & { readonly tokens: number }) | null;
  /** Says what caches of experts would have served of the last steps; older runs, and runs for time, do not have it. */
  readonly caches?: CacheReport['recorded'];
  readonly machine: string;
  /** Family, model and stepping of the processor, which `machine` may hide; older runs do not have it. */
  readonly processor?: string | null;
  readonly precision: string;
  readonly commit: string;
  readonly seconds: number;
}

export function keyOf({ kind, stage, settings, seed }: RunKey): string {
  return [kind, stage, settings, seed].join(' ');
}

function fileIn(folder: string): string {
  return path.join(folder, 'gates-runs.jsonl');
}

/**
 * Reads all kept runs.
 *
 * @returns the runs by key; of two lines with the same key, the first
 * @throws TrainerError `BAD_INPUT` naming a line that is not a run
 */
export function readRuns(folder: string): Map<string, Run> {
  const file = fileIn(folder);
  const runs = new Map<string, Run>();
  if (!existsSync(file)) return runs;
  for (const [i, line] of readFileSync(file, 'utf8').split('\n').entries()) {
    if (line.trim() === '') continue;
    const run = parsed(line, `${file}:${i + 1}`);
    if (!runs.has(keyOf(run))) runs.set(keyOf(run), run);
  }
  return runs;
}

function parsed(line: string, place: string): Run {
  let run: Partial<Run> | null;
  try {
    run = JSON.parse(line);
  } catch (error) {
    throw new TrainerError('BAD_INPUT', `${place}: no JSON; remove the line`, {}, { cause: error });
  }
  const isRun = [run?.arm, run?.kind, run?.stage, run?.settings].every((value) => typeof value === 'string');
  if (!isRun || typeof run?.seed !== 'number' || !Array.isArray(run.curve))
    throw new TrainerError('BAD_INPUT', `${place}: no run; remove the line`);
  return run as Run;
}

export function addRun(folder: string, run: Run): void {
  appendFileSync(fileIn(folder), `${JSON.stringify(run)}\n`);
}
