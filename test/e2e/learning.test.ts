import { readFileSync } from 'node:fs';
import path from 'node:path';
import { meanLoss, type Validation } from '@locmoe/run-format';
import { describe, expect, it } from 'vitest';
import { openDataset } from '../../src/data/dataset.js';
import { elementTypeOf } from '../../src/ops/kernels/choose-kernels.js';
import { NIGHTLY } from '../nightly.js';
import { temporaryFolder, trainToTheEnd } from './support.js';

const [TINY, PANGU] = ['tiny', 'pangu'].map((name) =>
  readFileSync(new URL(`../../configs/${name}.yaml`, import.meta.url), 'utf8'),
);
/** A third of the recipe, with a schedule that ends there. */
const SHORT = [
  'train.steps=130',
  'train.warmupSteps=20',
  'train.validateEvery=130',
  'train.checkpointEvery=130',
];

/** A model that trains in less than a fifth of the time of the recipe's model. */
const SMALL = [
  'model.dModel=64',
  'model.numHeads=2',
  'model.dFeedForward=256',
  'model.numDenseLayers=1',
  'model.numSparseLayers=1',
  'train.learningRate=0.006',
];
/**
 * Required nats below the unigram entropy of all validation text, the loss of a model that learns only token
 * frequencies.
 */
const NATS_BELOW_MIXTURE = 0.7;
/**
 * Required nats below the mean unigram entropy of each domain's own text; telling the domains apart is not enough for
 * that.
 */
const NATS_BELOW_DOMAINS = 0.3;

describe('recipes, cut short', () => {
  it.each([
    ...(NIGHTLY ? [{ model: 'tiny', nodes: 2, workersPerNode: 2, sets: SHORT, config: TINY }] : []),
    { model: 'a smaller tiny', nodes: 1, workersPerNode: 1, sets: [...SHORT, ...SMALL], config: TINY },
    { model: 'a smaller pangu', nodes: 1, workersPerNode: 2, sets: [...SHORT, ...SMALL], config: PANGU },
  ])(
    'learns from context with $model: validation loss falls well below the unigram entropy',
    async ({ nodes, workersPerNode, sets, config }) => {
      const run = await trainToTheEnd({
        folder: temporaryFolder(),
        nodes,
        workersPerNode,
        sets,
        config,
      });
      const { validation } = JSON.parse(readFileSync(path.join(run, 'summary.json'), 'utf8')) as {
        validation: Validation;
      };
      const { datasetDir } = JSON.parse(readFileSync(path.join(run, 'run.json'), 'utf8'));
      const dataset = openDataset(datasetDir);
      const { train } = JSON.parse(readFileSync(path.join(run, 'config.json'), 'utf8'));
      expect(train.precision, 'the recipe says auto, the run what that is').toBe(elementTypeOf('auto'));
      expect(validation.step).toBe(130);
      const tokens = validation.domains.reduce((sum, domain) => sum + domain.tokens, 0);
      const loss = meanLoss(validation);
      // The unigram entropy of a model that knows the domain of each text, as locmoe's does.
      const unigram =
        validation.domains.reduce(
          (sum, { tokens: own }, i) => sum + own * dataset.domains[i].validationEntropy,
          0,
        ) / tokens;
      expect(loss).toBeLessThan(dataset.validationEntropy - NATS_BELOW_MIXTURE);
      expect(loss).toBeLessThan(unigram - NATS_BELOW_DOMAINS);
      for (const [i, { domain, loss: own }] of validation.domains.entries())
        expect(own, domain).toBeLessThan(dataset.domains[i].validationEntropy);
    },
  );
});
