import type { Link } from '@locmoe/bench/internal/plan/link';
import { type Plan, predict } from '@locmoe/bench/internal/plan/predict';
import type { MachineProfile } from '@locmoe/bench/internal/plan/profile';
import type { RoutingAssumption } from '@locmoe/bench/internal/plan/routing-model';
import { resolveConfig } from 'locmoe/internal/config/resolve';
import type { RunConfig } from 'locmoe/internal/config/schema';
import { TrainerError } from 'locmoe/internal/errors';
import { readYaml } from '../kit/read-yaml.js';

export const EXCHANGES = ['hierarchical', 'flat'] as const;
export type ScaleExchange = (typeof EXCHANGES)[number];

/** Total devices; the papers report 64, 128 and 256. */
export const DEVICES = [8, 16, 32, 64, 128, 256, 512, 1024] as const;
export const PAPER_DEVICES: readonly number[] = [64, 128, 256];
export const DEVICES_PER_NODE = 8;
export const SEQUENCES_PER_DEVICE = 2;

/** Assumptions, with reasons given in scale.yaml. */
const ASSUMED = readYaml<{
  readonly model: RunConfig['model'];
  readonly capacityFactor: number;
  readonly routing: Readonly<Record<ScaleRouter, RoutingAssumption>>;
  readonly profile: Omit<MachineProfile, 'compute'> & {
    readonly compute: Omit<MachineProfile['compute'], 'flopsPerS'>;
  };
}>('plan/scale.yaml');
export const { model: SCALE_MODEL, routing: ROUTING } = ASSUMED;
export type ScaleRouter = 'hash' | 'switch' | 'locmoe' | 'locmoe-plus';
export const SCALE_ROUTERS = Object.keys(ROUTING) as readonly ScaleRouter[];

/**
 * Numbers of experts: LocMoE's, replicated as the number of devices grows, or one expert per device, so that
 * all devices exchange with all.
 */
export const SCALE_EXPERTS = ['16 experts', 'an expert for each device'] as const;
export type ScaleExperts = (typeof SCALE_EXPERTS)[number];
const FEWEST_EXPERTS = 16;

export interface DeviceOptions {
  readonly flopsPerS: number;
  /** Link from a node to all the others. */
  readonly link: Link;
}

export interface ScalePoint {
  readonly devices: number;
  readonly router: ScaleRouter;
  readonly exchange: ScaleExchange;
  readonly experts: ScaleExperts;
  readonly plan: Plan;
}

/** Predicts every router and exchange for growing numbers of devices, at constant work per device (weak scaling). */
export function scaleCurves(options: DeviceOptions): ScalePoint[] {
  const { profile: device } = ASSUMED;
  const compute = { ...device.compute, flopsPerS: options.flopsPerS };
  const profile: MachineProfile = { ...device, compute, cores: DEVICES_PER_NODE + 1 };
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
      moe: { numExperts, router, capacityFactor: ASSUMED.capacityFactor },
      data: { domains: ['en'] },
      train: { steps: 1, globalBatch: SEQUENCES_PER_DEVICE * devices, learningRate: 1e-4 },
      cluster: { nodes: devices / DEVICES_PER_NODE, workersPerNode: DEVICES_PER_NODE, exchange },
    }),
    'scale',
  );
}

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

/** Smaller gains are reported as no gain. */
export const WORTH = 0.01;
/** Doubling the devices is worthwhile if throughput grows by at least this factor. */
export const PAYS = 1.5;

export interface Verdict {
  readonly what: string;
  /** Verdict in words: from how many devices it pays off, and how much at the papers' sizes. */
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

/** Describes the speed-up from doubling the number of devices. */
function doublingOf(tokensPerSAt: (devices: number) => number): string {
  const factor = (devices: number) => tokensPerSAt(devices) / tokensPerSAt(devices / 2);
  const paying = stretchesOf(DEVICES.slice(1), (devices) => factor(devices) >= PAYS);
  const figures = PAPER_DEVICES.map((devices) => `x ${factor(devices).toFixed(2)} at ${devices}`);
  return `pays ${paying} (${figures.join(', ')})`;
}

/** Describes the numbers of devices for which a condition holds. */
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
