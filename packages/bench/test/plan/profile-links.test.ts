import { lstatSync, realpathSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';

const ROOT = fileURLToPath(new URL('../../../..', import.meta.url));

// Were it a copy, it would still state old figures after a new measurement.
it('docs/results/plan-calibration.json is a link to what the planner ships', () => {
  const [link, target] = ['docs/results/plan-calibration.json', 'packages/bench/profile/calibration.json'];
  expect(lstatSync(path.join(ROOT, link)).isSymbolicLink()).toBe(true);
  expect(realpathSync(path.join(ROOT, link))).toBe(realpathSync(path.join(ROOT, target)));
});
