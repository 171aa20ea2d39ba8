import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { debianTool, skipLoudly } from '../debian-tool.js';
import { dashboardQueries } from '../deploy/dashboards.js';
import { readEvents } from '../metrics/tensorboard/event-decoder.js';
import { Prometheus } from './prometheus.js';
import { Locmoe, newestRun, temporaryFolder, trainArguments } from './support.js';

/** These settings produce every series: capacities, gates, drops, validations, checkpoints. */
const SETS = [
  'train.steps=100000',
  'train.validateEvery=10',
  'train.checkpointEvery=10',
  'moe.router=locmoe-plus',
  'moe.capacityFactor=1.1',
  'cluster.collectiveTimeoutS=16',
];
/** Steps are slow, because most of the time is spent waiting for scrapes. */
const SLOW = { LOCMOE_FAIL: 'step.begun:*:sleep=400' };
/** The window of `rate` that the test inserts into the dashboards' queries. */
const RATE_WINDOW_S = 10;
/** Panels that are empty when all is well. */
const EMPTY = [
  'ALERTS{alertname=~"Locmoe.+", alertstate="firing"}',
  'locmoe_recovery_seconds_sum{run=~".+"} / (locmoe_recovery_seconds_count{run=~".+"} > 0)',
  'histogram_quantile(0.95, sum by (le) (rate(locmoe_log_query_seconds_bucket{run=~".+"}[20s]))) > 0',
];

async function metricsOf(run: Locmoe): Promise<string> {
  const { address, headers } = await run.http();
  return (await fetch(`http://${address}/metrics`, { headers })).text();
}

