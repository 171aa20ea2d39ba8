// Trains the same with experts in memory and in a file, and tells what comes of both.

import { rankProgram } from '@locmoe/test-kit';
import { type ExpertCase, type ExpertResult, trainCase } from './expert-cases.js';

export interface LayoutTask {
  readonly folder: string;
  readonly cases: readonly ExpertCase[];
}

rankProgram((transport, { folder, cases }: LayoutTask): ExpertResult[][] =>
  cases.map(({ moe, cluster, train }) =>
    (['memory', 'file'] as const).map((kind) => {
      const expertStorage = { ...moe.expertStorage, kind };
      return trainCase(transport, { moe: { ...moe, expertStorage }, cluster, train }, folder);
    }),
  ),
);
