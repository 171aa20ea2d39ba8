// Trains every case on this rank, with consecutive experts and with placed ones, and tells what comes of both.

import { rankProgram } from '@locmoe/test-kit';
import { type PlacedCase, type PlacedResult, trainPlaced } from './placed-cases.js';

rankProgram((transport, cases: readonly PlacedCase[]): PlacedResult[][] =>
  cases.map((each) => [trainPlaced(transport, each, false), trainPlaced(transport, each, true)]),
);
