import { expect, it } from 'vitest';
import { chanceOf, meaningOf } from '../../src/cli/run-meaning.js';
import { placeAsGiven } from '../../src/cli/run-summary.js';
import { type RunConfig, runSchema } from '../../src/config/schema.js';
import { config as small } from '../checkpoint/fixture.js';

type Totals = Parameters<typeof meaningOf>[0];

const configWith = (cluster: Partial<RunConfig['cluster']>, moe = {}, model = {}) =>
  runSchema.parse({
    ...small,
    moe: { numExperts: 4, ...moe },
    model: { ...small.model, ...model },
    cluster: { nodes: 2, workersPerNode: 2, ...cluster },
  });

/** Choices of 10 steps of 100 tokens by how far they travelled, in one sparse layer. */
function totalsOf(places: readonly [number, number, number], rest: Partial<Totals> = {}): Totals {
  const [sameWorker, sameNode, otherNode] = places;
  const layer = {
    layer: 1,
    kept: [sameWorker, sameNode, otherNode],
    routed: 0,
    overCapacity: 0,
    notChosen: 0,
    capacityRatio: 1,
    gateCosine: null,
  };
  const layers = [{ ...layer, sameWorker, sameNode, otherNode }];
  const lastLayers = [
    { ...layers[0]!, sameWorker: 7, sameNode: 2, otherNode: 1 },
  ] as unknown as Totals['lastLayers'];
  return {
    layers,
    countedSteps: 10,
    tokens: 1000,
    lastLayers,
    lastChoices: {},
    lastValidation: null,
    ...rest,
  };
}

function meaning(totals: Totals, config = configWith({}), context = {}): string[] {
  return meaningOf(totals, { config, resumedFrom: null, unigrams: new Map(), randomLoss: null, ...context });
}

it('chance spreads choices evenly over the ranks, or over those with a replica of each expert', () => {
  expect(chanceOf(configWith({}))).toEqual({ sameWorker: 0.25, sameNode: 0.25, otherNode: 0.5 });
  expect(chanceOf(configWith({}, { numExperts: 2 }))).toEqual({
    sameWorker: 0.5,
    sameNode: 0.5,
    otherNode: 0,
  });
});

it('tells how many choices crossed beside chance, and the bytes and time which that saved', () => {
  // Of 1,000 choices, 300 fewer crossed than by chance, each with four rows of 8 float32.
  const totals = totalsOf([600, 200, 200]);
  const places =
    'Of 100 choices of an expert (1 for each token in a sparse layer), 60 stayed on their worker, 20 went to another worker of the node, and 20 crossed to another node; in the last step 70, 20, and 10. A random expert of all would give 25, 25, and 50.';
  const saved = 'Against random choices that saved 3.8 kB between nodes a step, 38 kB in 10 steps: ';
  const estimate = '(estimate: a choice moves 32 bytes four times).';
  expect(meaning(totals)).toEqual([
    places,
    `${saved}0.015 ms a step and 0.00015 s in all at 1 Gb/s for each node ${estimate}`,
  ]);
  const slow = configWith({ interNodeLink: { gbps: 0.001, latencyMs: 0 } });
  expect(meaning(totals, slow)[1]).toBe(
    `${saved}15 ms a step and 0.15 s in all on this run's cluster.interNodeLink, 0.015 ms a step and 0.00015 s in all at 1 Gb/s for each node ${estimate}`,
  );
  expect(meaning(totals, undefined, { resumedFrom: 7 })[0]).toContain(
    'choices of an expert after step 7 (1 for',
  );
});

it('claims no saving where choices crossed as by chance or more', () => {
  expect(meaning(totalsOf([250, 251, 499]))[1]).toMatch(/^As many choices crossed as by chance/);
  expect(meaning(totalsOf([200, 200, 600]))[1]).toMatch(/that cost 1\.3 kB between nodes a step/);
});

it('says that nothing crosses with one node, one worker or no sparse layer', () => {
  expect(meaning(totalsOf([500, 500, 0]), configWith({ nodes: 1 }))).toEqual([
    'Of 100 choices of an expert (1 for each token in a sparse layer), 50 stayed on their worker and 50 went to another worker of the node; in the last step 70 and 20. A random expert of all would give 50 and 50.',
    'There is one node, so nothing crosses between nodes.',
  ]);
  expect(meaning(totalsOf([1000, 0, 0]), configWith({ nodes: 1, workersPerNode: 1 }))).toEqual([
    'One worker holds all experts, so every token stays on it.',
  ]);
  const dense = configWith({}, {}, { numDenseLayers: 2, numSparseLayers: 0 });
  expect(meaning({ ...totalsOf([0, 0, 0]), layers: [] }, dense)).toEqual([
    'The model has no sparse layer, so no token chooses an expert.',
  ]);
});

it('calls a gate idle where the ids decide, and neither a router without a gate nor one whose gate decides', () => {
  const said = (lastChoices: Totals['lastChoices']) =>
    meaning({ ...totalsOf([0, 0, 0]), layers: [], lastChoices }).join();
  const asBefore = (share: string) =>
    `${share} of the last step's choices were those of the last token with the same id and domain`;
  expect(said({ idShare: 0.994, gateShare: 0.5 })).toBe(`The gate is nearly idle: ${asBefore('99 %')}.`);
  expect(said({ idShare: 0.72, gateShare: 1 })).toBe(
    `${asBefore('72 %')}; the others depended on more than the id.`,
  );
  // A token offered to all experts gets the same ones as before, and so does one whose id only the gate has learned.
  expect(said({ idShare: 1, gateShare: 1 })).toBe(
    `${asBefore('100 %')}, yet 100 % of the tokens had the gate's own first expert, so that the gate may decide.`,
  );
  expect(said({ idShare: 1 })).toBe(`No gate decides: ${asBefore('100 %')}.`);
  expect(said({})).toBe('');
});

it('puts the perplexity beside that of token frequencies and of random experts', () => {
  const lastValidation = {
    step: 10,
    domains: [
      { domain: 'en', loss: Math.log(10), tokens: 100 },
      { domain: 'zh', loss: Math.log(40), tokens: 100 },
    ],
  };
  const unigrams = new Map([
    ['en', Math.log(50)],
    ['zh', Math.log(200)],
  ]);
  const totals = { ...totalsOf([0, 0, 0]), layers: [], lastValidation };
  expect(meaning(totals, undefined, { unigrams, randomLoss: Math.log(30) })).toEqual([
    'Perplexity on held-out text at step 10: 20.0; token frequencies alone give 100.0; by domain: en 10.0 (50.0), zh 40.0 (200.0).',
    'The same model with experts drawn at random, for which it was not trained, has 30.0.',
  ]);
});

it('names places as the folder of runs was given', () => {
  const here = process.cwd();
  expect(placeAsGiven(`${here}/runs/a`, 'runs')).toBe('runs/a');
  expect(placeAsGiven(`${here}/runs/a`, `${here}/runs`)).toBe(`${here}/runs/a`);
  expect(placeAsGiven('/elsewhere/a', 'runs')).toBe('/elsewhere/a');
});
