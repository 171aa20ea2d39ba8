import { expect, it } from 'vitest';
import { globalLayer, globalStep } from '../../packages/run-format/test/global-step.js';
import { RestartBudget } from '../../src/run/restart-budget.js';
import { RunTotals } from '../../src/run/run-totals.js';

it('a step that is done again after a restart counts once, and the time that restarts cost adds up', () => {
  const totals = new RunTotals(1, new RestartBudget({ maxRestarts: 3, restartWindow: 60 }));
  for (const step of [11, 12, 13, 12, 13, 14]) totals.step(globalStep(step));
  expect([totals.lastStep, totals.countedSteps]).toEqual([14, 4]);
  expect(totals.layers).toMatchObject([{ routed: 400, kept: globalLayer(1).kept.map((n) => 4 * n) }]);
  totals.restarts();
  totals.recovered({ detectedS: 0.5, restartedS: 4, lostSteps: 2, lostS: 0.25 });
  totals.recovered({ detectedS: 1, restartedS: 2, lostSteps: 0, lostS: 0 });
  expect([totals.numRestarts, totals.lostSteps, totals.lostS]).toEqual([1, 2, 7.75]);
});
