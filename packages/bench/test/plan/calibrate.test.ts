import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { expect, it } from 'vitest';
import { locmoe, MICRO, temporaryFolder } from '../../../../test/e2e/support.js';

it('bench plan --calibrate measures a machine', async () => {
  const folder = temporaryFolder();
  const file = path.join(folder, 'micro.yaml');
  writeFileSync(file, MICRO);
  const work = path.join(folder, 'work');
  const { code, stdout, stderr } = await locmoe(
    'bench',
    'plan',
    '--calibrate',
    '--quick',
    '--work-dir',
    work,
  );
  expect(code, stdout + stderr).toBe(0);
  const calibration = path.join(work, 'quick/calibration.json');
  const { compute, exchange, processBytes } = JSON.parse(readFileSync(calibration, 'utf8'));
  expect(compute.flopsPerS).toBeGreaterThan(1e9);
  expect(compute.flopsPerS).toBeLessThan(1e13);
  expect(compute.slowdown).toHaveLength(3);
  expect(exchange.hopUs + exchange.frameUs).toBeGreaterThan(10);
  expect(processBytes).toBeGreaterThan(50e6);
  // The calibration that was written can be read by a plan.
  const plan = await locmoe('plan', '--config', file, '--calibration', calibration);
  expect(plan.code, plan.stderr).toBe(0);
});
