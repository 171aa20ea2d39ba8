import type { Program } from '@locmoe/bench/internal/step/step-run';
import { describe, expect, it } from 'vitest';
import { cellId } from '../../step/cells.js';
import { planTurns as plan, scopeOf } from '../../step/turns.js';

const HERE: readonly Program[] = ['own', 'own-bfloat16', 'peer', 'peer-bfloat16'];
const LENGTHS = { turns: 3, steps: null, verifySteps: 20 };
const planTurns = (scope: Parameters<typeof plan>[0], lengths: Parameters<typeof plan>[1], here = HERE) =>
  plan(scope, lengths, here, { config: 'small', set: [] });

describe('scopeOf', () => {
  it('has everything if nothing is named, the cells of step.json first', () => {
    const { cells, withLocmoePlus } = scopeOf([]);
    expect(cells.map(cellId)).toEqual([
      'small-2x2',
      'medium-2x2',
      'small-2x1',
      'medium-2x1',
      'small-1x1',
      'medium-1x1',
      'small-2x2-width-x0.5',
      'small-2x2-experts-x0.5',
      'small-2x2-experts-x2',
      'small-2x2-sequence-x0.5',
      'small-2x2-sequence-x2',
      'small-2x2-batch-x0.5',
      'small-2x2-batch-x2',
    ]);
    expect(withLocmoePlus).toBe(true);
  });

  it('narrows to what is named', () => {
    expect(scopeOf(['medium', '1x1'])).toMatchObject({
      cells: [{ model: 'medium', layout: '1x1', sweep: null }],
      withLocmoePlus: false,
    });
    expect(scopeOf(['small', 'batch']).cells.map(cellId)).toEqual([
      'small-2x2-batch-x0.5',
      'small-2x2-batch-x2',
    ]);
    expect(scopeOf(['small', 'locmoe-plus']).cells.map(cellId)).toEqual(['small-2x2']);
  });

  it('refuses what there is not', () => {
    expect(() => scopeOf(['large'])).toThrow(/^--only large: expected one of small, medium, 1x1, .*, batch$/);
    expect(() => scopeOf(['medium', 'batch'])).toThrow('sweeps are of the model small');
  });
});

describe('planTurns', () => {
  it('verifies every model before anything else, and takes turns in turns', () => {
    const turns = planTurns(scopeOf(['2x2', '1x1']), LENGTHS);
    expect(turns.map(({ name, steps, isVerification }) => [name, steps, isVerification])).toEqual([
      ['small-2x2', 20, true],
      ['medium-2x2', 20, true],
      ['small-1x1', 12, false],
      ['medium-1x1', 8, false],
      ['small-2x2', 12, false],
      ['medium-2x2', 8, false],
      ['small-1x1', 12, false],
      ['medium-1x1', 8, false],
      ['small-2x2', 12, false],
      ['medium-2x2', 8, false],
    ]);
    const programs = ['own', 'own-bfloat16', 'peer', 'peer-bfloat16'];
    expect(turns[0]!.programs).toEqual(programs);
    expect(turns[4]!.programs).toEqual([...programs].reverse());
    expect(turns[8]!.programs).toEqual(programs);
  });

  it('lets locmoe-plus join where the figures come from, after the verification', () => {
    const turns = planTurns(scopeOf(['small', '2x2', '1x1', 'locmoe-plus']), LENGTHS);
    const joined = turns.filter(({ programs }) => programs.includes('locmoe-plus'));
    expect(joined.map(({ name, isVerification }) => [name, isVerification])).toEqual([
      ['small-2x2', false],
      ['small-2x2', false],
    ]);
    const [only] = planTurns(scopeOf(['small', 'locmoe-plus']), { ...LENGTHS, turns: 1, steps: 4 });
    expect(only!.programs).toEqual(['own', 'own-bfloat16', 'peer', 'peer-bfloat16', 'locmoe-plus']);
  });

  it('compiles PyTorch where that works, and sweeps sizes in float32 alone', () => {
    const turns = planTurns(scopeOf(['small', '1x1', 'batch']), LENGTHS, ['own', 'peer', 'peer-compiled']);
    expect(turns[0]!.programs).toEqual(['own', 'peer', 'peer-compiled']);
    for (const { programs } of turns.filter(({ name }) => name.includes('-batch-')))
      expect([...programs].sort()).toEqual(['own', 'peer']);
  });
});
