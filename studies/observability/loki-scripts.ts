import { runScripts } from '../../packages/logs/test/loki-scripts/run-scripts.js';
import { inFolder, type Measurement } from './support.js';

/** @param directory folder of Loki's own test scripts; skipped without one */
export async function benchLokiScripts(directory: string): Promise<Measurement[]> {
  if (directory === '') {
    console.error(
      "loki is skipped: give the folder of Loki's *.logqltest files (pkg/logql/internal/logqltest/testdata) as --loki-scripts DIR",
    );
    return [];
  }
  const tally = await inFolder((folder) => runScripts(directory, folder));
  const { right, refusedByName, wrong, failed, withMetadata, numScripts } = tally;
  return [
    {
      name: 'lokiEvaluations',
      meaning: "evaluations of Loki's own test scripts",
      unit: '',
      value: { right, refusedByName, wrong },
      target: null,
      note: `of ${right + refusedByName + wrong} in ${numScripts} scripts, ${failed} of which must fail; ${withMetadata} with structured metadata left out`,
    },
  ];
}
