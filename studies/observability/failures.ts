import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort } from '@locmoe/test-kit';
import { randomToken } from 'locmoe/internal/rpc/security';
import { STUDIES } from '../kit/read-yaml.js';
import { Alerting } from './alerting.js';
import { CAUSES, FailingRun } from './failing-run.js';
import { assertEqual, type Bench, inFolder } from './support.js';

const NUM_RUNS = 20;
/** Number of runs at once; each has two workers. */
const NUM_PARALLEL = 5;
const SCRAPE_INTERVAL_S = 15;
/** Least duration of a run, as one that is killed between two scrapes leaves no trace in Prometheus. */
const SEEN_MS = 1_000 * (SCRAPE_INTERVAL_S + 2);
/** The longest way of an alert: gone for a minute, two scrapes and evaluations, a group's wait. */
const ALERT_TIMEOUT_MS = 240_000;
const POLL_MS = 500;
const ALERTS = ['LocmoeRunFailed', 'LocmoeCoordinatorGone'];
const RECIPE = path.join(STUDIES, 'observability/micro.yaml');

/**
 * Runs that fail for different reasons, at any moment between two scrapes: how many of them reach the receiver of
 * alerts, and how many lines of their logs miss a client that tails them.
 */
export const benchFailures: Bench = () =>
  inFolder(async (folder) => {
    const tokenFile = path.join(folder, 'token');
    writeFileSync(tokenFile, randomToken());
    const ports = await Promise.all(Array.from({ length: NUM_RUNS }, freePort));
    const alerting = new Alerting();
    const runs: FailingRun[] = [];
    try {
      const targets = ports.map((port) => `127.0.0.1:${port}`);
      await alerting.start(folder, targets, tokenFile, SCRAPE_INTERVAL_S);
      const remaining = ports.entries();
      const failInTurn = async () => {
        for (const [index, port] of remaining) {
          const place = path.join(folder, `run-${index}`);
          mkdirSync(place);
          const run = new FailingRun(CAUSES[index % CAUSES.length]!, place, RECIPE, { port, tokenFile });
          runs.push(run);
          await fail(run, index);
        }
      };
      await Promise.all(Array.from({ length: NUM_PARALLEL }, failInTurn));
      const alerted = (run: FailingRun) =>
        alerting.received.find(({ name, run: id }) => id === run.runId && ALERTS.includes(name));
      const deadline = performance.now() + ALERT_TIMEOUT_MS;
      while (runs.some((run) => alerted(run) === undefined) && performance.now() < deadline)
        await sleep(POLL_MS);
      for (const run of runs) assertEqual(`exit code of ${run.runId}`, await run.end(), run.cause.exitCode);
      const delaysS = runs.flatMap((run) => {
        const at = alerted(run)?.atMs;
        return at === undefined || run.harmedMs === 0 ? [] : (at - run.harmedMs) / 1000;
      });
      const missed = runs.filter((run) => alerted(run) === undefined).map(({ cause }) => cause.name);
      const losses = runs.map((run) => ({ cause: run.cause.name, ...run.lost() }));
      const total = (of: 'numLost' | 'numLines') => losses.reduce((sum, each) => sum + each[of], 0);
      const losers = losses.filter(({ numLost }) => numLost > 0);
      return {
        failuresAlerted: {
          value: runs.length - missed.length,
          note: `scraped every ${SCRAPE_INTERVAL_S} s; ${Math.min(...delaysS).toFixed(0)} to ${Math.max(...delaysS).toFixed(0)} s after the fault${missed.length === 0 ? '' : `; missed: ${missed.join(', ')}`}`,
        },
        tailLinesLost: {
          value: total('numLost'),
          note: `of ${total('numLines')}${losers.map(({ cause, numLost }) => `; ${cause}: ${numLost}`).join('')}`,
        },
      };
    } finally {
      await Promise.all(runs.map((run) => run.end()));
      alerting.close();
    }
  });

/** Harms a run after Prometheus has seen it, at a moment between two scrapes that differs from run to run. */
async function fail(run: FailingRun, index: number): Promise<void> {
  if (run.cause.harm !== undefined) {
    await run.until('running');
    await sleep(SEEN_MS + (1_000 * SCRAPE_INTERVAL_S * index) / NUM_RUNS);
    run.cause.harm(run);
  }
  if (run.cause.exitCode === null) await run.exited;
  else await run.until('failed');
}
