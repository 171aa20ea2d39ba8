import { resolveConfig } from 'locmoe/internal/config/resolve';
import type { RunConfig } from 'locmoe/internal/config/schema';
import { TrainerError } from 'locmoe/internal/errors';
import type { RouterName } from 'locmoe/internal/routing/index';
import type { Link } from '../../packages/bench/src/plan/link.js';
import { type Plan, predict } from '../../packages/bench/src/plan/predict.js';
import type { MachineProfile } from '../../packages/bench/src/plan/profile.js';
import type { RoutingAssumption } from '../../packages/bench/src/plan/routing-model.js';

// The papers' scale, a cluster not available here. Every figure in this file is an assumption; reports say
// so.

export const EXCHANGES = ['hierarchical', 'flat'] as const;
export type ScaleExchange = (typeof EXCHANGES)[number];

/** Total devices; the papers report 64, 128 and 256. */
export const DEVICES = [8, 16, 32, 64, 128, 256, 512, 1024] as const;
export const PAPER_DEVICES: readonly number[] = [64, 128, 256];
export const DEVICES_PER_NODE = 8;
export const SEQUENCES_PER_DEVICE = 2;
/** The baseline of LocMoE+ (arXiv 2406.00023): top-1 with this capacity factor. */
const CAPACITY_FACTOR = 1.1;

/**
 * 16 experts and 8 sparse layers are LocMoE's (arXiv 2401.13920); the rest is as large as fits one device
 * with shared layers replicated.
 */
export const SCALE_MODEL = {
  dModel: 2048,
  numHeads: 16,
  numDenseLayers: 8,
  numSparseLayers: 8,
  dFeedForward: 8192,
  vocabSize: 40_000,
  seqLen: 1024,
} as const;
/**
 * LocMoE's number of experts, replicated as devices grow, or one expert per device, so that all devices
 * exchange with all.
 */
export const SCALE_EXPERTS = ['16 experts', 'an expert for each device'] as const;
export type ScaleExperts = (typeof SCALE_EXPERTS)[number];
const FEWEST_EXPERTS = 16;

/** Behaviour of the papers' routers as reported there; that of others at this scale is unknown. */
export const ROUTING = {
  hash: {
    keptPerToken: 1,
    localGain: 0,
    imbalance: Number.POSITIVE_INFINITY,
    source: 'the busiest expert is filled to its capacity',
  },
  switch: {
    keptPerToken: 1,
    localGain: 0,
    imbalance: Number.POSITIVE_INFINITY,
    source: 'the busiest expert is filled to its capacity',
  },
  locmoe: {
    keptPerToken: 1,
    localGain: 0.0513,
    imbalance: 1,
    source: 'LocMoE fills all experts and takes 5.13 % off the all-to-all (arXiv 2401.13920)',
  },
  'locmoe-plus': {
    keptPerToken: 0.4,
    localGain: 0.0513,
    imbalance: 1,
    source:
      'LocMoE+ takes 60 % off the tokens of an expert (arXiv 2406.00023, version 1; 40 % from version 2 on); locality as LocMoE',
  },
} satisfies Partial<Record<RouterName, RoutingAssumption>>;
export type ScaleRouter = keyof typeof ROUTING;
export const SCALE_ROUTERS = Object.keys(ROUTING) as readonly ScaleRouter[];

export interface DeviceOptions {
  readonly flopsPerS: number;
  /** Link of a node to all others. */
  readonly link: Link;
}

/**
 * A device of a training cluster. Assumed: memory at 1 TB/s (float32, one read or write), neighbours at 30
 * GB/s, 5 us per kernel and per step inside a node, 1 us per message that a node puts on its link.
 */
function deviceProfile({ flopsPerS }: DeviceOptions): MachineProfile {
  return {
    machine: 'an assumed device',
    date: 'never measured',
    command: '',
    cores: DEVICES_PER_NODE + 1,
    compute: {
      flopsPerS,
      touchedNs: 0.004,
      operationUs: 5,
      gradientNs: 0,
      parameterNs: 0.028,
      summedNs: 0.004,
      routerTokenNs: Object.fromEntries(SCALE_ROUTERS.map((router) => [router, 0])),
      candidateNs: 0.1,
      slowdown: [{ processesPerCore: 1, factor: 1 }],
    },
    exchange: { wakeUs: 5, hopUs: 5, messageUs: 0, byteNs: 0.0167, frameUs: 1, streamByteNs: 0 },
    processBytes: 0,
  };
}

export interface ScalePoint {
  readonly devices: number;
  readonly router: ScaleRouter;
  readonly exchange: ScaleExchange;
  readonly experts: ScaleExperts;
  readonly plan: Plan;
}

