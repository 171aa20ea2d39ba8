// Speed of whole training steps, by recipe: `npm run bench:step -- [recipe ...] [--steps N] [--set key=value ...]`.
// Trains for real in processes of its own and reads the run's metrics; the first steps warm up and do not count.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { formatCount, formatTable } from '../src/coordinator/format.js';
import type { GlobalStep } from '../src/coordinator/step-aggregator.js';
import { STEP_PARTS } from '../src/rpc/messages.js';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const WARM_UP_STEPS = 10;

interface Result {
  readonly recipe: string;
  readonly tokensPerS: number;
  readonly stepMs: { readonly median: number; readonly p10: number; readonly p90: number };
  /** Medians of the mean over ranks, in ms; `other` is what lies between them. */
  readonly partsMs: Readonly<Record<string, number>>;
  readonly lossAtEnd: number;
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { steps: { type: 'string', default: '60' }, set: { type: 'string', multiple: true, default: [] } },
});
const results = (positionals.length > 0 ? positionals : ['tiny', 'small']).map((recipe) =>
  measure(recipe, Number(values.steps), values.set),
);
console.log(
  `${cpus().length} x ${cpus()[0].model}, Node ${process.versions.node}, ${values.steps} steps, times in ms\n`,
);
console.log(
  formatTable([
    ['recipe', 'tokens/s', 'step', 'p10', 'p90', ...STEP_PARTS, 'other'],
    ...results.map(({ recipe, tokensPerS, stepMs, partsMs }) => [
      recipe,
      formatCount(tokensPerS),
      ...[stepMs.median, stepMs.p10, stepMs.p90].map((ms) => ms.toFixed(1)),
      ...[...STEP_PARTS, 'other'].map((part) => partsMs[part].toFixed(1)),
    ]),
  ]),
);
console.log(`\n${JSON.stringify(results)}`);

function measure(recipe: string, steps: number, sets: readonly string[]): Result {
  const folder = mkdtempSync(path.join(tmpdir(), 'locmoe-bench-'));
  try {
    const all = [
      `train.steps=${steps}`,
      `train.validateEvery=${steps}`,
      `train.checkpointEvery=${steps}`,
      ...sets,
    ];
    const run = spawnSync(
      process.execPath,
      [
        ...['dist/cli.js', 'train', '--config', recipe, '--runs-dir', folder, '--no-samples'],
        ...all.flatMap((set) => ['--set', set]),
      ],
      { cwd: ROOT, encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'] },
    );
    if (run.status !== 0) throw new Error(`training ${recipe} ended with code ${run.status}`);
    return resultOf(recipe, readSteps(path.join(folder, readdirSync(folder)[0])));
  } finally {
    rmSync(folder, { recursive: true });
  }
}

function readSteps(runFolder: string): GlobalStep[] {
  return readFileSync(path.join(runFolder, 'metrics.ndjson'), 'utf8')
    .split('\n')
    .filter((line) => line.includes('"type":"step"'))
    .map((line) => JSON.parse(line));
}

function resultOf(recipe: string, steps: readonly GlobalStep[]): Result {
  const counted = steps.slice(WARM_UP_STEPS);
  const quantile = (share: number, of: (step: GlobalStep) => number) =>
    counted.map(of).sort((a, b) => a - b)[Math.min(counted.length - 1, Math.floor(share * counted.length))];
  const median = quantile(0.5, (step) => step.stepMs);
  const partsMs = Object.fromEntries(
    STEP_PARTS.map((part) => [part, quantile(0.5, (step) => step.partsMs[part])]),
  );
  return {
    recipe,
    tokensPerS: (1000 * steps[0].tokens) / median,
    stepMs: { median, p10: quantile(0.1, (step) => step.stepMs), p90: quantile(0.9, (step) => step.stepMs) },
    partsMs: { ...partsMs, other: median - Object.values(partsMs).reduce((sum, ms) => sum + ms, 0) },
    lossAtEnd: steps.at(-1)!.loss,
  };
}
