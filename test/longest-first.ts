import { BaseSequencer, type TestSpecification } from 'vitest/node';

/** Files that take the longest, in this order: begun last, one of them would run on when all others are done. */
const LONGEST = [
  ...['cluster/containers', 'e2e/layout-law', 'e2e/documented-commands', 'collectives/collectives'],
  ...['e2e/learning', 'plan/command', 'e2e/metrics', 'e2e/failure', 'model/pangu-sigma'],
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
