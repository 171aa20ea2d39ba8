import { afterAll, beforeAll, describe } from 'vitest';
import { buildTestImage } from '../../scripts/test-image.mjs';
import { NIGHTLY } from '../nightly.js';
import { composeTests } from './compose.js';
import { openEngine } from './support.js';
import { swarmTests } from './swarm.js';

const BUILD_TIMEOUT_MS = 600_000;

const engine = await openEngine();

// All are in one file, since files run side by side, and an engine may belong to one swarm only.
describe.skipIf(engine === null)('in containers', () => {
  beforeAll(() => buildTestImage((line) => console.log(line)), BUILD_TIMEOUT_MS);
  afterAll(async () => await engine?.close());

  composeTests();
  if (NIGHTLY) swarmTests();
});
