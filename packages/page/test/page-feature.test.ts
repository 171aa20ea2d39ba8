import { execFileSync } from 'node:child_process';
import { appendFileSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { Journal, type JournalEntry } from '@locmoe/run-format';
import { describe, expect, it } from 'vitest';
import { savedRun } from '../../../test/coordinator/saved-run.js';
import { skipLoudly } from '../../../test/debian-tool.js';
import type {
  ApiError,
  CheckpointCheck,
  CheckpointsReply,
  ExpertsReply,
  FlightReply,
  MetricsReply,
  RanksReply,
  RunDetail,
  RunList,
  SpeedsReply,
  StepReply,
} from '../src/api-types.js';
import { pageFeature } from '../src/page-feature.js';
import {
  addMetrics,
  heartbeat,
  PARTS_MS,
  STARTED_AT,
  stepRecord,
  temporaryRuns,
  writeRun,
} from './run-fixture.js';

/** Requests to the page of a runs folder. */
function pageOver(runsDir: string) {
  const { routes } = pageFeature(runsDir);
  const ask = (url: string) => routes.request(`http://localhost${url}`);
  const json = async <T>(url: string): Promise<T> => (await (await ask(url)).json()) as T;
  return { ask, json };
}

/** A run in a folder of its own, and requests about it. */
function newRun(runId = 'run', record: object = {}) {
  const runs = temporaryRuns();
  return { runs, folder: writeRun(runs, runId, record), ...pageOver(runs) };
}

/** Steps from `first` to `last`. */
const steps = (first: number, last: number, of: (step: number) => object = (step) => stepRecord(step)) =>
  Array.from({ length: last - first + 1 }, (_, index) => of(first + index));

describe('runs', () => {
  it('lists them newest first, with step and loss from the end of the metrics', async () => {
    const runs = temporaryRuns();
    const old = writeRun(runs, 'old', { startedAt: '2025-01-01T00:00:00Z' });
    addMetrics(old, stepRecord(1), stepRecord(2, { loss: 4.5 }), heartbeat(1, 2, 2));
    appendFileSync(path.join(old, 'metrics.ndjson'), '{"type":"step","step":3,"lo');
    writeRun(runs, 'killed', { state: 'running' });
    const { json } = pageOver(runs);
    const list = await json<RunList>('/api/runs');
    expect(list.runs).toMatchObject([
      { runId: 'killed', state: 'dead', isLive: false, step: 0, loss: null },
      { runId: 'old', state: 'finished', step: 2, steps: 101, loss: 4.5 },
    ]);
  });

  it('lists a generation that has done no step yet where it starts, whatever an earlier one had done', async () => {
    const { folder, json } = newRun('again', { state: 'starting', machine: 'another', generation: 2 });
    const journal = new Journal(path.join(folder, 'journal.ndjson'));
    const begin = (generation: number, step: number, time: number) => {
      const from = { kind: 'snapshot', step } as const;
      const entry: JournalEntry = { type: 'generation', generation, time, nodes: 1, workersPerNode: 1, from };
      journal.append(entry);
    };
    begin(1, 0, STARTED_AT);
    addMetrics(folder, stepRecord(466, { time: STARTED_AT + 1_000 }));
    begin(2, 400, STARTED_AT + 2_000);
    journal.close();
    const listed = async () => (await json<RunList>('/api/runs')).runs;
    expect(await listed()).toMatchObject([{ step: 400, loss: null }]);
    addMetrics(folder, stepRecord(401, { time: STARTED_AT + 3_000, loss: 2 }));
    expect(await listed()).toMatchObject([{ step: 401, loss: 2 }]);
  });

  it('names the run that the server leads or was started to show, however many are newer', async () => {
    const runs = temporaryRuns();
    writeRun(runs, 'older', { startedAt: '2025-01-01T00:00:00Z' });
    writeRun(runs, 'newer', { startedAt: '2025-02-01T00:00:00Z' });
    const ownOf = async (page: ReturnType<typeof pageFeature>) =>
      ((await (await page.routes.request('http://localhost/api/runs')).json()) as RunList).own;
    expect(await ownOf(pageFeature(runs))).toBeNull();
    expect(await ownOf(pageFeature(runs, 'older'))).toBe('older');
    const leading = pageFeature(runs);
    leading.follow('older', {
      disk: { notRecordingSince: null },
      totals: { lastStep: 0, lastLoss: 0 },
    });
    expect(await ownOf(leading)).toBe('older');
  });

  it('lists a run whose files are pipes beside the others, and says in one line what it cannot read', async () => {
    const runs = temporaryRuns();
    addMetrics(writeRun(runs, 'sound'), stepRecord(1));
    const folder = writeRun(runs, 'piped');
    execFileSync(
      'mkfifo',
      ['metrics.ndjson', 'journal.ndjson'].map((name) => path.join(folder, name)),
    );
    const { ask, json } = pageOver(runs);
    const list = await json<RunList>('/api/runs');
    expect(list.runs.map(({ runId, step }) => [runId, step]).sort()).toEqual([
      ['piped', 0],
      ['sound', 1],
    ]);
    for (const [tail, file] of [
      ['', 'journal.ndjson'],
      ['/metrics', 'metrics.ndjson'],
    ]) {
      const response = await ask(`/api/runs/piped${tail}`);
      expect(response.status).toBe(500);
      expect(await response.json()).toEqual({
        error: `${path.join(folder, file)}: is no regular file but a pipe`,
      });
    }
  });

  it('tells from memory what the files of its own run lack while the disk is full', async () => {
    const runs = temporaryRuns();
    addMetrics(writeRun(runs, 'led'), stepRecord(3));
    writeRun(runs, 'other');
    const page = pageFeature(runs);
    const live = {
      disk: { notRecordingSince: null as number | null },
      totals: { lastStep: 240, lastLoss: 2.5 },
    };
    page.follow('led', live);
    const detail = async (runId: string) =>
      (await page.routes.request(`http://localhost/api/runs/${runId}`)).json();
    expect(await detail('led')).toMatchObject({ step: 3, loss: 5, notRecordingSince: null });
    live.disk.notRecordingSince = STARTED_AT;
    expect(await detail('led')).toMatchObject({ step: 240, loss: 2.5, notRecordingSince: STARTED_AT });
    expect(await detail('other')).toMatchObject({ step: 0, notRecordingSince: null });
    const { runs: listed } = (await (
      await page.routes.request('http://localhost/api/runs')
    ).json()) as RunList;
    const told = listed.map(({ runId, step, notRecordingSince }) => [runId, step, notRecordingSince]);
    expect(told.sort()).toEqual([
      ['led', 240, STARTED_AT],
      ['other', 0, null],
    ]);
  });

  it('tells of one run what its folder holds, and copes with what is not there', async () => {
    const { folder, json } = newRun('failed', { state: 'failed' });
    expect(await json<RunDetail>('/api/runs/failed')).toMatchObject({
      state: 'failed',
      failure: null,
      summary: null,
    });
    writeFileSync(path.join(folder, 'failure.json'), JSON.stringify({ code: 'WORKER_DIED', rank: 3 }));
    expect((await json<RunDetail>('/api/runs/failed')).failure).toMatchObject({
      code: 'WORKER_DIED',
      rank: 3,
      step: null,
      ranks: [],
    });
    // A copy has file times that are newer than the records.
    addMetrics(folder, stepRecord(1, { time: STARTED_AT + 5_000 }));
    expect((await json<RunDetail>('/api/runs/failed')).endedAt).toBe(STARTED_AT + 15_000);
  });

  it('tells the generations of a run, what restarts cost, and that one which restarts has not failed', async () => {
    const { folder, runs } = newRun('restarted', {
      state: 'restarting',
      machine: 'another',
      generation: 2,
    });
    writeFileSync(
      path.join(folder, 'config.json'),
      JSON.stringify({ cluster: { maxRestarts: 3, restartWindow: 3600 } }),
    );
    writeFileSync(path.join(folder, 'failure.json'), JSON.stringify({ code: 'WORKER_DIED', generation: 1 }));
    const journal = new Journal(path.join(folder, 'journal.ndjson'));
    const begins = (generation: number, step: number) =>
      journal.append({
        type: 'generation',
        generation,
        nodes: 2,
        workersPerNode: 1,
        from: { kind: step === 0 ? 'nothing' : 'checkpoint', step },
      });
    begins(1, 0);
    journal.append({ type: 'running', generation: 1 });
    const where = { rank: 1, node: 1, step: 48 };
    journal.append({ type: 'failure', generation: 1, code: 'WORKER_DIED', message: 'killed', ...where });
    begins(2, 40);
    journal.append({ type: 'running', generation: 2 });
    const account = { detectedS: 0.5, restartedS: 4, lostSteps: 7, lostS: 2.5 };
    journal.append({ type: 'recovered', generation: 2, ...account });
    journal.close();
    expect(await pageOver(runs).json<RunDetail>('/api/runs/restarted')).toMatchObject({
      state: 'restarting',
      isLive: true,
      failure: null,
      restarts: 1,
      restartsLeft: 2,
      lostSteps: 7,
      lostSeconds: 7,
      generations: [
        { generation: 1, lastStep: 47, end: 'restarted', failure: { message: 'killed' } },
        { generation: 2, end: 'open', recovery: account },
      ],
    });
    // A failure before the restart window no longer counts.
    const cluster = { maxRestarts: 3, restartWindow: 0 };
    writeFileSync(path.join(folder, 'config.json'), JSON.stringify({ cluster }));
    expect(await pageOver(runs).json<RunDetail>('/api/runs/restarted')).toMatchObject({ restartsLeft: 3 });
  });

  it.each(['..', '%2e%2e', '..%2f..%2fetc', 'run%2f..', '.', 'nothing', '%00'])(
    'knows no run %s',
    async (id) => {
      const runs = temporaryRuns();
      writeRun(path.join(runs, 'inside'), 'run');
      writeRun(runs, 'outside');
      const { ask } = pageOver(path.join(runs, 'inside'));
      for (const tail of ['', '/metrics', '/experts', '/ranks', '/speeds', '/checkpoints', '/flight'])
        expect((await ask(`/api/runs/${id}${tail}`)).status).toBe(404);
    },
  );
});

describe('metrics', () => {
  it('keeps a spike of a long run, and brings its rows whole', async () => {
    const { folder, json } = newRun('long');
    addMetrics(folder, ...steps(1, 5_000, (step) => stepRecord(step, { loss: step === 3_211 ? 99 : 5 })));
    const reply = await json<MetricsReply>('/api/runs/long/metrics?points=200');
    const { step, loss } = reply.groups.loss;
    expect(step.length).toBeLessThanOrEqual(202);
    expect(step[loss.indexOf(99)]).toBe(3_211);
    expect(reply).toMatchObject({ numRows: 5_000, firstStep: 1, lastStep: 5_000, layers: [2, 3] });
    const zoomed = await json<MetricsReply>('/api/runs/long/metrics?points=200&from=3200&to=3220');
    expect(zoomed.groups.loss.step).toEqual(Array.from({ length: 21 }, (_, index) => 3_200 + index));
  });

  it('averages what is stacked, and keeps the longest step of each bucket', async () => {
    const { folder, json } = newRun('long');
    const recordOf = (step: number) => ({
      ...stepRecord(step),
      stepMs: step === 1_235 ? 9_000 : 500,
      partsMs: { ...PARTS_MS, forward: step % 2 === 1 ? 100 : 300 },
    });
    addMetrics(folder, ...steps(1, 4_000, recordOf));
    const { groups } = await json<MetricsReply>('/api/runs/long/metrics?points=600');
    const { step, forward, longestMs, longestStep } = groups.parts;
    expect(step.length).toBe(200);
    expect(new Set(forward)).toEqual(new Set([200]));
    expect(longestMs[Math.floor(1_234 / 20)]).toBe(9_000);
    expect(longestStep[Math.floor(1_234 / 20)]).toBe(1_235);
    expect(longestMs.filter((ms) => ms === 500).length).toBe(199);
    expect(new Set(groups.places.otherNode)).toEqual(new Set([0.25]));
  });

  it('brings the memory of each rank in order, and of many ranks the least, the median and the most', async () => {
    const runs = temporaryRuns();
    const memoryOf = async (numRanks: number) => {
      const folder = writeRun(runs, `run-${numRanks}`);
      addMetrics(folder, heartbeat(STARTED_AT, ...new Array<number>(numRanks).fill(1)));
      return (await pageOver(runs).json<MetricsReply>(`/api/runs/run-${numRanks}/metrics`)).groups.memory;
    };
    expect(Object.keys(await memoryOf(12)).slice(1)).toEqual(
      Array.from({ length: 12 }, (_, rank) => `rank.${rank}`),
    );
    expect(await memoryOf(17)).toEqual({
      time: [STARTED_AT],
      least: [1e8],
      median: [1e8 + 8],
      most: [1e8 + 16],
      mostRank: [16],
    });
    // A process that has ended holds no memory.
    const folder = writeRun(runs, 'ended');
    addMetrics(folder, heartbeat(STARTED_AT, 1, { step: 1, residentBytes: 0 }));
    const { groups } = await pageOver(runs).json<MetricsReply>('/api/runs/ended/metrics');
    expect(groups.memory).toEqual({ time: [STARTED_AT], 'rank.0': [1e8] });
  });

  it('brings validations once', async () => {
    const { folder, json } = newRun();
    const validation = (step: number) => ({
      type: 'validation',
      step,
      domains: [{ domain: 'en', loss: 4, tokens: 1 }],
    });
    addMetrics(folder, stepRecord(1), validation(1));
    const { cursor, validations } = await json<MetricsReply>('/api/runs/run/metrics');
    expect(validations.length).toBe(1);
    addMetrics(folder, validation(2));
    const more = await json<MetricsReply>(`/api/runs/run/metrics?after=${cursor}`);
    expect(more.validations.map(({ step }) => step)).toEqual([2]);
  });

  it('brings only what is new after a cursor, without reading the file again', async () => {
    const { folder, json } = newRun('growing');
    addMetrics(folder, stepRecord(1), stepRecord(2), heartbeat(STARTED_AT, 2));
    const first = await json<MetricsReply>('/api/runs/growing/metrics');
    expect(first.replaces).toBe(true);
    // A line written in two parts.
    const line = `${JSON.stringify(stepRecord(3))}\n`;
    appendFileSync(path.join(folder, 'metrics.ndjson'), line.slice(0, 50));
    const none = await json<MetricsReply>(`/api/runs/growing/metrics?after=${first.cursor}`);
    expect(none).toMatchObject({ replaces: false, cursor: first.cursor });
    expect(none.groups.loss.step).toEqual([]);
    appendFileSync(path.join(folder, 'metrics.ndjson'), line.slice(50));
    addMetrics(folder, heartbeat(STARTED_AT + 2_000, 3));
    const next = await json<MetricsReply>(`/api/runs/growing/metrics?after=${first.cursor}`);
    expect(next.groups.loss.step).toEqual([3]);
    expect(next.groups.memory).toEqual({ time: [STARTED_AT + 2_000], 'rank.0': [1e8] });
  });

  it('begins anew when a resumed run has rewritten the file', async () => {
    const { folder, json } = newRun('resumed');
    addMetrics(folder, stepRecord(1), stepRecord(2), stepRecord(3));
    const { cursor } = await json<MetricsReply>('/api/runs/resumed/metrics');
    writeFileSync(path.join(folder, 'metrics.ndjson'), '');
    addMetrics(folder, stepRecord(1), { type: 'generation', time: 5, generation: 2, resumedFrom: 1 });
    const reply = await json<MetricsReply>(`/api/runs/resumed/metrics?after=${cursor}`);
    expect(reply).toMatchObject({
      replaces: true,
      numRows: 1,
      generations: [{ generation: 2, resumedFrom: 1 }],
    });
    expect(reply.groups.loss.step).toEqual([1]);
  });

  it('has shares of routing by layer, parts of a step, validations, and times even where none were recorded', async () => {
    const { folder, json } = newRun();
    const domains = [
      { domain: 'en', loss: 4, tokens: 10 },
      { domain: 'zh', loss: 3, tokens: 10 },
    ];
    const validation = { type: 'validation', step: 5, domains };
    addMetrics(folder, stepRecord(4), stepRecord(5, { time: STARTED_AT + 9_000 }), validation);
    const { groups, validations } = await json<MetricsReply>('/api/runs/run/metrics?layer=2');
    expect(groups.routing.otherNode).toEqual([0.25, 0.25]);
    expect(groups.routing.dropped).toEqual([0.3, 0.275]);
    expect(groups.routing.overCapacity).toEqual([0.1, 0.1]);
    expect(groups.speed.tokensPerS).toEqual([2_000, 2_000]);
    expect(groups.parts.backward).toEqual([200, 200]);
    expect(groups.loss.time).toEqual([STARTED_AT + 500, STARTED_AT + 9_000]);
    expect(validations).toEqual([{ step: 5, loss: 3.5, domains }]);
    const { numbers } = await json<StepReply>('/api/runs/run/steps/5');
    expect(numbers.filter(({ title }) => title !== undefined)).toEqual([
      {
        name: 'overCapacity',
        title: '– over capacity',
        isShare: true,
        value: 0.1,
        median: 0.1,
        standsOut: false,
      },
      {
        name: 'notChosen',
        title: '– not chosen',
        isShare: true,
        value: 0.05,
        median: 0.05,
        standsOut: false,
      },
      {
        name: 'otherNode',
        title: 'tokens to other nodes',
        isShare: true,
        value: 0.25,
        median: 0.25,
        standsOut: false,
      },
    ]);
  });

  it('has the speed over the last 50 steps of the last generation, by wall clock, as the trainer tells it', async () => {
    const { folder, json } = newRun();
    const speedNow = async () => (await json<MetricsReply>('/api/runs/run/metrics')).speed;
    const timed = (first: number, last: number, atMs: number, everyMs: number) =>
      steps(first, last, (step) => stepRecord(step, { time: STARTED_AT + atMs + (step - first) * everyMs }));
    addMetrics(folder, ...timed(1, 1, 0, 0));
    expect(await speedNow()).toBeNull();
    addMetrics(folder, ...timed(2, 60, 90_000, 2_000));
    expect(await speedNow()).toEqual({ tokensPerS: 500, secondsPerStep: 2 });
    const restart = { type: 'generation', time: STARTED_AT + 300_000, generation: 2, resumedFrom: 60 };
    addMetrics(folder, restart, ...timed(61, 63, 310_000, 500));
    expect(await speedNow()).toEqual({ tokensPerS: 2_000, secondsPerStep: 0.5 });
  });

  it('is empty for a run without metrics, ignores damaged lines, and names one that is wrong', async () => {
    const { folder, json } = newRun();
    expect((await json<MetricsReply>('/api/runs/run/metrics')).numRows).toBe(0);
    const metrics = path.join(folder, 'metrics.ndjson');
    writeFileSync(metrics, 'no json\n{"type":"lunch"}\n{"type":"st');
    appendFileSync(metrics, '\n');
    addMetrics(folder, stepRecord(1));
    expect((await json<MetricsReply>('/api/runs/run/metrics')).numRows).toBe(1);
    expect(await json<ExpertsReply>('/api/runs/run/experts')).toMatchObject({ firstStep: 1, lastStep: 1 });
    addMetrics(folder, stepRecord(2), { ...stepRecord(3), layers: [{ layer: 2 }] });
    const { error } = await json<ApiError>('/api/runs/run/metrics');
    expect(error).toMatch(
      /run\/metrics\.ndjson, line 6: a record of type step with an invalid layers\.0\.routed /,
    );
    // Once the line is gone, what was read before it is there once.
    writeFileSync(
      metrics,
      readFileSync(metrics, 'utf8').replace(/.*\n$/, `${JSON.stringify(stepRecord(3))}\n`),
    );
    expect((await json<MetricsReply>('/api/runs/run/metrics')).groups.loss.step).toEqual([1, 2, 3]);
  });
});

describe('experts and ranks', () => {
  it('sums the load of each expert over buckets of steps', async () => {
    const { folder, json } = newRun();
    addMetrics(folder, ...steps(1, 1_000));
    const { kept, ...reply } = await json<ExpertsReply>('/api/runs/run/experts');
    expect(reply).toMatchObject({ layers: [2, 3], openLayers: [2, 3], numExperts: 4, firstBucket: 0 });
    expect(reply).toMatchObject({ firstStep: 1, lastStep: 1_000, stepsPerBucket: 4 });
    expect(kept[1].length).toBe(250);
    expect(kept[1][0]).toEqual([40, 32, 24, 1 + 2 + 3 + 4]);
    expect(kept[0].flatMap((bucket) => bucket[3]).reduce((a, b) => a + b, 0)).toBe(500 * 1_001);
  });

  it('has the mean bytes of a step by link in each bucket, of the last layout', async () => {
    const { folder, json } = newRun();
    const withLinks = (step: number, between: string, bytes: number[][]) => ({
      ...stepRecord(step),
      links: { numNodes: 1, between, bytes },
    });
    const linksOf = async () => (await json<ExpertsReply>('/api/runs/run/experts')).links;
    addMetrics(folder, stepRecord(1));
    expect(await linksOf()).toBeNull();
    const bytesOf = (sent: number) => [0, 7].map((first) => [first, first === 0 ? sent : 0]);
    addMetrics(folder, withLinks(2, 'ranks', [[0]]));
    addMetrics(folder, ...steps(3, 302, (step) => withLinks(step, 'ranks', bytesOf(step))));
    const links = await linksOf();
    expect(links).toMatchObject({ numNodes: 1, between: 'ranks' });
    // A bucket has two steps; steps 1 and 2 have no record of this layout.
    expect(links!.bytes[0]).toBeNull();
    expect(links!.bytes.slice(1, 3)).toEqual([bytesOf(4), bytesOf(6)]);
  });

  it('brings the buckets of experts that have changed, and the experts of the layers that are wanted', async () => {
    const { folder, json } = newRun();
    const experts = (query: string) => json<ExpertsReply>(`/api/runs/run/experts?${query}`);
    addMetrics(folder, stepRecord(1), stepRecord(2));
    const { cursor, most } = await experts('layers=3');
    expect(most).toEqual([
      [1.6, 1.54],
      [1.6, 1.54],
    ]);
    addMetrics(folder, stepRecord(3));
    const more = await experts(`layers=3&after=${cursor}`);
    // The last known bucket may have grown, so it comes again.
    expect(more).toMatchObject({
      firstBucket: 1,
      openLayers: [3],
      kept: [
        [
          [10, 8, 6, 2],
          [10, 8, 6, 3],
        ],
      ],
    });
    expect(more.most[0].length).toBe(2);
    expect(await experts('layers=none')).toMatchObject({ firstBucket: 0, openLayers: [], kept: [] });
    addMetrics(folder, ...steps(4, 303));
    // Buckets are wider now: all come again.
    expect(await experts(`after=${more.cursor}`)).toMatchObject({ firstBucket: 0, stepsPerBucket: 2 });
  });

  it('brings of the ranks what is new after a cursor', async () => {
    const { folder, json } = newRun();
    const ranks = (query = '') => json<RanksReply>(`/api/runs/run/ranks${query}`);
    const stopped = { step: 1, processState: 'T' };
    addMetrics(folder, heartbeat(STARTED_AT, 0, 0), heartbeat(STARTED_AT + 2_000, 1, 1));
    const first = await ranks();
    expect(first.replaces).toBe(true);
    addMetrics(folder, heartbeat(STARTED_AT + 4_000, 2, stopped));
    const more = await ranks(`?after=${first.cursor}`);
    expect(more.replaces).toBe(false);
    expect(more.ranks.map(({ spans }) => spans.map(({ from, activity }) => [from, activity]))).toEqual([
      [[STARTED_AT, 'training']],
      [[STARTED_AT + 2_000, 'stopped']],
    ]);
    expect((await ranks(`?after=${more.cursor}`)).ranks.map(({ spans }) => spans)).toEqual([[], []]);
  });

  it('begins each generation anew, at its own time', async () => {
    const { folder, json } = newRun();
    const at = (ms: number) => STARTED_AT + ms;
    addMetrics(
      folder,
      heartbeat(at(0), 1),
      heartbeat(at(2_000), 2),
      { type: 'generation', time: at(3_500), generation: 2, resumedFrom: 1 },
      heartbeat(at(5_000), 0),
      heartbeat(at(7_000), 3),
      { type: 'generation', time: at(7_500), generation: 3, resumedFrom: 1 },
      heartbeat(at(9_000), 4),
    );
    const { ranks } = await json<RanksReply>('/api/runs/run/ranks');
    expect(
      ranks[0].spans.map(({ from, to, activity }) => [activity, from - STARTED_AT, to - STARTED_AT]),
    ).toEqual([
      ['training', 0, 2_000],
      ['starting', 3_500, 5_000],
      ['training', 5_000, 7_000],
      ['training', 7_500, 9_000],
    ]);
  });

  it('tells who made no progress since when', async () => {
    const { folder, json } = newRun();
    const beats = [0, 1, 2, 3].map((index) =>
      heartbeat(
        STARTED_AT + 2_000 * index,
        Math.min(index, 2),
        index < 2 ? index : { step: 1, processState: 'T' },
      ),
    );
    addMetrics(folder, ...beats);
    const { ranks } = await json<RanksReply>('/api/runs/run/ranks');
    expect(ranks.map(({ lastProgress }) => lastProgress)).toEqual([STARTED_AT + 4_000, STARTED_AT + 2_000]);
    expect(ranks.map(({ spans }) => spans.map(({ activity }) => activity))).toEqual([
      ['starting', 'training', 'waiting'],
      ['starting', 'training', 'stopped'],
    ]);
    expect(ranks[1].spans.at(-1)).toMatchObject({ from: STARTED_AT + 2_000, to: STARTED_AT + 6_000 });
  });
});

describe('what a run is', () => {
  it('is listed with its recipe and layout, and read again once its files have changed', async () => {
    const { folder, json, runs } = newRun('run', { state: 'running', machine: 'another/1' });
    const cluster = { nodes: 2, workersPerNode: 4 };
    writeFileSync(
      path.join(folder, 'config.json'),
      JSON.stringify({ name: 'tiny', moe: { router: 'hash' }, cluster }),
    );
    const listed = async () => (await json<RunList>('/api/runs')).runs[0];
    expect(await listed()).toMatchObject({ recipe: 'tiny', router: 'hash', layout: '2 x 4', endedAt: null });
    addMetrics(folder, stepRecord(7));
    expect(await listed()).toMatchObject({ step: 7 });
    writeRun(runs, 'run', { state: 'finished' });
    expect((await listed()).endedAt).not.toBeNull();
  });

  it('begins with its first generation, also where an earlier version overwrote that', async () => {
    const { folder, json } = newRun('run', { startedAt: '2999-01-01T00:00:00Z' });
    const journal = new Journal(path.join(folder, 'journal.ndjson'));
    journal.append({ type: 'lead', term: 1, pid: 1, host: 'a' });
    journal.close();
    const { startedAt } = await json<RunDetail>('/api/runs/run');
    expect(Math.abs(Date.now() - Date.parse(startedAt))).toBeLessThan(60_000);
  });

  it('comes with commands: the resume that its record or failure names, and none without a checkpoint', async () => {
    const { folder, json } = newRun('run', { state: 'running', resumeCommand: 'locmoe serve --resume run' });
    const commands = async () => (await json<RunDetail>('/api/runs/run')).commands;
    expect((await commands()).resume).toBeNull();
    expect((await commands()).inspect).toMatch(/^\S+\/cli\.ts inspect --run \S+\/run$/);
    mkdirSync(path.join(folder, 'checkpoints/step-000010'), { recursive: true });
    expect((await commands()).resume).toMatch(/^\S+\/cli\.ts serve --resume run$/);
    writeFileSync(
      path.join(folder, 'failure.json'),
      JSON.stringify({ resumeCommand: 'locmoe train --resume x' }),
    );
    expect((await commands()).resume).toMatch(/^\S+\/cli\.ts train --resume x$/);
  });

  it('has checkpoints, of which it says what is wrong; one is read whole when that is asked', async () => {
    const saved = savedRun([10, 20]);
    const runsDir = path.dirname(saved.directory);
    const { json, ask } = pageOver(runsDir);
    const url = `/api/runs/${saved.runId}/checkpoints`;
    const steps = async () => (await json<CheckpointsReply>(url)).checkpoints;
    expect((await steps()).map(({ step, problem }) => [step, problem])).toEqual([
      [20, null],
      [10, null],
    ]);
    expect((await steps())[0].bytes).toBeGreaterThan(1_000);
    const file = (name: string) => path.join(saved.checkpoints, 'step-000020', name);
    const [tensors] = readdirSync(file('')).filter((name) => name.endsWith('.safetensors'));
    expect(await json<CheckpointCheck>(`${url}/step-000020`)).toEqual({ problem: null });
    // The size of the file does not change.
    const bytes = readFileSync(file(tensors));
    bytes[bytes.length - 1] ^= 1;
    writeFileSync(file(tensors), bytes);
    expect((await steps())[0].problem).toBeNull();
    expect((await json<CheckpointCheck>(`${url}/step-000020`)).problem).toContain(tensors);
    writeFileSync(file(tensors), 'short');
    expect((await steps())[0].problem).toContain('expected');
    for (const name of ['step-000030', '..', '%2e%2e%2frun.json'])
      expect((await ask(`${url}/${name}`)).status).toBe(404);
  });

  it('has a flight record if its files can be read, and tells which ranks are slow', async () => {
    const { folder, json } = newRun();
    const flight = () => json<FlightReply>('/api/runs/run/flight');
    expect(await flight()).toMatchObject({ problem: null, generation: null, ranks: [] });
    mkdirSync(path.join(folder, 'flight'));
    writeFileSync(path.join(folder, 'flight/generation-1-node-0.json'), '{"format":');
    expect((await flight()).problem).toContain('cut short or damaged');
    const speed = { ownMs: 12.5, lostShare: 0.3 };
    const [first, second] = heartbeat(5, 1, 1).ranks;
    addMetrics(folder, { type: 'heartbeat', time: 5, ranks: [{ ...first, ...speed }, second] });
    expect((await json<SpeedsReply>('/api/runs/run/speeds')).speeds).toEqual([{ rank: 0, ...speed }]);
  });

  it('is watched while a page asks for it', async () => {
    const runs = temporaryRuns();
    writeRun(runs, 'run');
    const page = pageFeature(runs);
    expect(page.isWatched()).toBe(false);
    await page.routes.request('http://localhost/api/runs/run');
    expect(page.isWatched()).toBe(true);
  });
});

describe('files', () => {
  it('serves the page under a policy without inline scripts', async ({ skip }) => {
    const { ask } = pageOver(temporaryRuns());
    const page = await ask('/');
    if (page.status === 404) skipLoudly(skip, 'the page is not built: npm run build');
    expect(page.headers.get('content-security-policy')).toContain("script-src 'self'");
    const html = await page.text();
    expect(html).not.toMatch(/<script(?![^>]*src=)|<style|style=|\son\w+=/);
    const used = [...html.matchAll(/(?:src|href)="(\/page\/[^"]+)"/g)].map(([, url]) => url);
    expect(used.length).toBeGreaterThan(2);
    for (const url of used) expect((await ask(url)).status, url).toBe(200);
    expect((await ask('/page/vendor/uplot.js')).headers.get('content-type')).toContain('text/javascript');
  });

  it.each([
    '../page-feature.js',
    '%2e%2e/page-feature.js',
    '..%2fpage-feature.js',
    'main.js%00',
    'main.ts',
    '',
  ])('has no file %s', async (name) => {
    expect((await pageOver(temporaryRuns()).ask(`/page/${name}`)).status).toBe(404);
  });
});