function recordsOf(folder: string): Record<string, unknown>[] {
  return readFileSync(path.join(newestRun(folder), 'metrics.ndjson'), 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
}

/** Events of the run's TensorBoard files, one file for each generation, in order of creation. */
function tensorboardFiles(folder: string) {
  const runFolder = path.join(folder, 'tensorboard', path.basename(newestRun(folder)));
  const files = readdirSync(runFolder).map((name) => readEvents(path.join(runFolder, name)));
  return files.sort((a, b) => a[0].wallTime - b[0].wallTime);
}

describe('a training that Prometheus scrapes', () => {
  it('answers what every dashboard asks, and tells a rank that stopped from the others', async ({ skip }) => {
    const binary = debianTool('prometheus', ['prometheus']);
    if (binary === null) return skipLoudly(skip, 'no prometheus, and no Debian package of it');
    const folder = temporaryFolder();
    // This is the procedure of docs/metrics.md, which has to work for the next run too.
    const tokenFile = path.join(folder, 'token');
    writeFileSync(tokenFile, 'a-token-of-sixteen-characters\n');
    const more = ['--tensorboard', path.join(folder, 'tensorboard'), '--token-file', tokenFile];
    const args = trainArguments({ folder, nodes: 2, workersPerNode: 1, sets: SETS, more });
    const run = new Locmoe(args, SLOW);
    const target = (await run.http()).address;
    const prometheus = await Prometheus.start(binary, path.join(folder, 'prometheus'), [
      { name: 'locmoe', target, tokenFile },
      { name: 'stranger', target },
    ]);
    await prometheus.until('locmoe_validation_loss and on (run) locmoe_checkpoint_timestamp_seconds');
    await prometheus.until(`count_over_time(locmoe_step[1m]) > ${RATE_WINDOW_S}`, 90_000);

    const queries = dashboardQueries('prometheus');
    expect(queries.length).toBeGreaterThan(30);
    for (const { where, expr } of queries) {
      const samples = await prometheus.query(expr);
      if (!EMPTY.includes(expr)) expect(samples.length, `${where}: ${expr}`).toBeGreaterThan(0);
      for (const { value } of samples) expect(value, `${where}: ${expr}`).not.toBeNaN();
    }
    expect(await prometheus.alerts()).toEqual([]);
    // Without the token nothing is scraped.
    expect(await prometheus.value('up{job="stranger"}')).toBe(0);

    // The scraped values equal the recorded ones.
    const [{ labels, value: step }] = await prometheus.query('locmoe_step');
    expect(labels.run).toBe(path.basename(newestRun(folder)));
    const recorded = recordsOf(folder).find((each) => each.type === 'step' && each.step === step)!;
    expect(recorded).toMatchObject({ tokens: 256, time: expect.closeTo(Date.now(), -5) });
    expect(await prometheus.value('locmoe_tokens_total / locmoe_steps_total')).toBe(256);
    const balance = `sum by (layer) (locmoe_routed_choices_total) - sum by (layer) (locmoe_expert_choices_total)
      - sum by (layer) (locmoe_dropped_choices_total)`;
    expect((await prometheus.query(balance)).map(({ value }) => value)).toEqual([0, 0]);
    expect(
      await prometheus.value('sum(locmoe_expert_choices_total) - sum(locmoe_dispatched_choices_total)'),
    ).toBe(0);
    const shares = await prometheus.query(
      `sum by (rank) (rate(locmoe_step_part_seconds_total[${RATE_WINDOW_S}s])) / on () group_left () rate(locmoe_step_duration_seconds_sum[${RATE_WINDOW_S}s])`,
    );
    // The parts of a rank's step add up to nearly the whole of it.
    for (const { value } of shares) expect(value).toBeGreaterThan(0.5);
    expect(shares).toHaveLength(2);

    process.kill(run.pidsOf('worker')[1], 'SIGSTOP');
    const silent = await prometheus.until('locmoe_rank_silence_seconds > 6');
    expect(silent).toHaveLength(1);
    expect(await prometheus.value('max(locmoe_rank_silence_seconds < 6)')).toBeLessThan(2);
    await run.until(/^the run is over/m);
    await prometheus.until('locmoe_run_state{state="failed"} == 1');
    await prometheus.until('ALERTS{alertname="LocmoeRunFailed", alertstate="firing"}');

    const resumed = new Locmoe([...args, '--resume', newestRun(folder), '--linger', '0']);
    const metrics = await metricsOf(resumed);
    expect(metrics).toMatch(/^process_resident_memory_bytes\b/m);
    await resumed.until(/step +\d+\/100000/);
    const later = await metricsOf(resumed);
    expect(later).toMatch(/^locmoe_failures_total\{code="WORKER_HUNG",run="\S+"\} 1$/m);
    expect(later).toMatch(/^locmoe_generation\{run="\S+"\} 2$/m);
    resumed.interrupt();
    expect((await resumed.finished).code).toBe(130);
    run.child.kill('SIGTERM');
    expect((await run.finished).code).toBe(3);
    await run.expectNothingLeft();

    const records = recordsOf(folder);
    const generations = records.filter(({ type }) => type === 'generation');
    const resumedFrom = generations[1].resumedFrom as number;
    expect(generations).toEqual([
      { type: 'generation', time: expect.any(Number), generation: 1, resumedFrom: null },
      { type: 'generation', time: expect.any(Number), generation: 2, resumedFrom: expect.any(Number) },
    ]);
    const beats = records.filter(({ type }) => type === 'heartbeat') as { time: number; ranks: object[] }[];
    expect(beats.length).toBeGreaterThan(RATE_WINDOW_S / 4);
    // The resumed run is too short to have a heartbeat from all ranks.
    const lastWhole = beats.findLast(({ time }) => time < (generations[1].time as number))!;
    const types = Object.entries(lastWhole.ranks[1]!).map(([name, value]) => `${name}: ${typeof value}`);
    expect(types.sort().join(', ')).toBe(
      'lostShare: number, node: number, operation: string, ownMs: number, phase: string, ' +
        'processState: string, rank: number, residentBytes: number, step: number',
    );
    for (const [i, { time }] of beats.slice(1).entries())
      expect(time - beats[i].time).toBeGreaterThanOrEqual(1_990);

    const [first, second] = tensorboardFiles(folder);
    expect([first[0].version, second[0].version]).toEqual(['brain.Event:2', 'brain.Event:2']);
    expect(second[1]).toMatchObject({ session: 1, step: resumedFrom + 1 });
    const kept = records.filter(({ type }) => type === 'step');
    for (const record of kept) {
      const events = (record.step as number) <= resumedFrom ? first : second;
      const event = events.find((each) => each.step === record.step && 'train/loss' in each.scalars)!;
      expect(event.scalars['train/loss']).toBe(Math.fround(record.loss as number));
      expect(Object.keys(event.scalars)).toEqual(
        expect.arrayContaining([
          'train/gradient_norm',
          'step_ms/waiting',
          'routing/dropped_share',
          'locality/other_node_share',
        ]),
      );
    }
    const validation = first.find(({ scalars }) => 'validation/loss' in scalars)!;
    const names = ['validation/loss', 'validation/loss_en', 'validation/loss_code'];
    expect(Object.keys(validation.scalars)).toEqual(names);
    await resumed.expectNothingLeft();
  });
});
