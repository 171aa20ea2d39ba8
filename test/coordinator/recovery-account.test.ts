import type { FailureReport, RecoveryAccount, RecoveryBill } from '@locmoe/run-format';
import { expect, it } from 'vitest';
import { globalStep } from '../../packages/run-format/test/global-step.js';
import { recoveryAccounts } from '../../src/coordinator/recovery-account.js';
import { TrainerError } from '../../src/errors.js';
import { stepReport } from './coordinator-of.js';

const REPORT = {
  rank: 1,
  node: 0,
  ranks: [{ rank: 1, node: 0, lastHeardMs: 400 }],
} as unknown as FailureReport;
const FAILED = { kind: 'restarting', error: new TrainerError('INTERNAL', 'x') } as const;

/** The accounts of a run with two ranks that has done seven steps and saved the fourth, on a clock of its own. */
function accountsOf() {
  const clock = { now: 0 };
  const accounts: RecoveryAccount[] = [];
  const bills: RecoveryBill[] = [];
  const account = recoveryAccounts(
    { recovered: (each) => accounts.push(each), bill: (each) => bills.push(each) },
    () => clock.now,
  );
  account.state({ kind: 'running' });
  for (let step = 1; step <= 7; step++) account.step({ ...globalStep(step), stepMs: 100 });
  account.checkpoint({ step: 4, directory: '' });
  account.state(FAILED);
  account.restarts(REPORT);
  return { clock, account, accounts, bills };
}

it('an outage lasts from its first failure until the run trains again', () => {
  const { clock, account, accounts } = accountsOf();
  clock.now = 1_000;
  account.generation({ generation: 2, resumedFrom: 4, nodes: 1 });
  // The run fails once more before it trains.
  account.restarts({ ...REPORT, ranks: [] });
  clock.now = 2_500;
  account.generation({ generation: 3, resumedFrom: 4, nodes: 1 });
  account.state({ kind: 'running' });
  expect(accounts).toEqual([{ detectedS: 0.4, restartedS: 2.5, lostSteps: 3, lostS: expect.closeTo(0.3) }]);
});

it('a bill names what each rank did until the first new step, and the rank that the others waited for', () => {
  const { clock, account, bills } = accountsOf();
  clock.now = 1_000;
  account.generation({ generation: 2, resumedFrom: 4, nodes: 1 });
  clock.now = 1_200;
  account.state({ kind: 'starting' });
  clock.now = 3_000;
  account.state({ kind: 'running' });
  const starts = [
    { node: 300, modules: 900, peers: 600, first: 500 },
    { node: 400, modules: 1_300, peers: 100, first: 501.4 },
  ];
  for (const step of [5, 6, 7, 8]) {
    expect(bills).toEqual([]);
    for (const [rank, startMs] of starts.entries()) {
      clock.now = 3_500 + 100 * (step - 5) + rank;
      account.rankStep(stepReport({ rank, step, startMs: step === 5 ? startMs : {} }));
    }
    account.step(globalStep(step));
  }
  const none = { kernels: 0, rings: 0, data: 0, state: 0, trials: 0 };
  const both = { ...none, detection: 0.4, end: 1, join: 0.2, again: 0.3 };
  expect(bills).toEqual([
    {
      outageS: 4.201,
      slowest: 1,
      ranksS: [
        { ...both, node: 0.3, modules: 0.9, peers: 0.6, first: 0.5 },
        { ...both, node: 0.4, modules: 1.3, peers: 0.1, first: 0.501 },
      ],
    },
  ]);
});

it('a generation that fails before its first new step has no bill', () => {
  const { account, bills } = accountsOf();
  account.generation({ generation: 2, resumedFrom: 4, nodes: 1 });
  account.state({ kind: 'running' });
  account.rankStep(stepReport({ step: 5 }));
  account.step(globalStep(5));
  account.restarts(REPORT);
  for (const step of [6, 7, 8]) account.step(globalStep(step));
  expect(bills).toEqual([]);
});
