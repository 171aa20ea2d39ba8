import { parseLink } from '@locmoe/bench/internal/plan/link';
import { describe, expect, it } from 'vitest';
import {
  DEVICES,
  EXCHANGES,
  SCALE_ROUTERS,
  type ScalePoint,
  scaleCurves,
  verdicts,
} from '../../plan/scale.js';

const points = scaleCurves({ flopsPerS: 1e14, link: parseLink('200gbps,5us') });

describe('scaleCurves', () => {
  it('has every router, exchange and number of devices once', () => {
    const ids = points.map(
      ({ router, exchange, experts, devices }) => `${router} ${exchange} ${experts} ${devices}`,
    );
    expect(new Set(ids).size).toBe(ids.length);
    expect(ids).toHaveLength(2 * SCALE_ROUTERS.length * EXCHANGES.length * DEVICES.length);
  });

  it('does not gain on one node by a hierarchy between nodes', () => {
    const onOneNode = (router: string) => points.filter((p) => p.devices === 8 && p.router === router);
    for (const router of SCALE_ROUTERS)
      expect(new Set(onOneNode(router).map(({ plan }) => plan.stepMs)).size, router).toBe(1);
  });
});

describe('verdicts', () => {
  const verdictsOf = (stepMsOf: (point: ScalePoint) => number) =>
    new Map(
      verdicts(
        points.map((point) => {
          const stepMs = stepMsOf(point);
          return { ...point, plan: { ...point.plan, stepMs, tokensPerS: point.devices / stepMs } };
        }),
        '16 experts',
      ).map(({ what, answer }) => [what, answer]),
    );

  it('say from where to where something pays', () => {
    const answers = verdictsOf(({ router, exchange, devices }) => {
      if (router === 'locmoe') return devices >= 32 && devices <= 128 ? 90 : 100;
      if (router === 'locmoe-plus') return devices <= 16 || devices === 1024 ? 90 : 100;
      return exchange === 'flat' && router === 'hash' && devices > 8 ? 200 : 100;
    });
    expect(answers.get('locmoe against switch')).toBe(
      'pays from 32 to 128 (11.1 % at 64, 11.1 % at 128, 0.0 % at 256)',
    );
    expect(answers.get('locmoe-plus against switch')).toMatch(/^pays from 8 to 16 and at 1024 \(/);
    expect(answers.get('hash against switch')).toMatch(/^pays nowhere \(0.0 % at 64/);
    expect(answers.get('hierarchical against flat exchange, hash')).toMatch(
      /^pays from 16 to 1024 \(100.0 % at 64/,
    );
  });

  it('say where more devices bring too little', () => {
    const answers = verdictsOf(({ devices }) => (devices > 128 ? 250 : 100));
    expect(answers.get('twice the devices, switch')).toBe(
      'pays from 16 to 128 and from 512 to 1024 (x 2.00 at 64, x 2.00 at 128, x 0.80 at 256)',
    );
    const linear = verdictsOf(() => 100);
    expect(linear.get('twice the devices, hash')).toMatch(/^pays from 16 to 1024 \(/);
  });
});