/** Every router and exchange over growing numbers of devices, at constant work per device (weak scaling). */
export function scaleCurves(options: DeviceOptions): ScalePoint[] {
  const profile = deviceProfile(options);
  const planOf = (place: Omit<ScalePoint, 'plan'>) =>
    predict({
      config: scaleConfig(place),
      profile,
      coresPerNode: profile.cores,
      link: options.link,
      routing: ROUTING[place.router],
    });
  return SCALE_EXPERTS.flatMap((experts) =>
    EXCHANGES.flatMap((exchange) =>
      SCALE_ROUTERS.flatMap((router) =>
        DEVICES.map((devices) => {
          const place = { devices, router, exchange, experts };
          return { ...place, plan: planOf(place) };
        }),
      ),
    ),
  );
}

function scaleConfig({ devices, router, exchange, experts }: Omit<ScalePoint, 'plan'>): RunConfig {
  const numExperts = experts === '16 experts' ? FEWEST_EXPERTS : Math.max(FEWEST_EXPERTS, devices);
  return resolveConfig(
    JSON.stringify({
      name: 'scale',
      model: SCALE_MODEL,
      moe: { numExperts, router, capacityFactor: CAPACITY_FACTOR },
      data: { domains: ['en'] },
      train: { steps: 1, globalBatch: SEQUENCES_PER_DEVICE * devices, learningRate: 1e-4 },
      cluster: { nodes: devices / DEVICES_PER_NODE, workersPerNode: DEVICES_PER_NODE, exchange },
    }),
    'scale',
  );
}

/** The plan of one data point. */
export function pointAt(
  points: readonly ScalePoint[],
  { devices, router, exchange, experts }: Omit<ScalePoint, 'plan'>,
): Plan {
  const point = points.find(
    (each) =>
      each.devices === devices &&
      each.router === router &&
      each.exchange === exchange &&
      each.experts === experts,
  );
  if (point === undefined) throw new TrainerError('INTERNAL', `no plan of ${router} on ${devices} devices`);
  return point.plan;
}

/** Smaller gains are reported as none. */
export const WORTH = 0.01;
/** Doubling the devices pays while throughput grows by this factor. */
export const PAYS = 1.5;

export interface Verdict {
  readonly what: string;
  /** Verdict in words: from how many devices it pays, and how much at the papers' sizes. */
  readonly answer: string;
}

/** Returns where each router, the hierarchical exchange and more devices stop paying off. */
export function verdicts(points: readonly ScalePoint[], experts: ScaleExperts): Verdict[] {
  const at = (router: ScaleRouter, exchange: ScaleExchange, devices: number) =>
    pointAt(points, { router, exchange, devices, experts });
  const against = (fast: ScaleRouter, slow: ScaleRouter) => ({
    what: `${fast} against ${slow}`,
    answer: rangeOf(
      (devices) => at(slow, 'hierarchical', devices).stepMs / at(fast, 'hierarchical', devices).stepMs - 1,
    ),
  });
  return [
    ...(['hash', 'locmoe', 'locmoe-plus'] as const).map((router) => against(router, 'switch')),
    against('locmoe-plus', 'locmoe'),
    ...SCALE_ROUTERS.map((router) => ({
      what: `hierarchical against flat exchange, ${router}`,
      answer: rangeOf(
        (devices) => at(router, 'flat', devices).stepMs / at(router, 'hierarchical', devices).stepMs - 1,
      ),
    })),
    ...SCALE_ROUTERS.map((router) => ({
      what: `twice the devices, ${router}`,
      answer: doublingOf((devices) => at(router, 'hierarchical', devices).tokensPerS),
    })),
  ];
}

function rangeOf(gainAt: (devices: number) => number): string {
  const paying = stretchesOf(DEVICES, (devices) => gainAt(devices) >= WORTH);
  const figures = PAPER_DEVICES.map((devices) => `${(100 * gainAt(devices)).toFixed(1)} % at ${devices}`);
  return `pays ${paying} (${figures.join(', ')})`;
}

/** Speed-up from half as many devices. */
function doublingOf(tokensPerSAt: (devices: number) => number): string {
  const factor = (devices: number) => tokensPerSAt(devices) / tokensPerSAt(devices / 2);
  const paying = stretchesOf(DEVICES.slice(1), (devices) => factor(devices) >= PAYS);
  const figures = PAPER_DEVICES.map((devices) => `x ${factor(devices).toFixed(2)} at ${devices}`);
  return `pays ${paying} (${figures.join(', ')})`;
}

/** The numbers of devices for which a condition holds, in words. */
function stretchesOf(numbers: readonly number[], holds: (devices: number) => boolean): string {
  const held = numbers.map(holds);
  const stretches = numbers.flatMap((first, i) => {
    if (!held[i] || held[i - 1]) return [];
    const next = held.indexOf(false, i);
    const last = numbers[(next < 0 ? numbers.length : next) - 1];
    return [first === last ? `at ${first}` : `from ${first} to ${last}`];
  });
  return stretches.length === 0 ? 'nowhere' : stretches.join(' and ');
}
