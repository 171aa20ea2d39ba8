import { BaseSequencer, type TestSpecification } from 'vitest/node';

/** Files that take the longest, in this order: begun last, one of them would run on when all others are done. */
export const LONGEST = [
  ...['cluster/containers', 'e2e/soak', 'e2e/bench-step', 'e2e/package', 'e2e/layout-law', 'e2e/learning'],
  ...['e2e/documented-commands', 'e2e/takeover', 'e2e/interrupted-anywhere', 'e2e/page-end', 'e2e/recovery'],
  ...['e2e/bench-routers', 'plan/command', 'e2e/failure', 'e2e/separate-nodes', 'e2e/page-charts'],
  ...['e2e/other-users', 'data/own-text', 'e2e/resume', 'e2e/snapshots', 'e2e/interruption', 'e2e/generate'],
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
