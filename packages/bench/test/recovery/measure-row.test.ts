import type { JournalEntry } from '@locmoe/run-format';
import { loadConfig } from 'locmoe/internal/config/resolve';
import { nodesThatSuffice } from 'locmoe/internal/coordinator/generation-start';
import { expect, it } from 'vitest';
import { trainsOn } from '../../src/recovery/measure-row.js';
import { ROWS } from '../../src/recovery/rows.js';

it('the run that loses a node can go on with one node fewer', () => {
  const { nodes, workersPerNode, sets } = ROWS['node-lost']!.layout!;
  const config = loadConfig('tiny', { nodes, workersPerNode, sets });
  expect(nodesThatSuffice(config, nodes - 1)).toBe(nodes - 1);
});

it('a run trains on all nodes again once its newest generation has them and has done a step', () => {
  const begin = (time: number, generation: number, nodes: number): JournalEntry => ({
    type: 'generation',
    time,
    generation,
    from: { kind: 'snapshot', step: 5 },
    nodes,
    workersPerNode: 1,
  });
  const running = (time: number, generation: number): JournalEntry => ({ type: 'running', time, generation });
  const journal = [begin(1, 1, 3), running(2, 1), begin(4, 2, 2), running(5, 2)];
  const steps = [3, 6].map((time) => ({ step: time, time }));
  expect(trainsOn(3, journal.slice(0, 2), steps)).toBe(true);
  expect(trainsOn(3, journal, steps)).toBe(false);
  expect(trainsOn(2, journal, steps)).toBe(true);
  journal.push(begin(7, 3, 3));
  expect(trainsOn(3, journal, [...steps, { step: 7, time: 7.5 }])).toBe(false);
  journal.push(running(8, 3));
  expect(trainsOn(3, journal, steps)).toBe(false);
  expect(trainsOn(3, journal, [...steps, { step: 7, time: 9 }])).toBe(true);
});
