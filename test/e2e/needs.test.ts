import { readFileSync } from 'node:fs';
import path from 'node:path';
import { expect, it } from 'vitest';
import type { NeedsFile } from '../../src/routing/needs-file.js';
import { DATA_DIR, locmoe, lossCurve, temporaryFolder, trainToTheEnd } from './support.js';

const SETS = ['train.steps=6', 'train.checkpointEvery=3', 'moe.router=hash'];

it('ids in need are measured on a checkpoint, and a training with their list alone is the same on every layout', async () => {
  const folder = temporaryFolder();
  const whole = await trainToTheEnd({ folder, nodes: 1, workersPerNode: 1, sets: SETS });
  const output = path.join(folder, 'needs.json');
  const measure = ['routes', 'needs', '--checkpoint', whole, '--data-dir', DATA_DIR, '--output', output];
  const { stdout } = await locmoe(...measure, '--share', '0.4', '--max-tokens', '2000');
  expect(stdout).toMatch(/ids of \d+ that keep their experts, by what these were worth on 2,\d{3} tokens/);
  const needs: NeedsFile = JSON.parse(readFileSync(output, 'utf8'));
  expect(needs.share).toBeGreaterThanOrEqual(0.4);
  expect(needs.share).toBeLessThan(0.6);
  const again = await locmoe(...measure);
  expect([again.code, again.stderr]).toEqual([
    2,
    expect.stringContaining('is there already; name a new file'),
  ]);

  const sets = [...SETS, `moe.needs=${output}`];
  const curves: number[][] = [];
  for (const layout of [
    { nodes: 1, workersPerNode: 1 },
    { nodes: 2, workersPerNode: 1 },
  ]) {
    const run = await trainToTheEnd({ folder, ...layout, sets });
    const kept = keptShare(run);
    expect(kept).toBeGreaterThan(0.25);
    expect(kept).toBeLessThan(0.75);
    curves.push([...lossCurve(run).values()]);
  }
  expect(curves[1]!.length).toBe(6);
  for (const [step, loss] of curves[1]!.entries())
    expect(Math.abs(loss - curves[0]![step]!)).toBeLessThan(1e-4);
});

/** Kept choices of all steps and layers over their tokens. */
function keptShare(run: string): number {
  const steps = readFileSync(path.join(run, 'metrics.ndjson'), 'utf8')
    .split('\n')
    .filter((line) => line.includes('"type":"step"'))
    .map((line) => JSON.parse(line));
  let [kept, tokens] = [0, 0];
  for (const step of steps)
    for (const layer of step.layers) {
      kept += layer.kept.reduce((a: number, b: number) => a + b);
      tokens += step.tokens;
    }
  return kept / tokens;
}
