// What axe finds in the page: of an ordinary run, and of one with more ranks and experts than fit a screen.
import { pageFeature } from '@locmoe/page';
import { startRunHttp } from 'locmoe/internal/cli/run-http';
import { formatAddress } from 'locmoe/internal/rpc/address';
import { seriousViolations, showView, VIEWS } from '../../page/test/accessibility.js';
import { TestBrowser, whyNoBrowser } from '../../page/test/browser.js';
import { LARGE_RUN, SMALL_RUN, writeSyntheticRun } from '../../page/test/synthetic-run.js';
import { writeTraces } from '../../page/test/trace-fixture.js';
import { type Bench, inFolder } from './support.js';

const STEPS = 120;

/**
 * Needs Chromium and `npm run build`.
 *
 * @throws Error without a browser
 */
export const countViolations: Bench = async () => {
  const reason = whyNoBrowser();
  if (reason !== null) throw new Error(reason);
  return inFolder(async (runsDir) => {
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
    const page = pageFeature(runsDir);
    const server = await startRunHttp({ http: '127.0.0.1:0', runsDir, page }, null, null);
    if (server === null) throw new Error('no server');
    const browser = await TestBrowser.open();
    const found: string[] = [];
    try {
      const tab = await browser.page('about:blank');
      for (const { runId } of runs)
        for (const shown of VIEWS) {
          await showView(tab, `http://${formatAddress(server.address)}`, runId, shown);
          found.push(...(await seriousViolations(tab)));
        }
    } finally {
      await browser.close();
      await server.close();
    }
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
};
