import { readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { runTraining } from '@locmoe/bench/internal/training';
import { lastRecords } from '@locmoe/run-format';
import { expect, it } from 'vitest';
import { DESIGN } from '../gates/support.js';
import { DATA_DIR, temporaryFolder } from '../support.js';

const STEPS = 4;
/** Sequences times tokens of a step. */
const TOKENS = 8 * 32;

/** Trains the micro model of the design for some steps. */
async function train(control: string, nodes: number, workersPerNode: number, ...sets: string[]) {
  const folder = temporaryFolder();
  const router = fileURLToPath(new URL(`../../gates/controls/${control}.mjs`, import.meta.url));
  const { metrics } = await runTraining({
    config: path.join(DESIGN, 'proof.yaml'),
    sets: [`moe.router=${router}`, 'moe.capacityFactor=null', `train.steps=${STEPS}`, ...sets],
    folder,
    dataDir: DATA_DIR,
    more: ['--nodes', String(nodes), '--workers-per-node', String(workersPerNode)],
  });
  expect(readFileSync(path.join(folder, 'output.txt'), 'utf8')).not.toMatch(/NaN|Infinity|undefined/);
  const records = lastRecords(metrics);
  const steps = records.filter((record) => record.type === 'step');
  const [validation] = records.filter((record) => record.type === 'validation');
  expect(steps).toHaveLength(STEPS);
  expect(steps.at(-1)!.loss!).toBeLessThan(steps[0]!.loss! - 0.1);
  return {
    kept: steps.flatMap(({ layers }) => layers.map(({ kept }) => kept)),
    losses: [...steps.map(({ loss }) => loss!), ...validation!.domains.map(({ loss }) => loss)],
  };
}

it('no-expert trains without experts, in every layout and form of the exchange alike', async () => {
  const alone = await train('no-expert', 1, 1);
  const spread = await train('no-expert', 2, 2, 'cluster.overlapDegree=2', 'train.expertUpdate=touched');
  for (const { kept } of [alone, spread]) expect(kept).toEqual(Array(2 * STEPS).fill([0, 0, 0, 0]));
  for (const [i, loss] of spread.losses.entries()) expect(loss / alone.losses[i]!).toBeCloseTo(1, 4);
});

it('one-expert gives all tokens one feed-forward network, also where the capacity is short', async () => {
  const { kept } = await train('one-expert', 2, 1, 'moe.capacityFactor=0.5');
  expect(kept).toEqual(Array(2 * STEPS).fill([TOKENS, 0, 0, 0]));
  const grouped = await train('one-expert', 1, 1, 'moe.expertGroups=2');
  expect(grouped.kept).toEqual(Array(2 * STEPS).fill([TOKENS / 2, 0, TOKENS / 2, 0]));
});
