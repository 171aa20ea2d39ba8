import { BaseSequencer, type TestSpecification } from 'vitest/node';

/** The slowest test files, slowest first: if one of them started last, it would still run when all others are done. */
export const LONGEST = [
  'cluster/containers',
  'e2e/soak',
  'e2e/tutorials',
  'e2e/package',
  'e2e/site',
  'worker/layouts',
  'e2e/replay',
  'e2e/inspect',
  'e2e/layout-law',
  'e2e/recovery',
  'e2e/page-logs',
  'e2e/separate-nodes',
  'e2e/own-router',
  'e2e/placement',
  'e2e/bench-step',
  'e2e/page-charts',
  'e2e/takeover',
  'e2e/not-finite',
  'e2e/fine-tune',
  'e2e/api',
  'e2e/snapshots',
  'e2e/doctor',
  'e2e/extending',
  'export/test/huggingface',
  'export/test/published',
  'model/language-model',
  'inference/decoder',
];

/** Begins with the files that take the longest. The others go by project, because only files of one project share a process. */
export class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const placeOf = ({ moduleId }: TestSpecification) => {
      const place = LONGEST.findIndex((name) => moduleId.endsWith(`/${name}.test.ts`));
      return place < 0 ? LONGEST.length : place;
    };
    return (await super.sort(files)).sort(
      (a, b) => placeOf(a) - placeOf(b) || a.project.name.localeCompare(b.project.name),
    );
  }
}
