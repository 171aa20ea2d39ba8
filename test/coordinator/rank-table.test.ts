import { expect, it } from 'vitest';
import { RankTable } from '../../src/coordinator/rank-table.js';
import type { WorkerProgress } from '../../src/rpc/generated/messages.js';

const worker = (rank: number, idleMs: number): WorkerProgress => ({
  rank,
  pid: 100 + rank,
  step: 1,
  phase: 'forward',
  operation: '',
  processState: 'R',
  residentBytes: 1,
  idleMs,
  layer: -1,
  sequence: 0,
  waitingFor: -1,
  stalledMs: 0,
  stoppedMs: 0,
});

it('a rank is silent for as long as its worker, and then as its node', () => {
  let now = 0;
  const table = new RankTable(2, () => now);
  table.update([worker(3, 40), worker(2, 0)]);
  now = 1000;
  table.update([worker(2, 700)]);
  now = 1500;
  expect(table.views.map(({ rank, node, lastHeardMs }) => [rank, node, lastHeardMs])).toEqual([
    [2, 1, 1200],
    [3, 1, 1540],
  ]);
});
