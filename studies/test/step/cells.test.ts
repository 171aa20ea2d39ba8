import { lengthSettings } from '@locmoe/bench/internal/step/verify';
import { loadConfig } from 'locmoe/internal/config/resolve';
import { describe, expect, it } from 'vitest';
import { type Cell, settingsOf, sizesOf } from '../../step/cells.js';

const SMALL: Cell = { model: 'small', layout: '2x2', sweep: null };

describe('settingsOf', () => {
  const configOf = (cell: Cell, steps: number, sets: readonly string[]) =>
    loadConfig('small', { sets: [...settingsOf(cell, 'small', sets), ...lengthSettings(steps)] });

  it('keeps the batch of a rank on every layout, and doubles the width of medium', () => {
    const cell: Cell = { model: 'medium', layout: '2x1', sweep: null };
    const { model, train } = configOf(cell, 8, ['train.clipNorm=0.5']);
    expect(model).toMatchObject({ dModel: 512, dFeedForward: 2048 });
    expect(train).toMatchObject({ globalBatch: 16, clipNorm: 0.5 });
  });

  it('varies one size', () => {
    const sizes = (of: 'width' | 'experts' | 'sequence' | 'batch', factor: number) =>
      sizesOf({ ...SMALL, sweep: { of, factor } }, 'small', []);
    const same = { width: 256, experts: 8, sequence: 128, batch: 8 };
    expect(sizes('width', 0.5)).toEqual({ ...same, width: 128 });
    expect(sizes('experts', 2)).toEqual({ ...same, experts: 16 });
    expect(sizes('sequence', 2)).toEqual({ ...same, sequence: 256 });
    expect(sizes('batch', 0.5)).toEqual({ ...same, batch: 4 });
  });
});
