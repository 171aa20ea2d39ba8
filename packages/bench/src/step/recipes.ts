import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { STEP_PARTS } from '@locmoe/run-format';
import { loadConfig } from 'locmoe/internal/config/resolve';
import { EXIT } from 'locmoe/internal/errors';
import { formatCount, formatTable } from 'locmoe/internal/format';
import { interruptible } from 'locmoe/internal/os/on-signals';
import { machine } from '../machine.js';
import { quantile } from '../statistics.js';
import { lengthSettings } from './models.js';
import { runOwn } from './own-run.js';
import type { StepRun } from './step-run.js';

export interface TimeRecipesOptions {
  /** Recipes or config files. */
  readonly configs: readonly string[];
  /** `--set` overrides of every run. */
  readonly set: readonly string[];
  readonly steps: number;
  readonly dataDir: string;
}

/**
 * `locmoe bench step` without a peer: trains each recipe and prints its step time by part, as a table and one
 * line of JSON.
 *
 * @returns the exit code of the command
 * @throws TrainerError `BAD_CONFIG` before anything runs, `INTERNAL` if a run failed; `INTERRUPTED`
 */
export async function timeRecipes(options: TimeRecipesOptions): Promise<number> {
  const { configs, set, steps, dataDir } = options;
  const sets = [...set, ...lengthSettings(steps)];
  for (const config of configs) loadConfig(config, { sets });
  const folder = mkdtempSync(path.join(tmpdir(), 'locmoe-step-'));
  const runs: { readonly recipe: string; readonly run: StepRun }[] = [];
  try {
    // Also between two runs: this process has a folder to remove.
    await interruptible('ended', async (signal) => {
      for (const recipe of configs) {
        signal.throwIfAborted();
        console.log(`${recipe}: ${steps} steps`);
        const run = await runOwn({ config: recipe, sets, folder: path.join(folder, 'run'), dataDir });
        runs.push({ recipe, run });
      }
    });
    console.log(`${machine()}, ${steps} steps, times in ms\n`);
    console.log(recipesTable(runs));
    console.log(`\n${JSON.stringify(runs.map(({ recipe, run }) => ({ recipe, ...run })))}`);
    return EXIT.done;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function recipesTable(runs: readonly { readonly recipe: string; readonly run: StepRun }[]): string {
  const parts = [...STEP_PARTS, 'other'] as const;
  return formatTable([
    ['recipe', 'tokens/s', 'step', 'p10', 'p90', ...parts, 'gc', 'peak MB'],
    ...runs.map(({ recipe, run }) => [
      recipe,
      formatCount(run.tokensPerS),
      ...[0.5, 0.1, 0.9].map((share) => quantile(run.stepMs, share).toFixed(1)),
      ...parts.map((part) => run.partsMs[part].toFixed(1)),
      (run.gcMs ?? 0).toFixed(1),
      formatCount(run.peakBytes / 1e6),
    ]),
  ]);
}
