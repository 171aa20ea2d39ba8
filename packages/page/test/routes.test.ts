import { mkdirSync, truncateSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import type { RouteRow } from '@locmoe/run-format/routes-file';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { tokenizerJson, trainBpe } from '../../../src/data/tokenizer/bpe-trainer.js';
import { loadTokenizer } from '../../../src/data/tokenizer/tokenizer.js';
import type { ProbeData } from '../../../src/evaluation/routes/probe-data.js';
import type { ExpertRoutes, RecordedSteps, SequenceRoutes, StepRoutes } from '../src/api-types.js';
import { tokensOf, visible } from '../src/browser/routing/choices.js';
import { groupsOf } from '../src/browser/routing/expert-groups.js';
import { pageFeature } from '../src/page-feature.js';
import { expertRoutes } from '../src/routes/expert-routes.js';
import { CompactRoutes } from '../src/routes/route-columns.js';
import { sequenceRoutes } from '../src/routes/sequence-routes.js';
import { indexStep } from '../src/routes/step-index.js';
import { summaryOf } from '../src/routes/step-summary.js';
import { tableOf, writeRoutes } from './routes-fixture.js';
import { temporaryRuns, writeRun } from './run-fixture.js';

function indexOf(rows: readonly Partial<RouteRow>[]) {
  const routes = new CompactRoutes();
  // Rows are added in two parts, as row groups arrive.
  routes.add(tableOf(rows.slice(0, 3)));
  routes.add(tableOf(rows.slice(3)));
  return indexStep(2, routes, []);
}

const withoutText = () => null;

describe('the tokens of a recorded sequence', () => {
  it('are in order in every layer, though a layer lacks some and packed samples begin anew', () => {
    const packed = '0 5, 0 6, 3 0, 3 1, 4 0'.split(', ').map((each) => each.split(' ').map(Number));
    const layer = (number: number, lacks: readonly number[]) =>
      packed.flatMap(([document, position], at) =>
        lacks.includes(at)
          ? []
          : [0, 1].map((choice) => {
              return { layer: number, document, position, token: 10 + at, choice, expert: at + choice };
            }),
      );
    const index = indexOf([...layer(1, [0, 2]), ...layer(3, [1, 4])]);
    const reply = sequenceRoutes(index, { sequence: 0, from: 0 }, (ids) => ids.map((id) => `t${id}`))!;
    expect(reply.tokens).toEqual({
      id: [10, 11, 12, 13, 14],
      document: packed.map(([document]) => document),
      position: packed.map(([, position]) => position),
      text: ['t10', 't11', 't12', 't13', 't14'],
    });
    expect(reply.layers.map(({ layer: number, token }) => [number, ...token])).toEqual([
      [1, 1, 1, 3, 3, 4, 4],
      [3, 0, 0, 2, 2, 3, 3],
    ]);
    const tokens = tokensOf(reply);
    expect(tokens[1]!.choices).toMatchObject([
      { layer: 1, choice: 0, expert: 1, gate: 0.5, bias: null, outcome: 'kept', link: 'rank' },
      { layer: 1, choice: 1, expert: 2 },
    ]);
    expect(sequenceRoutes(index, { sequence: 9, from: 0 }, withoutText)).toBe(null);
  });

  it('come in pages that begin at the same places, whichever token is asked for', () => {
    const index = indexOf(Array.from({ length: 1_200 }, (_, position) => ({ position, token: position })));
    const pageOf = (from: number) => {
      const { from: first, length, tokens } = sequenceRoutes(index, { sequence: 0, from }, withoutText)!;
      expect(length).toBe(1_200);
      return [first, tokens.id.length, tokens.id[0]];
    };
    expect(pageOf(0)).toEqual([0, 512, 0]);
    expect(pageOf(700)).toEqual([512, 512, 512]);
    expect(pageOf(1_199)).toEqual([1_024, 176, 1_024]);
    expect(pageOf(9e8)).toEqual([1_024, 176, 1_024]);
    // Many choices make a page shorter.
    const wide = indexOf(
      Array.from({ length: 1_000 * 64 }, (_, at) => ({ position: Math.floor(at / 64), choice: at % 64 })),
    );
    const { tokens, layers } = sequenceRoutes(wide, { sequence: 0, from: 300 }, withoutText)!;
    expect(tokens.position).toEqual(Array.from({ length: 256 }, (_, at) => 256 + at));
    expect(layers[0]!.expert).toHaveLength(256 * 64);
  });
});

describe('a recorded step', () => {
  const afar = { expertRank: 2, expertNode: 1 };
  const zh = { rank: 2, node: 1, sequence: 4, domain: 'zh' };
  const rows: Partial<RouteRow>[] = [
    { token: 1, expert: 0 },
    { token: 1, expert: 1, position: 1, expertRank: 1, link: 'node', bytes: 64 },
    { token: 2, expert: 2, position: 2, ...afar, link: 'network', bytes: 64 },
    { token: 1, expert: 2, position: 3, ...afar, link: 'network', outcome: 'over capacity' },
    { ...zh, token: 1, expert: 2, ...afar },
    { ...zh, position: 1, expert: 0, link: 'network', bytes: 64 },
  ];

  it('has the load of its experts, and the bytes of kept choices between ranks and nodes', () => {
    const model = { numExperts: 4, expertsOfDomain: { en: [0, 1], zh: [2, 3] } };
    const reply = summaryOf(indexOf(rows), model);
    expect(reply).toMatchObject({ step: 2, choices: 6, layers: [1], ...model });
    expect(reply.sequences).toEqual({ sequence: [0, 4], domain: ['en', 'zh'], rank: [0, 2], node: [0, 1] });
    expect([reply.routed, reply.kept]).toEqual([[[2, 1, 3, 0]], [[2, 1, 2, 0]]]);
    const matrix = (text: string) => text.split('; ').map((row) => row.split(' ').map(Number));
    expect(reply.ranks).toEqual({
      places: [0, 1, 2],
      nodes: [0, 0, 1],
      bytes: matrix('0 64 64; 0 0 0; 64 0 0'),
      choices: matrix('1 1 1; 0 0 0; 1 0 1'),
    });
    expect(reply.nodes).toMatchObject({ places: [0, 1], bytes: matrix('64 64; 64 0') });
    const many = Array.from({ length: 65 }, (_, rank) => ({ rank, expertRank: rank, sequence: rank }));
    expect(summaryOf(indexOf(many), model).ranks).toBe(null);
  });

  it('tells of an expert which ids, domains and sequences it has, and where it is', () => {
    const often = Array.from({ length: 5 }, (_, position) => {
      return { sequence: 6, position, token: 9, expert: position === 0 ? 0 : 2, ...afar };
    });
    const reply = expertRoutes(indexOf([...rows, ...often]), { layer: 1, expert: 2 }, (id) => `t${id}`);
    expect(reply).toEqual({
      step: 2,
      layer: 1,
      expert: 2,
      outcomes: { kept: 6, 'over capacity': 1, 'not chosen': 0 },
      ofLayer: 11,
      places: [{ rank: 2, node: 1, choices: 7 }],
      domains: [
        { domain: 'en', choices: 6 },
        { domain: 'zh', choices: 1 },
      ],
      mostTaken: [
        { token: 9, text: 't9', choices: 4, share: 0.8 },
        { token: 1, text: 't1', choices: 2, share: 0.5 },
        { token: 2, text: 't2', choices: 1, share: 1 },
      ],
      // The others occur less than five times.
      mostExclusive: [{ token: 9, text: 't9', choices: 4, share: 0.8 }],
      sequences: [
        { sequence: 6, domain: 'en', choices: 4 },
        { sequence: 0, domain: 'en', choices: 2 },
        { sequence: 4, domain: 'zh', choices: 1 },
      ],
    });
    expect(expertRoutes(indexOf(rows), { layer: 1, expert: 3 }, withoutText)).toBe(null);
    expect(expertRoutes(indexOf(rows), { layer: 2, expert: 0 }, withoutText)).toBe(null);
  });
});

describe('recorded routes over HTTP', () => {
  const TEXT = 'the cat, the hat, 中文 and the rest';
  let runs: string;
  let page: ReturnType<typeof pageFeature>;
  let remove: () => void;
  let ids: readonly number[];
  const get = async <T = { error: string }>(tail: string): Promise<{ status: number; body: T }> => {
    const response = await page.routes.request(`http://localhost/api/runs/run/routes${tail}`);
    return { status: response.status, body: (await response.json()) as T };
  };

  beforeAll(() => {
    runs = temporaryRuns((later) => {
      remove = later;
    });
    const folder = writeRun(runs, 'run');
    const config = {
      data: { domains: ['en', 'zh'] },
      moe: { numExperts: 4, expertGroups: 2 },
      train: { recordRoutes: { every: 2, share: 0.25, from: 1, to: null, maxMB: 1 } },
    };
    writeFileSync(path.join(folder, 'config.json'), JSON.stringify(config));
    const checkpoint = path.join(folder, 'checkpoints/step-000002');
    mkdirSync(checkpoint, { recursive: true });
    const file = path.join(checkpoint, 'tokenizer.json');
    writeFileSync(file, tokenizerJson(trainBpe([TEXT, TEXT], 262)));
    ids = [...loadTokenizer(file).encode(TEXT)];
    const rows = ids.map((token, position) => ({ token, position }));
    writeRoutes(folder, { step: 2, rank: 0 }, rows);
    writeRoutes(
      folder,
      { step: 2, rank: 1 },
      rows.map((row) => ({ ...row, sequence: 1, domain: 'zh', expert: 2 })),
    );
    writeRoutes(folder, { step: 4, rank: 0 }, rows);
    truncateSync(writeRoutes(folder, { step: 4, rank: 1 }, rows), 1_000);
    writeFileSync(path.join(folder, 'routes/step-000006-rank-000.parquet.tmp'), 'half');
    for (const step of [0, 1, 2])
      for (const rank of [0, 1])
        if (step < 2 || rank === 0)
          writeRoutes(
            folder,
            { step, rank },
            rows.flatMap((row) => [
              { ...row, sequence: rank, domain: ['en', 'zh'][rank]!, expert: 2 * rank + step },
              {
                ...row,
                sequence: rank,
                domain: ['en', 'zh'][rank]!,
                expert: 3,
                outcome: 'not chosen' as const,
              },
            ]),
            'probe',
          );
    writeRun(runs, 'empty');
    page = pageFeature(runs);
  });

  afterAll(async () => {
    await page.close?.();
    remove();
  });

  it('lists the recorded steps; of a run without it says how to record', async () => {
    const { body } = await get<RecordedSteps>('');
    expect(body).toMatchObject({
      steps: [2, 4],
      files: [2, 2],
      leftOut: 0,
      recording: { every: 2, share: 0.25 },
    });
    const empty = await page.routes.request('http://localhost/api/runs/empty/routes');
    expect(await empty.json()).toMatchObject({ steps: [], recording: null });
    expect(body.command).toMatch(
      /^\S+\/cli\.ts train --config \S*run\/config\.json --set train\.recordRoutes\.every=50$/,
    );
  });

  it('has the same text of each step of a probe, without steps of which a rank has written nothing yet', async () => {
    const probeOf = async (run: string) =>
      (await page.routes.request(`http://localhost/api/runs/${run}/probe`)).json() as Promise<ProbeData>;
    const { texts, ...probe } = await probeOf('run');
    expect(texts.map(({ domain }) => domain)).toEqual(['en', 'zh']);
    for (const text of texts) {
      expect(text.ids).toEqual(ids);
      expect(text.text!.join('')).toBe(TEXT);
    }
    const repeated = (...experts: number[]) => experts.flatMap((expert) => ids.map(() => expert)).join(' ');
    expect(probe).toEqual({
      name: 'run',
      numExperts: 4,
      expertsOfDomain: { en: [0, 1], zh: [2, 3] },
      layers: [1],
      steps: [0, 1],
      experts: [[repeated(0, 2)], [repeated(1, 3)]],
    });
    expect(await probeOf('empty')).toMatchObject({ steps: [], texts: [] });
  });

  it('shows a text as the tokenizer of the run has it, with the groups of experts', async () => {
    const { body: step } = await get<StepRoutes>('/2');
    expect(step).toMatchObject({
      problems: [],
      choices: 2 * ids.length,
      expertsOfDomain: { en: [0, 1], zh: [2, 3] },
    });
    expect(groupsOf(step.expertsOfDomain).map(({ domains }) => domains)).toEqual([['en'], ['zh']]);
    const { body } = await get<SequenceRoutes>('/2/sequences/1');
    expect(body).toMatchObject({ domain: 'zh', rank: 1, length: ids.length, from: 0 });
    expect(body.tokens.id).toEqual(ids);
    // A character of three bytes is one token or several; the text of the last one has the character.
    expect(body.tokens.text!.join('')).toBe(TEXT);
    expect(body.tokens.text).toContain('中');
    const { body: expert } = await get<ExpertRoutes>('/2/layers/1/experts/2');
    expect(expert).toMatchObject({ outcomes: { kept: ids.length }, domains: [{ domain: 'zh' }] });
  });

  it('passes over a file that is cut short, and says so', async () => {
    const { status, body } = await get<StepRoutes>('/4');
    expect(status).toBe(200);
    expect(body.choices).toBe(ids.length);
    expect(body.problems).toEqual([
      expect.stringMatching(/step-000004-rank-001\.parquet: is no whole Parquet file \(.*\)$/),
    ]);
  });

  it('reads a step again once its files have changed', async () => {
    writeRoutes(path.join(runs, 'run'), { step: 8, rank: 0 }, [{}]);
    expect((await get<StepRoutes>('/8')).body.choices).toBe(1);
    writeRoutes(path.join(runs, 'run'), { step: 8, rank: 0 }, [{}, { position: 1 }]);
    expect((await get<StepRoutes>('/8')).body.choices).toBe(2);
  });

  it('refuses in one line what is no number, and what is not there', async () => {
    const refused: [string, number, RegExp][] = [
      ['/x', 400, /^step x: give a whole number from 0$/],
      ['/-1', 400, /^step -1: give/],
      ['/2/sequences/1.5', 400, /^sequence 1\.5: give/],
      ['/2/sequences/0?from=1e3', 400, /^from 1e3: give/],
      ['/2/layers/9999999999/experts/0', 400, /^layer 9999999999: give/],
      ['/%2e%2e%2fx', 400, /^step \.\.\/x: give/],
      ['/3', 404, /^no routes are recorded of step 3 of run run$/],
      ['/2/sequences/9', 404, /^sequence 9 is not recorded of step 2$/],
      ['/2/layers/1/experts/3', 404, /^no recorded token of step 2 chose expert 3 in layer 1$/],
    ];
    for (const [tail, status, error] of refused) {
      const reply = await get(tail);
      expect([tail, reply.status]).toEqual([tail, status]);
      expect(reply.body.error).toMatch(error);
    }
  });
});

it('tokens are shown in visible characters', () => {
  expect(['', ' ', '   ', '\n\t', ' a'].map(visible)).toEqual(['…', '␣', '␣3', '↵⇥', ' a']);
});
