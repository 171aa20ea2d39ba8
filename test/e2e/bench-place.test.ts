import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { expect, it } from 'vitest';
import { DATA_DIR, locmoe, MICRO, temporaryFolder } from './support.js';

it('bench place trains, places and goes on: bytes are as predicted, and fewer where experts are placed', async () => {
  const folder = temporaryFolder();
  const config = path.join(folder, 'micro.yaml');
  writeFileSync(config, MICRO.replace('globalBatch: 8', 'globalBatch: 16'));
  const work = path.join(folder, 'work');
  const { code, stdout, stderr } = await locmoe(
    'bench',
    'place',
    '--config',
    config,
    '--layouts',
    '2x1',
    '--only',
    'hash',
    '--steps',
    '12',
    '--set',
    'moe.numExperts=8',
    '--work-dir',
    work,
    '--data-dir',
    DATA_DIR,
  );
  expect(code, stdout + stderr).toBe(0);
  expect(stdout).toMatch(/^\[1\/1\] 2x1, hash$/m);
  const { checks } = JSON.parse(readFileSync(path.join(work, 'place.json'), 'utf8'));
  expect(checks).toHaveLength(1);
  const [{ bytesOtherNode, stepMs, report }] = checks;
  for (const { predicted, measured, error } of Object.values<Record<string, number>>(bytesOtherNode)) {
    expect(error).toBeCloseTo(predicted / measured - 1, 9);
    expect(Math.abs(error)).toBeLessThan(0.05);
  }
  expect(Math.abs(bytesOtherNode.recorded.error)).toBeLessThan(0.02);
  expect(bytesOtherNode.placed.measured).toBeLessThan(0.97 * bytesOtherNode.contiguous.measured);
  expect(report.saved.bytesOtherNode).toBeGreaterThan(0);
  expect(stepMs.placed.measured).toBeGreaterThan(0);
});
