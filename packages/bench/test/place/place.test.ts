import { mkdirSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { RunFolder } from '@locmoe/run-format';
import {
  emptyRouteTable,
  type RouteRow,
  RoutesWriter,
  type RouteTable,
  routesFileName,
} from '@locmoe/run-format/routes-file';
import { nodeOf, topologyOf } from 'locmoe/internal/collectives/topology';
import { resolveConfig } from 'locmoe/internal/config/resolve';
import type { RunConfig } from 'locmoe/internal/config/schema';
import { domainMixture } from 'locmoe/internal/data/domain-mixture';
import { assignToRanks } from 'locmoe/internal/data/placement';
import { CounterRandom } from 'locmoe/internal/parameters/counter-random';
import { homeRanksOfDomain } from 'locmoe/internal/worker/home-ranks';
import { afterAll, describe, expect, it } from 'vitest';
import { runCommand } from '../../../../test/run-command.js';
import type { PlaceReport } from '../../src/place/place.js';
import { PROFILE } from '../plan/support.js';

const folder = mkdtempSync(path.join(tmpdir(), 'locmoe-place-'));
afterAll(() => rmSync(folder, { recursive: true }));
const calibration = path.join(folder, 'calibration.json');
writeFileSync(calibration, JSON.stringify(PROFILE));

const SEQ_LEN = 16;
const BATCH = 16;
const NUM_EXPERTS = 8;
const DOMAINS = ['en', 'code', 'zh', 'telecom'];

function configOf(sets: readonly string[] = []): RunConfig {
  return resolveConfig(
    `
name: placed
model: { dModel: 32, numHeads: 2, numDenseLayers: 1, numSparseLayers: 2, dFeedForward: 64, vocabSize: 512, seqLen: ${SEQ_LEN} }
moe: { numExperts: ${NUM_EXPERTS}, router: switch, capacityFactor: null }
data: { domains: [${DOMAINS.join(', ')}], placement: domain }
train: { steps: 10, globalBatch: ${BATCH}, learningRate: 0.01 }
cluster: { nodes: 2, workersPerNode: 2 }
`,
    'placed',
    { sets },
  );
}

/**
 * Expert chosen by a token: mostly one of the two of its domain, which lie on different nodes if experts are
 * consecutive.
 */
function expertOf(domain: number, layer: number, draw: number): number {
  const own = draw < 0.9 ? (draw < 0.45 ? domain : domain + 4) : Math.floor(80 * (draw - 0.9));
  return layer === 1 ? own : NUM_EXPERTS - 1 - own;
}

/** Makes a run with routes whose sequences are on the ranks to which its loader would assign them. */
function runWith(name: string, config: RunConfig, steps = 3): string {
  const run = new RunFolder(path.join(folder, name));
  mkdirSync(run.routes, { recursive: true });
  run.writeConfig(config);
  const { nodes, workersPerNode } = config.cluster;
  const worldSize = nodes * workersPerNode;
  const topology = topologyOf(0, nodes, workersPerNode);
  const homes = homeRanksOfDomain(config, topology);
  const mixture = domainMixture(DOMAINS.map(() => 1));
  const draw = new CounterRandom(1, 'routes');
  for (let step = 1; step <= steps; step++) {
    const domains = Array.from({ length: BATCH }, (_, i) => mixture.at((step - 1) * BATCH + i).domain);
    const ranks = homes
      ? assignToRanks(domains, homes, worldSize)
      : domains.map((_, i) => Math.floor((i * worldSize) / BATCH));
    const tables = Array.from({ length: worldSize }, emptyRouteTable);
    domains.forEach((domain, sequence) => {
      const rank = ranks[sequence];
      for (let position = 0; position < SEQ_LEN; position++)
        for (const layer of [1, 2]) {
          const place = SEQ_LEN * (BATCH * step + sequence) + position;
          const expert = expertOf(domain, layer, draw.uniform(2 * place + layer));
          const expertRank = Math.floor((expert * worldSize) / NUM_EXPERTS);
          const node = nodeOf(topology, rank);
          const expertNode = nodeOf(topology, expertRank);
          const link = rank === expertRank ? 'rank' : node === expertNode ? 'node' : 'network';
          const where = { step, rank, node, layer, sequence, position, domain: DOMAINS[domain] };
          const given = { document: 0, token: 1, choice: 0, bytes: 0, outcome: 'kept', weight: 1 } as const;
          const row: Partial<RouteRow> = { ...where, ...given, expert, expertRank, expertNode, link };
          const columns = tables[rank] as unknown as Record<string, unknown[]>;
          for (const column of Object.keys(columns)) columns[column].push(Reflect.get(row, column) ?? null);
        }
    });
    tables.forEach((table: RouteTable, rank) => {
      const writer = new RoutesWriter(path.join(run.routes, routesFileName(step, rank)), NUM_EXPERTS);
      writer.write(table);
      writer.close();
    });
  }
  return run.directory;
}

const place = (...args: readonly string[]) =>
  runCommand('routes', 'place', '--calibration', calibration, '--shared-machine', ...args);

async function reportOf(...args: readonly string[]): Promise<PlaceReport> {
  const { code, stdout, stderr } = await place('--json', ...args);
  expect(code, stderr).toBe(0);
  return JSON.parse(stdout);
}

describe('locmoe routes place', () => {
  const run = runWith('run', configOf());

  it('brings experts to the domains that use them, says what that saves, and writes what moe.placement reads', async () => {
    const output = path.join(folder, 'placement.json');
    const report = await reportOf(run, '--output', output);
    const { contiguous, random, placed, saved, recorded } = report;
    // The prediction for the layout of the recording is what was recorded.
    expect(contiguous.tiers.otherNode).toBeCloseTo(recorded.tiers.otherNode, 2);
    expect(recorded).toMatchObject({ numSteps: 3, numSequences: 3 * BATCH });
    expect(contiguous.tiers.otherNode).toBeGreaterThan(0.4);
    expect(random.tiers.otherNode).toBeGreaterThan(0.4);
    expect(placed.tiers.otherNode).toBeLessThan(0.08);
    expect(placed.mostLoad).toBeLessThan(1.1);
    expect(saved.bytesOtherNode).toBeCloseTo(contiguous.bytesOtherNode - placed.bytesOtherNode, 6);
    expect(saved.bytesOtherNode / contiguous.bytesOtherNode).toBeGreaterThan(0.6);
    expect(saved.stepMs).toBeGreaterThan(0);
    expect(report.savedOnOthers!.bytesOtherNode / saved.bytesOtherNode).toBeGreaterThan(0.9);
    expect(report.gap).toBeGreaterThanOrEqual(0);
    expect(report.gap).toBeLessThan(0.05);
    const written = JSON.parse(readFileSync(output, 'utf8'));
    expect(written).toEqual(report.placement);
    expect(configOf([`moe.placement=${output}`]).moe.placement).toEqual(written);
    const text = await place(run);
    expect(text.stdout).toMatch(
      /^48 sequences of 3 steps, router switch, placed on 2 x 2 ranks\nassumed: a domain's sequences .*\n +experts +in node, MB/,
    );
    expect(text.stdout).toMatch(/placing saves [\d.]+ MB \(\d+\.\d %\) between nodes/);
    expect(text.stdout).toMatch(
      /no placement with a load of at most 1\.10 costs less than .* a gap of \d\.\d %/,
    );
    expect((await place(run, '--output', output)).stderr).toMatch(/is there already; name a new file/);
  });

  it('where every rank has the same text no placement sends less, and experts stay', async () => {
    const report = await reportOf(run, '--set', 'data.placement=mixed', '--max-load', '3');
    expect(report.placed).toEqual(report.contiguous);
    expect(report.gap).toBeLessThan(1e-9);
    expect(report.assumption).toContain('every rank has the same mixture');
    expect(Object.values(report.placement.layers)).toEqual([
      [0, 0, 1, 1, 2, 2, 3, 3],
      [0, 0, 1, 1, 2, 2, 3, 3],
    ]);
  });

  it('places for other layouts, from single files too, and says what copies of experts would save', async () => {
    const report = await reportOf(run, '--nodes', '4', '--workers-per-node', '2');
    expect(report.layout).toEqual({ nodes: 4, workersPerNode: 2 });
    for (const ranksE of Object.values(report.placement.layers))
      expect([...ranksE].sort()).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
    expect(report.replicas).toMatchObject({ copies: 0, savedBytes: 0, ofCopies: 2 * NUM_EXPERTS * 3 });
    const file = path.join(run, 'routes', routesFileName(2, 0));
    const rest = [1, 2, 3].map((rank) => path.join(run, 'routes', routesFileName(2, rank)));
    expect((await reportOf(file, ...rest)).recorded.numSteps).toBe(1);
  });

  it.each([
    ['a step that was not recorded', [run, '--from', '7'], /no routes of steps 7 to the last/],
    ['a place that is not there', [path.join(folder, 'nothing')], /there is no such file or run/],
    ['a device', ['/dev/zero', '--config', 'tiny'], /is no regular file but a device/],
    ['more ranks than experts', [run, '--nodes', '8'], /as many experts as ranks, and there are 8 for 16/],
    ['an uneven layout', [run, '--nodes', '3'], /8 experts cannot be spread evenly over 6 workers/],
    ['an output in no folder', [run, '--output', '/nowhere/p.json'], /there is no folder \/nowhere/],
    ['a load below the mean', [run, '--max-load', '0.9'], /expected a number of at least 1/],
    [
      'other layers',
      [run, '--config', 'tiny', '--nodes', '2'],
      /layer 1 is none of the sparse layers 2, 3; name/,
    ],
    ['a dense model', [run, '--set', 'model.numSparseLayers=0'], /a dense model has no experts to place/],
    [
      'other experts',
      [run, '--set', 'moe.numExperts=16'],
      /has routes to 8 experts, and moe\.numExperts is 16/,
    ],
  ])('refuses %s in one line', async (_, args, message) => {
    const { code, stderr, stdout } = await place(...args);
    expect(stderr).toMatch(message);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr.trim().split('\n').length, stderr).toBeLessThanOrEqual(2);
  });

  it('refuses files of no run, of different configurations, and one that was cut', async () => {
    const other = runWith('other', configOf(['moe.expertGroups=2']), 1);
    rmSync(path.join(other, 'routes', routesFileName(1, 3)));
    const mixed = await place(path.join(run, 'routes', routesFileName(2, 0)), other);
    expect(mixed.code).toBe(2);
    expect(mixed.stderr).toMatch(
      /are routes of different configurations, moe\.expertGroups 1 -> 2; give those of one/,
    );

    const loose = path.join(folder, 'loose.parquet');
    writeFileSync(loose, readFileSync(path.join(other, 'routes', routesFileName(1, 0))));
    expect((await place(loose)).stderr).toMatch(
      /belongs to no run; name the configuration that trained it with --config/,
    );
    truncateSync(loose, 2000);
    const cut = await place(loose, '--config', path.join(run, 'config.json'));
    expect(cut.code).toBe(2);
    expect(cut.stderr).toMatch(/loose\.parquet: is no whole Parquet file/);
    // Only some of the sequences, so that one domain is missing.
    const some = await place(path.join(run, 'routes', routesFileName(1, 0)));
    expect(some.stderr).toMatch(/no sequence of domain (code|zh|telecom) is recorded; record more steps/);
  });
});
