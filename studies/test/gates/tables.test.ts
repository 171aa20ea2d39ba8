import { RECIPE, SEEDS, TABLES } from '@locmoe/bench/internal/gate/entry';
import { readTables } from '@locmoe/bench/internal/gate/tables';
import { loadConfig } from 'locmoe/internal/config/resolve';
import { describe, expect, it } from 'vitest';
import { readDesign } from '../../gates/design.js';
import { cellsOf } from '../../gates/jobs.js';
import type { Run } from '../../gates/runs.js';
import { keptRuns, tableCell } from '../../gates/tables.js';
import { STUDIES } from '../../kit/read-yaml.js';
import { runsOf } from './support.js';

const design = readDesign(`${STUDIES}/gates`);
const cells = cellsOf(design, []);

describe.each([1, 2] as const)('the table of routers that take %i', (numChoices) => {
  const { arm, settings, config } = tableCell(cells, numChoices)!;
  const { label, sets } = TABLES[numChoices];

  it('is trained by `locmoe bench gate` as by the study', () => {
    expect(label).toBe(arm.label);
    expect(SEEDS).toEqual(design.seeds.screening);
    const { name, ...own } = loadConfig(RECIPE, { sets });
    expect(name).toBe('gate');
    expect({ name: config.name, ...own }).toEqual(config);
  });

  it('has kept runs of these settings, if any', () => {
    expect([undefined, settings]).toContain(readTables()[numChoices]?.settings);
  });
});

describe('keptRuns', () => {
  const { settings } = tableCell(cells, 1)!;
  const [any] = runsOf('first', 'switch', 'quality', [2]);
  const run = (seed: number, more: Partial<Run> = {}): Run => ({
    ...any!,
    settings,
    seed,
    curve: [{ step: 3000, loss: seed / 100, domains: {} }],
    ...more,
  });

  it('has the last losses of all seeds', () => {
    const runs = [...SEEDS.map((seed) => run(seed)), run(104), run(101, { settings: 'others' })];
    expect(keptRuns({ cells, runs }, 1, 'a machine')).toEqual({
      settings,
      machine: 'a machine',
      precision: 'float32',
      losses: { 101: 1.01, 102: 1.02, 103: 1.03 },
    });
  });

  it('waits for all seeds on this machine', () => {
    const [first, ...rest] = SEEDS.map((seed) => run(seed));
    expect(keptRuns({ cells, runs: rest }, 1, 'a machine')).toBe(null);
    const elsewhere = { ...first!, machine: 'another' };
    expect(keptRuns({ cells, runs: [elsewhere, ...rest] }, 1, 'a machine')).toBe(null);
    expect(keptRuns({ cells, runs: [first!, ...rest] }, 2, 'a machine')).toBe(null);
  });
});
