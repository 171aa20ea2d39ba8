import { compareSettings, settingsOf } from '@locmoe/run-format/settings';
import { describe, expect, it } from 'vitest';
import type { RunListItem } from '../src/api-types.js';
import { listed, tookMs } from '../src/browser/run-list.js';

const item = (runId: string, more: Partial<RunListItem> = {}): RunListItem => ({
  runId,
  state: 'finished',
  isLive: false,
  notRecordingSince: null,
  startedAt: '2026-01-02T03:04:05Z',
  endedAt: null,
  generation: 1,
  step: 5,
  steps: 10,
  loss: null,
  recipe: 'tiny',
  router: 'switch',
  layout: '2 x 4',
  ...more,
});

describe('the list of runs', () => {
  const runs = [
    item('c', { loss: 2, startedAt: '2026-01-03T00:00:00Z' }),
    item('a', { recipe: 'small', state: 'failed', loss: 1 }),
    item('b', {
      router: 'locmoe-plus',
      startedAt: '2025-12-31T00:00:00Z',
      endedAt: Date.parse('2025-12-31T00:00:09Z'),
    }),
  ];
  const ids = (search: string, sort: Parameters<typeof listed>[1]['sort'], isAscending: boolean) =>
    listed(runs, { search, sort, isAscending }).map(({ runId }) => runId);

  it('is sorted by any column, runs without a value last either way', () => {
    expect(ids('', 'date', false)).toEqual(['c', 'a', 'b']);
    expect(ids('', 'date', true)).toEqual(['b', 'a', 'c']);
    expect(ids('', 'loss', true)).toEqual(['a', 'c', 'b']);
    expect(ids('', 'loss', false)).toEqual(['c', 'a', 'b']);
    expect(ids('', 'recipe', true)).toEqual(['a', 'c', 'b']);
    expect(ids('', 'took', false)).toEqual(['b', 'c', 'a']);
  });

  it('keeps runs that have all words of the search', () => {
    expect(ids('FAILED small', 'date', false)).toEqual(['a']);
    expect(ids('locmoe-plus', 'date', false)).toEqual(['b']);
    expect(ids('2026-01-03', 'date', false)).toEqual(['c']);
    expect(ids('failed locmoe-plus', 'date', false)).toEqual([]);
  });

  it('tells how long a run took', () => {
    expect(runs.map(tookMs)).toEqual([null, null, 9_000]);
  });
});

describe('the settings of a configuration', () => {
  const config = {
    name: 'x',
    train: { steps: 5, earlyStop: null },
    data: { domains: ['en', { own: { files: 'a' } }] },
  };

  it('are its leaves with their paths', () => {
    expect(settingsOf({ train: { freeze: [] } })).toEqual([['train.freeze', 'none']]);
    expect(settingsOf(config)).toEqual([
      ['name', 'x'],
      ['train.steps', '5'],
      ['train.earlyStop', 'null'],
      ['data.domains', 'en, {"own":{"files":"a"}}'],
    ]);
    expect(settingsOf(null)).toEqual([]);
  });

  it('are compared between runs, also where one of them has none', () => {
    const compared = compareSettings([config, { name: 'x', train: { steps: 6 }, more: true }]);
    expect(compared.filter(({ differs }) => differs)).toEqual([
      { path: 'train.steps', values: ['5', '6'], differs: true },
      { path: 'train.earlyStop', values: ['null', null], differs: true },
      { path: 'data.domains', values: ['en, {"own":{"files":"a"}}', null], differs: true },
      { path: 'more', values: [null, 'true'], differs: true },
    ]);
  });
});
