// Runs axe on the page of an ordinary run, and of one with more ranks and experts than fit a screen.
import { seriousViolations, showView, VIEWS } from '../../packages/page/test/accessibility.js';
import { LARGE_RUN, SMALL_RUN, writeSyntheticRun } from '../../packages/page/test/synthetic-run.js';
import { writeTraces } from '../../packages/page/test/trace-fixture.js';
import { type Bench, inFolder, withPage } from './support.js';

const STEPS = 120;

/** @throws Error without a browser */
export const countViolations: Bench = () =>
  inFolder(async (runsDir) => {
    const runs = [SMALL_RUN, LARGE_RUN];
    for (const run of runs) {
      const { numRanks, ranksPerNode } = run;
      writeTraces(writeSyntheticRun(runsDir, run, { steps: STEPS }), {
        numNodes: numRanks / ranksPerNode,
        workersPerNode: ranksPerNode,
        steps: [STEPS],
        slowRank: 1,
      });
    }
    const found: string[] = [];
    await withPage(runsDir, async (tab, url) => {
      for (const { runId } of runs)
        for (const shown of VIEWS) {
          await showView(tab, url, runId, shown);
          found.push(...(await seriousViolations(tab)));
        }
    });
    for (const line of found) console.error(line);
    return [
      {
        name: 'a11y',
        meaning: 'serious and critical violations that axe finds in the page',
        unit: '',
        value: found.length,
        target: 0,
        note: `all views, light and dark, of ${runs.length} runs`,
      },
    ];
  });
