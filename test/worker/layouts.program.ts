// Trains every case on this rank, and tells the losses.

import { rankProgram } from '@locmoe/test-kit';
import { type LayoutCase, trainLayout } from './layout-cases.js';

rankProgram((transport, cases: readonly LayoutCase[]): number[][] =>
  cases.map((each) => trainLayout(transport, each)),
);
