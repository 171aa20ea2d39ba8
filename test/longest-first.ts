import { BaseSequencer, type TestSpecification } from 'vitest/node';

/** Files that take the longest, in this order: begun last, one of them would run on when all others are done. */
export const LONGEST = [
  ...['cluster/containers', 'e2e/soak', 'e2e/tutorials', 'e2e/package', 'e2e/replay', 'e2e/separate-nodes'],
  ...['e2e/takeover', 'e2e/examples', 'e2e/recovery', 'e2e/layout-law', 'e2e/failure', 'worker/layouts'],
  ...[
    'e2e/api',
    'e2e/placement',
    'e2e/inspect',
    'e2e/other-users',
    'e2e/fine-tune',
    'e2e/resume',
    'e2e/routes',
  ],
  ...['e2e/interruption', 'routes/agreement', 'e2e/page-routing', 'e2e/launch', 'e2e/node-versions'],
  ...['e2e/page-charts', 'e2e/page-end', 'e2e/mixtral', 'cluster/slurm', 'e2e/bench-step', 'e2e/run-end'],
  ...['model/language-model', 'inference/decoder', 'export/test/huggingface', 'logql/event-loop'],
];

/** Begins with the files that take the longest. */
export class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const placeOf = ({ moduleId }: TestSpecification) => {
      const place = LONGEST.findIndex((name) => moduleId.endsWith(`/${name}.test.ts`));
      return place < 0 ? LONGEST.length : place;
    };
    return (await super.sort(files)).sort((a, b) => placeOf(a) - placeOf(b));
  }
}
