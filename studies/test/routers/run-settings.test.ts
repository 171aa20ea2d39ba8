import { loadConfig } from 'locmoe/internal/config/resolve';
import { describe, expect, it } from 'vitest';
import { HEADLINE_CELL, qualityLayout, resolveJob } from '../../routers/jobs.js';
import { qualityJob, timeJob } from './support.js';

const LINK = { gbps: 0.2, latencyMs: 0.1 };
const options = { config: 'routers', set: ['model.dModel=64'], steps: 400, timeSteps: 60 };

describe('resolveJob', () => {
  it('gives quality its length, its validations, and no limit of the link', () => {
    const { config } = resolveJob(options, qualityJob('switch', 2), LINK);
    expect(config).toMatchObject({
      seed: 2,
      model: { dModel: 64 },
      train: { steps: 400, validateEvery: 20, checkpointEvery: 400 },
      cluster: { nodes: 2, workersPerNode: 1, interNodeLink: null },
      data: { placement: 'domain' },
    });
    // The first seed is looked at on the way.
    expect(resolveJob(options, qualityJob('switch', 1), LINK).config.train.checkpointEvery).toBe(67);
  });

  it('gives time its own length, the link, and nothing beside the steps', () => {
    const { config } = resolveJob(options, timeJob(HEADLINE_CELL, 'switch', 1), LINK);
    expect(config).toMatchObject({
      train: { steps: 60, validateEvery: 60, checkpointEvery: 60, validationSequences: 1 },
      cluster: { nodes: 2, workersPerNode: 1, interNodeLink: LINK },
    });
  });

  it('takes the steps of the recipe where none are given', () => {
    const { steps: _, ...ofRecipe } = options;
    expect(resolveJob(ofRecipe, qualityJob('switch', 1), LINK).config.train.steps).toBe(
      loadConfig('routers').train.steps,
    );
  });
});

describe('qualityLayout', () => {
  const { moe, ...rest } = loadConfig('routers');

  it('has two nodes, and a worker for each core that experts and batch can be split over', () => {
    const config = { ...rest, moe };
    expect([1, 2, 3, 4, 6, 8, 12].map((cores) => qualityLayout(config, cores))).toEqual([
      ...['2x1', '2x1', '2x1', '2x2', '2x2', '2x4', '2x4'],
    ]);
    expect(qualityLayout({ ...rest, moe: { ...moe, numExperts: 6 } }, 8)).toBe('2x1');
  });
});
