import { treeSum } from 'locmoe/internal/collectives/tree-sum';
import type { RunConfig } from 'locmoe/internal/config/schema';
import { parameterCounts } from 'locmoe/internal/model/parameter-counts';
import type { Work } from 'locmoe/internal/model/pass-work';
import { rankMemory } from 'locmoe/internal/model/rank-memory';
import { modelWork, totalWork } from 'locmoe/internal/model/work';
import { CounterRandom } from 'locmoe/internal/parameters/counter-random';
import { ROUTER_NAMES } from 'locmoe/internal/routing/index';
import {
  candidatesByExpert,
  expertChoice,
  risingAffinities,
} from 'locmoe/internal/routing/selection/best-candidates';
import { median, timeOf } from '../../statistics.js';
import type { ComputeProfile } from '../profile.js';
import { choiceCosts } from '../routing-model.js';
import type { CalibrateOptions } from './fit.js';
import { describeErrors, errorsOf, fitCosts, measureVisible, type Observation } from './fit.js';
import type { ProbeCase, ProbeResult, StepResult } from './probe.js';
import { configOf, runProbe, SIZES } from './probe.js';

const QUICK_SIZES = 4;
const ROUNDS = 2;

/** The matrix products of the probed steps on their own, each with its two gradients. */
const PRODUCTS = [
  { kind: 'product', rows: 512, inner: 64, columns: 256 },
  { kind: 'product', rows: 512, inner: 128, columns: 512 },
  { kind: 'product', rows: 1024, inner: 128, columns: 1024 },
  { kind: 'product', rows: 1024, inner: 256, columns: 1024 },
] as const;

interface Measured {
  readonly config: RunConfig;
  readonly result: StepResult;
}

interface ComputeCosts {
  readonly compute: Omit<ComputeProfile, 'slowdown'>;
  readonly processBytes: number;
}

/** Fits the compute costs to training steps of one worker at many sizes. */
export function calibrateCompute(options: CalibrateOptions, steps: number): Promise<ComputeCosts> {
  const free = ({ compute: { flopsPerS } }: ComputeCosts) =>
    flopsPerS === Infinity ? 'matrix products' : null;
  return measureVisible(() => measureCompute(options, steps), free, options.log);
}

async function measureCompute({ log, quick }: CalibrateOptions, steps: number): Promise<ComputeCosts> {
  log('steps of one worker');
  const sizes = quick ? SIZES.slice(0, QUICK_SIZES) : SIZES;
  const configs = sizes.flatMap((size, i) =>
    ROUTER_NAMES.filter((router) => router === 'hash' || i % 3 === 0).map((router) => configOf(size, router)),
  );
  const cases = [...configs.map((config): ProbeCase => ({ kind: 'step', config, steps })), ...PRODUCTS];
  // The sizes alternate, so that a slow moment does not hit all runs of one size.
  const rounds = Array.from({ length: quick ? 1 : ROUNDS });
  const { results, residentBytes } = await runProbe(
    { numNodes: 1, workersPerNode: 1 },
    rounds.flatMap(() => cases),
  );
  const measured = configs.map((config, i) => ({
    config,
    result: leastOf(rounds.map((_, round) => results[round * cases.length + i] as StepResult)),
  }));
  const candidateNs = measureCandidateNs();
  const observations = [
    ...measured.flatMap((each) => passObservations(each, candidateNs)),
    ...PRODUCTS.map((each, i) => productObservation(each, results[configs.length + i]!)),
  ];
  const costs = fitCosts(observations);
  const [flopS, touchedS, operationS, gradientS, ...routerS] = costs as [
    number,
    number,
    number,
    number,
    ...number[],
  ];
  log(`  ${describeErrors(errorsOf(observations, costs))}`);
  const compute = {
    flopsPerS: 1 / flopS,
    touchedNs: touchedS * 1e9,
    operationUs: operationS * 1e6,
    gradientNs: gradientS * 1e9,
    parameterNs: median(measured.map(parameterNs)),
    summedNs: measureSummedNs(),
    routerTokenNs: Object.fromEntries(
      ROUTER_NAMES.map((router, i) => [router, routerS[i]! * 1e9]),
    ) as ComputeProfile['routerTokenNs'],
    candidateNs,
  };
  return { compute, processBytes: processBytesOf(configs[0]!, residentBytes) };
}

