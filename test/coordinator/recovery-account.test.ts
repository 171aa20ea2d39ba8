import type { FailureReport, RecoveryAccount } from '@locmoe/run-format';
import { expect, it } from 'vitest';
import { globalStep } from '../../packages/run-format/test/global-step.js';
import { recoveryAccounts } from '../../src/coordinator/recovery-account.js';
import { TrainerError } from '../../src/errors.js';

const REPORT = {
  rank: 1,
  node: 0,
  ranks: [{ rank: 1, node: 0, lastHeardMs: 400 }],
} as unknown as FailureReport;
const FAILED = { kind: 'restarting', error: new TrainerError('INTERNAL', 'x') } as const;

it('an outage lasts from its first failure until the run trains again', () => {
  let now = 0;
  const accounts: RecoveryAccount[] = [];
  const account = recoveryAccounts(
    (each) => accounts.push(each),
    () => now,
  );
  account.state({ kind: 'running' });
  for (let step = 1; step <= 7; step++) account.step({ ...globalStep(step), stepMs: 100 });
  account.checkpoint({ step: 4, directory: '' });
  account.state(FAILED);
  account.restarts(REPORT);
  now = 1_000;
  account.generation({ generation: 2, resumedFrom: 4, nodes: 1 });
  // The run fails once more before it trains.
  account.restarts({ ...REPORT, ranks: [] });
  now = 2_500;
  account.generation({ generation: 3, resumedFrom: 4, nodes: 1 });
  account.state({ kind: 'running' });
  expect(accounts).toEqual([{ detectedS: 0.4, restartedS: 2.5, lostSteps: 3, lostS: expect.closeTo(0.3) }]);
});