/** Takes the minimum of each time, as other load on the machine can only add to it. */
function leastOf(repeated: readonly StepResult[]): StepResult {
  const times = (['stepMs', 'forwardMs', 'backwardMs', 'updateMs'] as const).map((name) => [
    name,
    Math.min(...repeated.map((result) => result[name])),
  ]);
  return { ...repeated[0]!, ...Object.fromEntries(times) };
}

/** Returns the memory of a worker in addition to that of its model. */
function processBytesOf(config: RunConfig, residentBytes: number): number {
  const tokens = config.train.globalBatch * config.model.seqLen;
  return Math.max(0, residentBytes - rankMemory(config, parameterCounts(config), tokens, 0).total);
}

/**
 * Returns observations of a forward and backward pass, with the counts of products, elements, operations,
 * gradients and, by router, routed tokens.
 */
function passObservations({ config, result }: Measured, candidateNs: number): Observation[] {
  const { model, moe, train } = config;
  const tokens = train.globalBatch * model.seqLen;
  const work = totalWork(
    modelWork(config, { sequences: train.globalBatch, rows: tokens, experts: moe.numExperts }),
  );
  const routed = ROUTER_NAMES.map((router) => (router === moe.router ? tokens * model.numSparseLayers : 0));
  const candidates = tokens * choiceCosts(config).numCandidates;
  const choiceS = model.numSparseLayers * candidates * candidateNs * 1e-9;
  return [
    relative([...countsOf(work.forward), 0, ...routed], result.forwardMs / 1000 - choiceS),
    relative(
      [...countsOf(work.backward), numParameters(config), ...routed.map(() => 0)],
      result.backwardMs / 1000,
    ),
  ];
}

function productObservation(
  { rows, inner, columns }: (typeof PRODUCTS)[number],
  result: ProbeResult,
): Observation {
  const { ms } = result as Extract<ProbeResult, { kind: 'product' }>;
  return relative([6 * rows * inner * columns, 0, 3, 0, ...ROUTER_NAMES.map(() => 0)], ms / 1000);
}

/** Returns an observation whose error is relative to its value. */
function relative(counts: readonly number[], value: number): Observation {
  return { counts, value, unit: value };
}

function countsOf({ flops, touched, operations }: Work): number[] {
  return [flops, touched, operations];
}

function parameterNs({ config, result }: Measured): number {
  return (1e6 * result.updateMs) / numParameters(config);
}

/** Counts the parameters, all of which a single worker holds. */
function numParameters(config: RunConfig): number {
  return parameterCounts(config).model;
}

/** Times the selection by experts among the candidates of all ranks, in ns per candidate. */
function measureCandidateNs(): number {
  const numCandidates = 1 << 15;
  const numExperts = 8;
  const random = new CounterRandom(1, 'candidates');
  const expertsN = Int32Array.from({ length: numCandidates }, (_, i) => i % numExperts);
  const affinitiesN = Float32Array.from({ length: numCandidates }, (_, i) => random.uniform(i));
  const capacityE = new Float64Array(numExperts).fill(numCandidates / numExperts / 2);
  // Selection runs twice: for the current capacity and for the classic one.
  return nsOfEach(numCandidates, () => {
    const positionsE = candidatesByExpert(expertsN, numExperts);
    const risingE = risingAffinities(positionsE, affinitiesN);
    expertChoice(positionsE, affinitiesN, risingE, capacityE, 1);
    expertChoice(positionsE, affinitiesN, risingE, capacityE, 1);
  });
}

function measureSummedNs(): number {
  const length = 1 << 18;
  const inputs = [new Float32Array(length), new Float32Array(length)];
  return nsOfEach(2 * length, () => treeSum(inputs[0]!, inputs));
}

function nsOfEach(count: number, call: () => void): number {
  const times = Array.from({ length: 20 }, () => timeOf(call));
  return (1e6 * median(times.slice(5))) / count;
}
